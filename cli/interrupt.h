// interrupt: SIGINT, SIGTERM, SIGHUP and SIGPIPE (nobody reads any more) end the program at any stage: what it has
// begun to write is removed (formats/unfinished.h), which is said, and the exit status is 130, 143, 129 or 141.
//
// A thread of its own waits for the signals, which all others block: no loop has to look for them, and a long kernel
// does not hold them up. What cannot be broken off is a flush to the disk: then the process ends with that, and says
// so. A signal that was ignored when the program began (nohup) stays so. Proved by tests/signals_test.c.
#ifndef HALLMARK_CLI_INTERRUPT_H
#define HALLMARK_CLI_INTERRUPT_H

void interrupt_watch(const char *name);     // before any other thread; of the command, for messages; borrowed

// The work is done, and its status is known: a signal that comes now changes nothing.
void interrupt_end(void);

#endif
