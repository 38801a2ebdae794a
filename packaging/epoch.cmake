# Sets SOURCE_DATE_EPOCH, where the environment does not, to the time of the commit of the clone at SOURCE: what is
# packed of one commit is then the same at any time. Outside a clone nothing is set.
if(NOT DEFINED ENV{SOURCE_DATE_EPOCH} AND EXISTS ${SOURCE}/.git)
  find_program(GIT git)
  if(GIT)
    execute_process(COMMAND ${GIT} -C ${SOURCE} log -1 --format=%ct OUTPUT_VARIABLE committed ERROR_QUIET
                    OUTPUT_STRIP_TRAILING_WHITESPACE)
    if(committed MATCHES "^[0-9]+$")
      set(ENV{SOURCE_DATE_EPOCH} ${committed})
    endif()
  endif()
endif()
