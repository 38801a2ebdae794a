// Proves gpu_upload_large (device/gpu.h) on the device that is the processor: what arrives is what was sent, whatever
// the size, for several threads, one upload behind another without waiting, on a device that copies as late as it may;
// and a file that becomes shorter meanwhile is met by the program's handler, in whichever thread it happens.
#define _GNU_SOURCE
#include "device/gpu.h"
#include "device/host/calls_host.h"
#include "suite.h"
#include <check.h>
#include <omp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static err e;
static void must(bool ok) { ck_assert_msg(ok, "%s", e.msg); }

// ---- a device that copies as late as it may -------------------------------------------------------------------------
// A copy to the device waits until somebody waits for it: for the event recorded behind it, or for the stream. Until
// then its source must stay as it is.

enum { MAX_WAITING = 64, MIB = 1 << 20 };
static struct { void *dst; const void *src; size_t n; } late[MAX_WAITING];
static int n_late, n_done, most_late;           // late[n_done .. n_late - 1] wait
static struct { void *event; int upto; } marks[MAX_WAITING];
static int n_marks;

static void copy_upto(int upto)
{
    for (; n_done < upto; n_done++)
        memcpy(late[n_done % MAX_WAITING].dst, late[n_done % MAX_WAITING].src, late[n_done % MAX_WAITING].n);
}

static int late_copy(void *dst, const void *src, size_t n, int direction, void *stream)
{
    if (direction != GPU_TO_DEVICE) {
        copy_upto(n_late);
        return host_calls()->copy(dst, src, n, direction, stream);
    }
    ck_assert_int_lt(n_late - n_done, MAX_WAITING);
    late[n_late % MAX_WAITING].dst = dst;
    late[n_late % MAX_WAITING].src = src;
    late[n_late++ % MAX_WAITING].n = n;
    if (n_late - n_done > most_late) most_late = n_late - n_done;
    return 0;
}

static int late_record(void *event, void *stream)
{
    int i = 0;
    while (i < n_marks && marks[i].event != event) i++;
    ck_assert_int_lt(i, MAX_WAITING);
    marks[i].event = event;
    marks[i].upto = n_late;
    if (i == n_marks) n_marks++;
    return 0;
}

static int late_event_sync(void *event)
{
    for (int i = 0; i < n_marks; i++)
        if (marks[i].event == event) copy_upto(marks[i].upto);
    return 0;
}

static int late_sync(void *stream) { copy_upto(n_late); return host_calls()->stream_sync(stream); }

static gpu *open_late(void)
{
    static cuda_calls calls;
    calls = *host_calls();
    calls.copy = late_copy;
    calls.event_record = late_record;
    calls.event_sync = late_event_sync;
    calls.stream_sync = late_sync;
    n_late = n_done = n_marks = most_late = 0;
    gpu *g = gpu_open(&calls, &e);
    must(g != NULL);
    return g;
}

static uint8_t *some_bytes(size_t n)
{
    uint8_t *p = malloc(n + 1);
    uint32_t s = (uint32_t)n;
    for (size_t i = 0; i < n; i++) p[i] = (uint8_t)((s = s * 1664525u + 1013904223u) >> 24);
    return p;
}

// Tensors as a model has them: large, small, none; together several times what all buffers hold.
START_TEST(what_arrives_is_what_was_sent)
{
    static const int threads[] = { 1, 2, 5 };
    static const size_t sizes[] = { 40 * MIB + 3, 1, 0, MIB / 2, MIB / 2 + 1, 6000, 16 * MIB, 16 * MIB + 1,
                                    70 * MIB - 1, 5, 7, 11,      13,          17 };
    enum { N = sizeof sizes / sizeof sizes[0] };
    omp_set_num_threads(threads[_i]);
    gpu *g = open_late();
    uint8_t *src[N], *back = malloc(70 * MIB);
    void *dst[N];
    for (int i = 0; i < N; i++) {
        src[i] = some_bytes(sizes[i]);
        must(gpu_alloc(g, &dst[i], (int64_t)sizes[i], "test", &e));
    }
    for (int i = 0; i < N; i++) {
        uint8_t *sent = malloc(sizes[i] + 1);           // may be reused at once
        memcpy(sent, src[i], sizes[i]);
        must(gpu_upload_large(g, dst[i], sent, (int64_t)sizes[i], &e));
        memset(sent, 0xaa, sizes[i]);
        free(sent);
    }
    ck_assert_int_gt(most_late, 1);                     // several travel at a time
    ck_assert_int_lt(n_done, n_late);                   // and nobody waited for the last
    for (int i = 0; i < N; i++) {
        must(gpu_download(g, back, dst[i], (int64_t)sizes[i], &e));
        ck_assert_msg(memcmp(back, src[i], sizes[i]) == 0, "%zu bytes by %d threads are not what was sent", sizes[i],
                      threads[_i]);
        free(src[i]);
    }
    free(back);
    gpu_close(g);
    ck_assert_int_eq(host_calls_live(), 0);
    omp_set_num_threads(1);
}
END_TEST

// ---- a file that becomes shorter ------------------------------------------------------------------------------------

static void on_bus_error(int sig) { _exit(gettid() == getpid() ? 3 : 33); }

// What the process ends with: 3 or 33 (in a thread of OpenMP's) from the handler; 0 when nothing was noticed.
static int upload_of_a_shortened_file(int threads)
{
    char path[] = "/tmp/hallmark-upload-XXXXXX";
    const int fd = mkstemp(path);
    const int64_t size = 48 * MIB;
    if (fd < 0 || unlink(path) != 0 || ftruncate(fd, size) != 0) return 1;
    uint8_t *map = mmap(NULL, (size_t)size, PROT_READ, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED || ftruncate(fd, 21 * MIB) != 0) return 1;
    signal(SIGBUS, on_bus_error);
    omp_set_num_threads(threads);
    gpu *g = gpu_open(NULL, &e);
    void *dst = NULL;
    return g && gpu_alloc(g, &dst, size, "test", &e) && gpu_upload_large(g, dst, map, size, &e) ? 0 : 2;
}

START_TEST(a_file_that_becomes_shorter_is_noticed)
{
    int in_another = 0;
    for (int i = 0; i < 12; i++) {
        int status = 0;
        const pid_t child = fork();
        if (child == 0) _exit(upload_of_a_shortened_file(i == 0 ? 1 : 4));
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        ck_assert_msg(WIFEXITED(status) && (WEXITSTATUS(status) == 3 || WEXITSTATUS(status) == 33),
                      "round %d: status %x", i, status);
        in_another += WEXITSTATUS(status) == 33;
    }
    ck_assert_int_gt(in_another, 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("cuda_upload");
    TCase *t = tcase_create("upload");
    // first: a process that has run OpenMP's threads cannot be forked
    tcase_add_test(t, a_file_that_becomes_shorter_is_noticed);
    tcase_add_loop_test(t, what_arrives_is_what_was_sent, 0, 3);
    suite_add_tcase(s, t);
    return run_suite(s);
}
