// script: where hf_fixture.py lies that belongs to this program, so that a command that is printed works from anywhere
// and runs no other's file.
#ifndef HALLMARK_CLI_SCRIPT_H
#define HALLMARK_CLI_SCRIPT_H

#include <stdbool.h>

// Its path, absolute; freed by the caller. Looked for are, from the folder of the program: where `cmake --install` puts
// it, the sources around a build folder, and the sources that a build folder elsewhere was made from. Never the current
// folder; and only where the file and its folders belong to us, to root or to the program's owner, and may not be
// written to by everybody.
// NULL: there is none.
char *script_find(void);

#endif
