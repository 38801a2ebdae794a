# Run by cpack behind each package: a .tar.gz is made once more in the order of its names, without the time of day or
# the user who made it, which cpack's own takes from the file system.
if(CPACK_GENERATOR STREQUAL "TGZ" AND DEFINED ENV{SOURCE_DATE_EPOCH})
  find_program(TAR tar REQUIRED)
  find_program(GZIP gzip REQUIRED)
  get_filename_component(above ${CPACK_TEMPORARY_DIRECTORY} DIRECTORY)
  get_filename_component(name ${CPACK_TEMPORARY_DIRECTORY} NAME)
  set(same --sort=name --mtime=@$ENV{SOURCE_DATE_EPOCH} --owner=0 --group=0 --numeric-owner)
  execute_process(COMMAND ${TAR} ${same} -C ${above} -cf - ${name}
                  COMMAND ${GZIP} -9n OUTPUT_FILE ${CPACK_PACKAGE_FILES} COMMAND_ERROR_IS_FATAL ANY)
endif()
