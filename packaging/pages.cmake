# Writes what PROGRAM says of its own command line below TO: man1/ with a page for each command, the completions, and in
# debian/ what Debian has compressed. SOURCE: the project; VERSION and MAINTAINER: of the package.
include(${CMAKE_CURRENT_LIST_DIR}/epoch.cmake)
file(REMOVE_RECURSE ${TO})
file(MAKE_DIRECTORY ${TO}/man1 ${TO}/debian/man1)

function(print_to file)
  execute_process(COMMAND ${PROGRAM} ${ARGN} OUTPUT_FILE ${TO}/${file} COMMAND_ERROR_IS_FATAL ANY)
endfunction()

# As Debian wants it: the same bytes at any time.
function(compress_to file text)
  find_program(GZIP gzip REQUIRED)
  file(WRITE ${TO}/plain "${text}")
  execute_process(COMMAND ${GZIP} -9nc ${TO}/plain OUTPUT_FILE ${TO}/debian/${file}.gz COMMAND_ERROR_IS_FATAL ANY)
  file(REMOVE ${TO}/plain)
endfunction()

print_to(bash completion bash)
print_to(_hallmark completion zsh)
print_to(hallmark.fish completion fish)
print_to(man1/hallmark.1 manual)
file(READ ${TO}/man1/hallmark.1 page)           # it names all others
string(REGEX MATCHALL "[.]BR hallmark[\\]-[a-z0-9]+ " names "${page}")
list(REMOVE_DUPLICATES names)
foreach(name IN LISTS names)
  string(REGEX REPLACE ".*-([a-z0-9]+) $" "\\1" command "${name}")
  print_to(man1/hallmark-${command}.1 manual ${command})
endforeach()

string(TIMESTAMP when "%a, %d %b %Y %H:%M:%S +0000" UTC)         # of SOURCE_DATE_EPOCH, where that is set
set(version "hallmark (${VERSION}) unstable; urgency=low\n\n  * This version of hallmark.\n")
compress_to(changelog "${version}\n -- ${MAINTAINER}  ${when}\n")
file(GLOB pages RELATIVE ${TO} ${TO}/man1/*.1)
foreach(page IN LISTS pages)
  execute_process(COMMAND ${GZIP} -9nc ${TO}/${page} OUTPUT_FILE ${TO}/debian/${page}.gz COMMAND_ERROR_IS_FATAL ANY)
endforeach()
