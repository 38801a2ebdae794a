# Read by cpack for each kind of package. The time in a package is that of its commit, so that its bytes are the same
# whenever it is made (of a .deb under one umask, which its outermost headers keep).
set(SOURCE ${CPACK_HALLMARK_SOURCE})
include(${CMAKE_CURRENT_LIST_DIR}/epoch.cmake)
if(CPACK_GENERATOR STREQUAL "DEB")
  if(NOT EXISTS /usr/bin/dpkg-shlibdeps)
    message(FATAL_ERROR "a .deb needs dpkg-shlibdeps (dpkg-dev), which says what the program depends on")
  endif()
  set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
  set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
  list(GET CPACK_INSTALL_CMAKE_PROJECTS 0 build)
  set(CPACK_INSTALL_CMAKE_PROJECTS "${build};hallmark;Unspecified;/;${build};hallmark;debian;/")
endif()
