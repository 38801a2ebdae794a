#define _GNU_SOURCE
#include "unfinished.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "dir_list.h"
#include "place.h"

// What a process has begun is a matter of the process: a context would have to reach every writer and the signal alike.
static pthread_mutex_t lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
static unfinished *newest;

void unfinished_lock(void)   { pthread_mutex_lock(&lock); }
void unfinished_unlock(void) { pthread_mutex_unlock(&lock); }

bool unfinished_lock_within(int milliseconds)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec  += milliseconds / 1000;
    until.tv_nsec += milliseconds % 1000 * 1000000L;
    if (until.tv_nsec >= 1000000000L) {
        until.tv_nsec -= 1000000000L;
        until.tv_sec++;
    }
    return pthread_mutex_clocklock(&lock, CLOCK_MONOTONIC, &until) == 0;
}

void unfinished_add(unfinished *u)
{
    u->next = newest;
    newest = u;
}

void unfinished_drop(unfinished *u)
{
    unfinished **at = &newest;
    while (*at && *at != u) at = &(*at)->next;
    if (*at) *at = u->next;
}

bool unfinished_flushing(void)
{
    for (const unfinished *u = newest; u; u = u->next)
        if (atomic_load(&u->flushing)) return true;
    return false;
}

// ---- removing -------------------------------------------------------------------------------------------------------

enum { MOST_DEPTH = 8 };        // what is made here has no folders in it; more than these are none of ours

// Everything in the folder that is open as fd; links are removed, not followed.
static void empty_folder(int fd, int depth)
{
    DIR *d = dir_entries(fd);
    for (struct dirent *x; d && (x = readdir(d)) != NULL;) {
        if (!dir_is_entry(x->d_name) || unlinkat(fd, x->d_name, 0) == 0 || depth == MOST_DEPTH) continue;
        const int below = openat(fd, x->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (below < 0) continue;
        empty_folder(below, depth + 1);
        close(below);
        unlinkat(fd, x->d_name, AT_REMOVEDIR);
    }
    if (d) closedir(d);
}

static bool same_folder(int a, int b)
{
    struct stat x, y;
    return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

// Does it lie in a folder that is listed, too? That one was made before it.
static bool inside_another(const unfinished *u)
{
    for (const unfinished *f = u->next; f; f = f->next)
        if (f->folder && same_folder(f->fd, u->dir_fd)) return true;
    return false;
}

void unfinished_remove_all(void (*tell)(void *ctx, const unfinished *u), void *ctx)
{
    for (unfinished *u = newest; u; u = u->next) {
        if (!is_still(u->dir_fd, u->name, u->fd)) continue;
        if (u->folder) empty_folder(u->fd, 0);
        unlinkat(u->dir_fd, u->name, u->folder ? AT_REMOVEDIR : 0);
        if (u->path && !inside_another(u)) tell(ctx, u);
    }
}
