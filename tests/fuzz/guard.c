// guard: an input may take processor time in proportion to its size and no more. What takes longer is a finding, as a
// crash is.
#include "fuzz.h"

#include <signal.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

// A reader of a megabyte needs some hundredths of a second, under sanitizers up to one (a text cut into tokens costs
// most). Work that grows with the square of the input needs minutes for the 4 MB that the fuzzer goes up to.
enum { SECONDS = 8, SECONDS_A_MEGABYTE = 4 };

static void too_long(int sig)
{
    static const char text[] = "more processor time than an input of this size may take\n";
    (void)!write(STDERR_FILENO, text, sizeof text - 1);
    abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const time_t seconds = SECONDS + (time_t)(size >> 20) * SECONDS_A_MEGABYTE;
    const struct itimerval limit = { .it_value.tv_sec = seconds }, none = { 0 };
    struct sigaction on_limit = { .sa_handler = too_long };
    sigaction(SIGPROF, &on_limit, NULL);
    setitimer(ITIMER_PROF, &limit, NULL);       // of the process, all threads together
    fuzz_one(data, size);
    setitimer(ITIMER_PROF, &none, NULL);
    return 0;
}
