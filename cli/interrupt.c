#define _GNU_SOURCE
#include "interrupt.h"
#include "answer.h"
#include "terminal.h"
#include "../formats/text.h"
#include "../formats/unfinished.h"
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct { int number; const char *name; } SIGNALS[] = {
    { SIGINT, "SIGINT" }, { SIGTERM, "SIGTERM" }, { SIGHUP, "SIGHUP" }, { SIGPIPE, "SIGPIPE" },
};

typedef struct {
    const char *command;
    pthread_t   thread;
    sigset_t    set;            // of those that are waited for
} watcher;

static watcher watch;           // of the thread, which lives as long as the process
static atomic_bool done;        // the work is: main holds the lock for good

static const char *name_of(int number)
{
    for (int i = 0; i < N_ROWS(SIGNALS); i++)
        if (SIGNALS[i].number == number) return SIGNALS[i].name;
    return "a signal";
}

// ---- what is said ---------------------------------------------------------------------------------------------------

// Past stdio, whose locks others may hold; and a reader that does not read holds nothing up.
static void say(const char *text)
{
    struct pollfd p = { .fd = STDERR_FILENO, .events = POLLOUT };
    if (poll(&p, 1, 200) != 1 || !(p.revents & POLLOUT)) return;
    (void)!write(STDERR_FILENO, text, strlen(text));
}

static void say_line(const char *text)
{
    text_buf t = { 0 };
    if (terminal_is(STDERR_FILENO)) text_words(&t, "\r\033[K");     // a bar may stand there
    text_words(&t, "hallmark ");
    text_words(&t, watch.command);
    text_words(&t, ": ");
    text_puts(&t, TEXT_PLAIN, text);
    text_words(&t, "\n");
    char *line = text_take(&t);
    if (line) say(line);
    free(line);
}

typedef struct {
    text_buf    message;
    const char *first;          // the first thing that was removed
} told;

static void tell(void *ctx, const unfinished *u)
{
    told *t = ctx;
    text_words(&t->message, t->first ? ", " : "; removed what was written of ");
    text_puts(&t->message, TEXT_PLAIN, u->path);
    if (!t->first) t->first = u->path;
}

// ---- the end --------------------------------------------------------------------------------------------------------

// Never gives the lock back: nobody creates or renames anything from here on.
static void end_by(int number)
{
    told t = { .first = NULL };
    if (!unfinished_lock_within(300)) {
        if (atomic_load(&done)) return;
        say_line("interrupted: flushing what was just finished to the disk, then it ends");
        unfinished_lock();
    }
    text_printf(&t.message, "interrupted by %s", name_of(number));
    unfinished_remove_all(tell, &t);
    if (unfinished_flushing()) text_words(&t.message, "; flushing: it ends when the disk has taken what was under way");
    char *message = text_take(&t.message);
    say_line(message ? message : "interrupted");
    answer_interrupted(128 + number, name_of(number), message ? message : "interrupted", t.first);
    _exit(128 + number);
}

static void *wait_for_one(void *unused)
{
    int number;
    if (sigwait(&watch.set, &number) == 0) end_by(number);
    return unused;
}

// SIGPIPE comes to the thread that wrote, and cannot be waited for by another: it is handed on, and the writer goes no
// further.
static void hand_on(int number)
{
    if (!atomic_load(&done)) pthread_kill(watch.thread, number);
    while (!atomic_load(&done)) pause();
}

static void let_writers_hand_on(void)
{
    sigset_t broken_pipe;
    const struct sigaction a = { .sa_handler = hand_on };
    sigemptyset(&broken_pipe);
    sigaddset(&broken_pipe, SIGPIPE);
    if (sigismember(&watch.set, SIGPIPE) != 1) return;
    sigaction(SIGPIPE, &a, NULL);
    pthread_sigmask(SIG_UNBLOCK, &broken_pipe, NULL);       // of all threads but the one that waits
}

void interrupt_watch(const char *name)
{
    struct sigaction was;
    int n = 0;
    watch.command = name;
    sigemptyset(&watch.set);
    for (int i = 0; i < N_ROWS(SIGNALS); i++) {
        if (sigaction(SIGNALS[i].number, NULL, &was) != 0 || was.sa_handler == SIG_IGN) continue;
        sigaddset(&watch.set, SIGNALS[i].number);
        n++;
    }
    if (n == 0 || pthread_sigmask(SIG_BLOCK, &watch.set, NULL) != 0) return;
    // Where there is no room for a thread they do what they always did.
    if (pthread_create(&watch.thread, NULL, wait_for_one, NULL) != 0) {
        pthread_sigmask(SIG_UNBLOCK, &watch.set, NULL);
        return;
    }
    pthread_detach(watch.thread);
    let_writers_hand_on();
}

void interrupt_end(void)
{
    unfinished_lock();
    atomic_store(&done, true);
}
