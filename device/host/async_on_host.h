// async_on_host: copies that a thread starts and waits for later (cp.async on a device), for kernels that run on the
// processor.
//
// On a device such a copy arrives at any time between its start and the wait that covers it. Here every other copy of a
// thread arrives at once and the rest when the thread waits: a missing wait or barrier reads what was there before, a
// buffer that is filled again too early is seen to change. A thread that returns with copies it never waited for ends
// the program with a message.
#ifndef HALLMARK_DEVICE_ASYNC_ON_HOST_H
#define HALLMARK_DEVICE_ASYNC_ON_HOST_H

void host_copy_async(void *dst, const void *src);   // 16 bytes, both ends on a multiple of 16
void host_copies_commit();                          // what was started since the last commit is one group
void host_copies_wait(int n);                       // until at most the n latest groups are under way
void host_copies_end();                             // the current thread returns (grid.cpp)

#endif
