# Writes TO, a header with HALLMARK_COMMIT: the commit of the clone at SOURCE, "-dirty" behind it where tracked files
# are not as committed; "unknown" where SOURCE is no clone of its own, or git is missing. Written only where it says
# something else.
set(commit "unknown")
find_program(GIT git)
if(GIT)
  execute_process(COMMAND ${GIT} -C ${SOURCE} rev-parse --show-toplevel HEAD OUTPUT_VARIABLE said ERROR_QUIET
                  RESULT_VARIABLE failed OUTPUT_STRIP_TRAILING_WHITESPACE)
  string(REPLACE "\n" ";" said "${said}")
  list(LENGTH said lines)
  if(NOT failed AND lines EQUAL 2)
    list(GET said 0 top)
    file(REAL_PATH ${SOURCE} here)
    file(REAL_PATH ${top} top)
    if(top STREQUAL here)               # not another project's clone that this folder lies in
      list(GET said 1 commit)
      execute_process(COMMAND ${GIT} -C ${SOURCE} status --porcelain --untracked-files=no
        OUTPUT_VARIABLE changes ERROR_QUIET)
      if(NOT changes STREQUAL "")
        string(APPEND commit "-dirty")
      endif()
    endif()
  endif()
endif()
set(text "#define HALLMARK_COMMIT \"${commit}\"\n")
set(before "")
if(EXISTS ${TO})
  file(READ ${TO} before)
endif()
if(NOT text STREQUAL before)
  file(WRITE ${TO} "${text}")
endif()
