// Proves formats/outfile.h: whatever happens, the final name holds the old file or the new one, whole.
#define _GNU_SOURCE
#include "bytes.h"
#include "formats/outfile.h"
#include "formats/unfinished.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <omp.h>
#include <sched.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

// Files in dir whose name holds ".partial-".
static int count_partials(const char *dir)
{
    int  n = 0;
    DIR *d = opendir(dir);
    for (struct dirent *e; (e = readdir(d));) n += strstr(e->d_name, ".partial-") != NULL;
    closedir(d);
    return n;
}

// Runs f in a child; its exit status, or 128 + the signal that ended it.
static int in_child(int (*f)(const char *dir), const char *dir)
{
    fflush(NULL);
    pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) _exit(f(dir));
    int status;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

START_TEST(test_commit_and_abort)
{
    char *dir = new_dir(), path[4300];
    snprintf(path, sizeof path, "%s/out", dir);
    err      e = { 0 };
    uint8_t  got[100];
    outfile *f = outfile_open(path, 10, &e);
    ck_assert_msg(f != NULL, "%s", e.msg);
    ck_assert_str_eq(outfile_path(f), path);
    ck_assert(strncmp(outfile_tmp_path(f), path, strlen(path)) == 0 && strstr(outfile_tmp_path(f), ".partial-"));
    ck_assert(outfile_write_at(f, 5, "world", 5, &e) && outfile_write_at(f, 0, "hello", 5, &e));
    ck_assert_int_eq(access(path, F_OK), -1);       // nothing under the final name before the commit
    ck_assert_msg(outfile_commit(f, &e), "%s", e.msg);
    ck_assert(read_file_bytes(path, got, sizeof got) == 10 && memcmp(got, "helloworld", 10) == 0);
    f = outfile_open(path, 3, &e);
    ck_assert(outfile_write_at(f, 0, "new", 3, &e));
    outfile_abort(f);
    ck_assert(read_file_bytes(path, got, sizeof got) == 10 && memcmp(got, "helloworld", 10) == 0);
    f = outfile_open(path, 0, &e);      // of unknown size
    for (int i = 0; i < 4; i++) ck_assert(outfile_append(f, "ab", 2, &e));
    ck_assert(outfile_commit(f, &e) && read_file_bytes(path, got, sizeof got) == 8 && memcmp(got, "abababab", 8) == 0);
    ck_assert(outfile_write_whole(path, "x", 1, &e) && read_file_bytes(path, got, sizeof got) == 1);
    ck_assert(outfile_write_whole(path, "", 0, &e) && read_file_bytes(path, got, sizeof got) == 0);
    outfile_abort(NULL);
    ck_assert_int_eq(count_partials(dir), 0);
    drop_dir(dir);
}
END_TEST

START_TEST(test_ranges_are_checked)
{
    char    *dir = new_dir();
    err      e   = { 0 };
    outfile *f   = outfile_open(in_dir(dir, "out"), 10, &e);
    ck_assert(!outfile_write_at(f, 6, "world", 5, &e));
    check_refused(&e, ERR_SYSTEM, "/out: ", "offset 6: cannot write 5 bytes: the file was planned with 10");
    e = (err){ 0 };
    ck_assert(!outfile_write_at(f, -1, "w", 1, &e));
    e = (err){ 0 };
    ck_assert(!outfile_write_at(f, INT64_MAX, "w", 1, &e));
    outfile_abort(f);
    drop_dir(dir);
}
END_TEST

START_TEST(test_threads_write_disjoint_ranges)
{
    enum { N = 200, PART = 4099 };
    char    *dir = new_dir(), path[4300];
    snprintf(path, sizeof path, "%s/out", dir);
    err      e   = { 0 };
    outfile *f   = outfile_open(path, (int64_t)N * PART, &e);
    int      bad = 0;
#pragma omp parallel for schedule(dynamic) num_threads(8) reduction(+ : bad)
    for (int i = 0; i < N; i++) {
        uint8_t part[PART];
        err     own = { 0 };
        memset(part, i, PART);
        bad += !outfile_write_at(f, (int64_t)i * PART, part, PART, &own);
    }
    ck_assert_int_eq(bad, 0);
    ck_assert(outfile_commit(f, &e));
    uint8_t *got = malloc((size_t)N * PART + 1);
    ck_assert_int_eq(read_file_bytes(path, got, (int64_t)N * PART + 1), (int64_t)N * PART);
    for (int i = 0; i < N * PART; i++)
        if (got[i] != (uint8_t)(i / PART)) ck_abort_msg("byte %d is %d", i, got[i]);
    free(got);
    drop_dir(dir);
}
END_TEST

// Copies from a file of the same file system (inside the kernel), and from memory (where some kernels refuse).
START_TEST(test_copies)
{
    enum { N = 3000000 };
    char    *dir = new_dir(), path[4300], from[4300];
    snprintf(path, sizeof path, "%s/out", dir);
    snprintf(from, sizeof from, "%s/in", dir);
    uint8_t *src = malloc(N), *got = malloc(N + 1);
    for (int i = 0; i < N; i++) src[i] = (uint8_t)(i * 7 + i / 251);
    write_file(from, src, N);
    int fds[2] = { open(from, O_RDONLY), memfd_create("in", 0) };
    ck_assert_int_eq(write(fds[1], src, N), N);
    for (int k = 0; k < 2; k++) {
        err      e = { 0 };
        outfile *f = outfile_open(path, N, &e);
        const int64_t cut[] = { 0, 1, 4096, 1048577, 2999999, N };
        for (int i = 0; i < 5; i++)
            ck_assert_msg(outfile_copy_at(f, cut[i], fds[k], cut[i], cut[i + 1] - cut[i], &e), "%s", e.msg);
        ck_assert(outfile_commit(f, &e));
        ck_assert(read_file_bytes(path, got, N + 1) == N && memcmp(src, got, N) == 0);
        f = outfile_open(path, N, &e);
        ck_assert(!outfile_copy_at(f, 0, fds[k], 1, N, &e));        // one byte more than there is
        check_refused(&e, ERR_INPUT, "out", "the source ends 1 bytes early");
        outfile_abort(f);
        close(fds[k]);
    }
    free(src);
    free(got);
    drop_dir(dir);
}
END_TEST

START_TEST(test_destinations)
{
    char *dir = new_dir(), target[4300];
    err   e   = { 0 };
    char long_name[251];
    memset(long_name, 'x', 250);        // a name of its own, but not with what the temporary file adds
    long_name[250] = '\0';
    char *spoiled[] = { dir, "none/out", "none/", "/dev/null", "", "plain/out", "dangling", long_name };
    static const char *const says[] = { "it is a folder",
                                        "cannot create: there is no folder ",
                                        "the name of a folder",
                                        "it is not a regular file",
                                        "the output path is empty",
                                        "/plain is not a folder",
                                        "cannot create: No such file or directory",
                                        NULL };
    write_file(in_dir(dir, "plain"), "x", 1);
    ck_assert_int_eq(symlink("nowhere/at/all", in_dir(dir, "dangling")), 0);
    for (int i = 0; i < 8; i++) {       // asked before the work, or met when it begins: the same answer
        const char *path = i == 0 || spoiled[i][0] == '/' || !spoiled[i][0] ? spoiled[i] : in_dir(dir, spoiled[i]);
        char        copy[4300];
        err         early = { 0 };
        snprintf(copy, sizeof copy, "%s", path);
        e = (err){ 0 };
        ck_assert_ptr_null(outfile_open(copy, 1, &e));
        check_refused(&e, ERR_USAGE, NULL, says[i] ? says[i] : "the name is ");
        ck_assert(!outfile_check(copy, &early));
        ck_assert_str_eq(early.msg, e.msg);
    }
    e = (err){ 0 };
    ck_assert(!outfile_check_folder(in_dir(dir, "plain"), &e));
    check_refused(&e, ERR_USAGE, NULL, "is there already and is not a folder");
    e = (err){ 0 };
    ck_assert(!outfile_check_folder(in_dir(dir, "none/at/"), &e));
    check_refused(&e, ERR_USAGE, NULL, "cannot create: there is no folder ");
    e = (err){ 0 };
    ck_assert(!outfile_check_folder("", &e));
    e = (err){ 0 };
    ck_assert(outfile_check_folder(in_dir(dir, "new//"), &e) && outfile_check_folder(dir, &e));
    ck_assert(!outfile_check_folder("/", &e) && !outfile_check_folder(in_dir(dir, ".."), &e) &&
              !outfile_check_folder(".", &e));
    e = (err){ 0 };
    ck_assert(outfile_check(in_dir(dir, "new"), &e) && outfile_check(in_dir(dir, "plain"), &e) &&
              outfile_check("new", &e));
    ck_assert_int_eq(access(in_dir(dir, "new"), F_OK), -1);
    ck_assert_int_eq(unlink(in_dir(dir, "plain")), 0);
    e = (err){ 0 };
    ck_assert_ptr_null(outfile_open(in_dir(dir, "out"), -1, &e));
    // A link stays one, and what it points to is replaced.
    e = (err){ 0 };
    snprintf(target, sizeof target, "%s/target", dir);
    write_file(target, "old", 3);
    ck_assert_int_eq(symlink("target", in_dir(dir, "link")), 0);
    ck_assert_msg(outfile_write_whole(in_dir(dir, "link"), "newer", 5, &e), "%s", e.msg);
    uint8_t     got[10];
    struct stat st;
    ck_assert_int_eq(read_file_bytes(target, got, 10), 5);
    ck_assert(lstat(in_dir(dir, "link"), &st) == 0 && S_ISLNK(st.st_mode));
    // A name without a folder is beside where we are.
    char *cwd = getcwd(NULL, 0);
    ck_assert_int_eq(chdir(dir), 0);
    ck_assert_msg(outfile_write_whole("plain", "x", 1, &e), "%s", e.msg);
    ck_assert_int_eq(chdir(cwd), 0);
    ck_assert_int_eq(read_file_bytes(in_dir(dir, "plain"), got, 10), 1);
    free(cwd);
    drop_dir(dir);
}
END_TEST

// What a killed run left is removed by the next; what a living one is writing, and other files, are not.
START_TEST(test_leftovers)
{
    char *dir = new_dir(), path[4300], own[4400];
    err   e   = { 0 };
    snprintf(path, sizeof path, "%s/out", dir);
    snprintf(own, sizeof own, "%s.partial-%ld", path, (long)getpid());     // a dead process may have had our number
    write_file(in_dir(dir, "out.partial-99999"), "dead", 4);
    write_file(own, "dead", 4);
    write_file(in_dir(dir, "out.partial-12x"), "not ours", 8);
    write_file(in_dir(dir, "out2.partial-1"), "another file's", 14);
    write_file(in_dir(dir, "out.partial-77777"), "alive", 5);
    int fd = open(in_dir(dir, "out.partial-77777"), O_RDWR);
    ck_assert_int_eq(flock(fd, LOCK_EX), 0);
    outfile *f = outfile_open(path, 1, &e);
    ck_assert_msg(f != NULL, "%s", e.msg);
    ck_assert_int_eq(access(in_dir(dir, "out.partial-99999"), F_OK), -1);
    ck_assert_int_eq(access(in_dir(dir, "out.partial-12x"), F_OK), 0);
    ck_assert_int_eq(access(in_dir(dir, "out2.partial-1"), F_OK), 0);
    ck_assert_int_eq(access(in_dir(dir, "out.partial-77777"), F_OK), 0);
    outfile *twice = outfile_open(path, 1, &e);     // the same destination twice in one process, or in two containers
    ck_assert_msg(twice != NULL, "%s", e.msg);
    ck_assert_str_eq(outfile_tmp_path(f), own);
    ck_assert_str_ne(outfile_tmp_path(twice), own);
    ck_assert_int_eq(access(own, F_OK), 0);         // and the first one's file is still there
    ck_assert(outfile_write_at(twice, 0, "1", 1, &e) && outfile_write_at(f, 0, "2", 1, &e) &&
              outfile_commit(twice, &e) && outfile_commit(f, &e));
    uint8_t got[10];
    ck_assert(read_file_bytes(path, got, 10) == 1 && got[0] == '2');    // the last one's
    close(fd);
    drop_dir(dir);
}
END_TEST

enum { BIG = 2 << 20 };

// Replaces dir/out with BIG bytes of one value, over and over.
static int write_forever(const char *dir)
{
    static uint8_t part[BIG / 16];
    for (int v = 1;; v = v % 250 + 1) {
        err      e = { 0 };
        outfile *f = outfile_open(in_dir(dir, "out"), BIG, &e);
        if (!f) return 1;
        memset(part, v, sizeof part);
        for (int i = 0; i < 16; i++)
            if (!outfile_write_at(f, (int64_t)i * (BIG / 16), part, BIG / 16, &e)) return 1;
        if (!outfile_commit(f, &e)) return 1;
    }
}

START_TEST(test_kill_at_any_instant)
{
    enum { KILLS = 60 };
    char    *dir = new_dir(), path[4300];
    uint8_t *got = malloc(BIG + 1);
    int      seen_partial = 0, replaced = 0;
    snprintf(path, sizeof path, "%s/out", dir);
    memset(got, 0xee, BIG);
    write_file(path, got, BIG);
    uint32_t r = 2463534242u;
    for (int k = 0; k < KILLS; k++) {
        r ^= r << 13; r ^= r >> 17; r ^= r << 5;
        fflush(NULL);
        pid_t pid = fork();
        ck_assert_int_ge(pid, 0);
        if (pid == 0) _exit(write_forever(dir));
        usleep(1000 + r % 40000);
        kill(pid, SIGKILL);
        int status;
        ck_assert_int_eq(waitpid(pid, &status, 0), pid);
        ck_assert_msg(WIFSIGNALED(status), "the writer gave up by itself: %d", status);
        ck_assert_int_eq(read_file_bytes(path, got, BIG + 1), BIG);
        ck_assert_msg(memcmp(got, got + 1, BIG - 1) == 0, "kill %d: the file holds bytes of more than one run", k);
        replaced += got[0] != 0xee;
        seen_partial += count_partials(dir) > 0;
    }
    printf("killed %d times: %d left a temporary file behind, after %d the file was a new one\n", KILLS, seen_partial,
           replaced);
    ck_assert_msg(seen_partial > 0 && replaced > 0, "no kill came at a moment that proves anything");
    err e = { 0 };
    ck_assert(outfile_write_whole(path, "end", 3, &e));
    ck_assert_int_eq(count_partials(dir), 0);
    free(got);
    drop_dir(dir);
}
END_TEST

// A child without root's rights to ignore permissions.
static int write_read_only(const char *dir)
{
    if (geteuid() == 0 && (setgid(65534) != 0 || setuid(65534) != 0)) return 77;
    err      e = { 0 };
    outfile *f = outfile_open(in_dir(dir, "out"), 100, &e);
    if (f) return 10;
    if (e.kind != ERR_SYSTEM || !strstr(e.msg, "cannot create: Permission denied") || !strstr(e.msg, "/out")) return 11;
    err early = { 0 };
    if (outfile_check(in_dir(dir, "out"), &early) || early.kind != ERR_SYSTEM || strcmp(early.msg, e.msg) != 0)
        return 12;
    early = (err){ 0 };
    if (outfile_check_folder(in_dir(dir, "new"), &early) || early.kind != ERR_SYSTEM ||
        !strstr(early.msg, "Permission denied"))
        return 13;
    return 0;
}

START_TEST(test_read_only_folder)
{
    char *dir = new_dir();
    write_file(in_dir(dir, "out"), "old", 3);
    ck_assert_int_eq(chmod(dir, 0555), 0);
    int rc = in_child(write_read_only, dir);
    ck_assert_int_eq(chmod(dir, 0755), 0);
    if (rc == 77) printf("SKIP read-only folder: cannot give up root's rights: %s\n", strerror(errno));
    else ck_assert_int_eq(rc, 0);
    uint8_t got[10];
    ck_assert(read_file_bytes(in_dir(dir, "out"), got, 10) == 3 && memcmp(got, "old", 3) == 0 &&
              count_partials(dir) == 0);
    drop_dir(dir);
}
END_TEST

// A limit on file size must come back as an error, not end the program by SIGXFSZ.
static int write_over_limit(const char *dir)
{
    struct rlimit rl = { 100000, 100000 };
    static uint8_t big[200000];
    err e = { 0 };
    if (setrlimit(RLIMIT_FSIZE, &rl) != 0) return 9;
    if (outfile_open(in_dir(dir, "out"), 200000, &e) || e.kind != ERR_SYSTEM ||
        !strstr(e.msg, "cannot reserve 200000 bytes: File too large"))
        return 10;
    e = (err){ 0 };
    outfile *f = outfile_open(in_dir(dir, "out"), 0, &e);
    if (!f) return 11;
    if (!outfile_append(f, big, 60000, &e)) return 12;
    if (outfile_append(f, big, 60000, &e) || e.kind != ERR_SYSTEM || !strstr(e.msg, "File too large")) return 13;
    outfile_abort(f);
    return 0;
}

START_TEST(test_file_size_limit)
{
    char *dir = new_dir();
    write_file(in_dir(dir, "out"), "old", 3);
    ck_assert_int_eq(in_child(write_over_limit, dir), 0);
    uint8_t got[10];
    ck_assert(read_file_bytes(in_dir(dir, "out"), got, 10) == 3 && count_partials(dir) == 0);
    drop_dir(dir);
}
END_TEST

// A disk of one megabyte, in a mount namespace of its own: 77 where that is not allowed.
static int write_full_disk(const char *dir)
{
    static uint8_t big[2 << 20];
    if (unshare(geteuid() == 0 ? CLONE_NEWNS : CLONE_NEWUSER | CLONE_NEWNS) != 0 ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 || mount("tmpfs", dir, "tmpfs", 0, "size=1m") != 0)
        return 77;
    write_file(in_dir(dir, "out"), "old", 3);
    err e = { 0 };
    if (outfile_open(in_dir(dir, "out"), sizeof big, &e)) return 10;        // before the work, not after
    if (e.kind != ERR_SYSTEM || !strstr(e.msg, "cannot reserve 2097152 bytes: No space left on device")) return 11;
    if (count_partials(dir) != 0) return 12;
    e = (err){ 0 };
    outfile *f = outfile_open(in_dir(dir, "out"), 0, &e);       // of unknown size: it shows while writing
    if (!f || outfile_append(f, big, sizeof big, &e) || e.kind != ERR_SYSTEM ||
        !strstr(e.msg, "No space left on device"))
        return 13;
    outfile_abort(f);
    uint8_t got[10];
    if (read_file_bytes(in_dir(dir, "out"), got, 10) != 3 || count_partials(dir) != 0) return 14;
    e = (err){ 0 };
    return outfile_write_whole(in_dir(dir, "out"), big, 500000, &e) ? 0 : 15;        // what fits still fits
}

START_TEST(test_full_disk)
{
    char *dir = new_dir();
    int   rc  = in_child(write_full_disk, dir);
    if (rc == 77) printf("SKIP full disk: a small tmpfs cannot be mounted here\n");
    else ck_assert_int_eq(rc, 0);
    drop_dir(dir);
}
END_TEST

// ---- ended by a signal ----------------------------------------------------------------------------------------------

static void note_path(void *ctx, const unfinished *u)
{
    char *all = ctx;
    snprintf(all + strlen(all), 9000 - strlen(all), "%s%s;", u->path, atomic_load(&u->flushing) ? "!" : "");
}

// As the program does it when it is told to end: what is open goes, the newest first; what is finished stays.
static int end_while_writing(const char *dir)
{
    char said[9000] = "", want[9000];
    err  e = { 0 };
    outfile *done = outfile_open(in_dir(dir, "done"), 1, &e), *aborted = outfile_open(in_dir(dir, "aborted"), 1, &e);
    outfile *one = outfile_open(in_dir(dir, "one"), 10, &e), *two = outfile_open(in_dir(dir, "two"), 0, &e);
    if (!done || !aborted || !one || !two || !outfile_append(two, "x", 1, &e)) return 1;
    if (!outfile_commit(done, &e)) return 2;
    outfile_abort(aborted);
    if (count_partials(dir) != 2) return 3;
    unfinished_lock();
    unfinished_remove_all(note_path, said);
    snprintf(want, sizeof want, "%s;%s;", in_dir(dir, "two"), in_dir(dir, "one"));
    if (strcmp(said, want) != 0) return 4;
    if (access(in_dir(dir, "done"), F_OK) != 0 || access(in_dir(dir, "one"), F_OK) == 0) return 5;
    return count_partials(dir) == 0 ? 0 : 6;
}

// Another's file under the temporary name is not ours to remove.
static int end_beside_another(const char *dir)
{
    char said[9000] = "", aside[4300];
    err  e = { 0 };
    outfile *f = outfile_open(in_dir(dir, "one"), 1, &e);
    if (!f) return 1;
    snprintf(aside, sizeof aside, "%s/aside", dir);
    if (rename(outfile_tmp_path(f), aside) != 0) return 2;
    write_file(outfile_tmp_path(f), "theirs", 6);
    unfinished_lock();
    unfinished_remove_all(note_path, said);
    return said[0] == '\0' && access(outfile_tmp_path(f), F_OK) == 0 ? 0 : 3;
}

START_TEST(test_what_is_unfinished_is_removed)
{
    char *dir = new_dir(), *other = new_dir();
    ck_assert_int_eq(in_child(end_while_writing, dir), 0);
    ck_assert_int_eq(in_child(end_beside_another, other), 0);
    drop_dir(dir);
    drop_dir(other);
}
END_TEST

// A flush that is under way is told: the process ends only with it. Who holds the lock is waited for.
START_TEST(test_the_lock_is_one_for_all)
{
    unfinished_lock();
    unfinished_lock();                  // once more by the same thread
    int got = -1;
#pragma omp parallel num_threads(2)
    if (omp_get_thread_num() == 1) got = unfinished_lock_within(20);
    ck_assert_int_eq(got, 0);
    unfinished_unlock();
    unfinished_unlock();
    ck_assert(unfinished_lock_within(0));
    unfinished_unlock();
}
END_TEST

// What stands for an open stream is no place, even where the stream leads to a file.
START_TEST(test_open_streams)
{
    char *dir = new_dir(), name[64];
    int   ends[2], fd = open(in_dir(dir, "plain"), O_RDWR | O_CREAT, 0600);
    ck_assert(fd >= 0 && pipe(ends) == 0);
    static const char *const shapes[] = { "/dev/fd/%d", "/proc/self/fd/%d" };
    for (int i = 0; i < 4; i++) {
        err e = { 0 };
        snprintf(name, sizeof name, shapes[i % 2], i < 2 ? fd : ends[1]);
        ck_assert(!outfile_check(name, &e));
        check_refused(&e, ERR_USAGE, name, i < 2 ? "but an open stream" : "but a pipe");
    }
    err e = { 0 };
    ck_assert_int_eq(symlink("/proc/self/fd/1", in_dir(dir, "link")), 0);
    ck_assert(!outfile_check(in_dir(dir, "link"), &e));
    check_refused(&e, ERR_USAGE, "/link", "not a regular file");
    close(fd);
    close(ends[0]);
    close(ends[1]);
    drop_dir(dir);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("outfile");
    TCase *t = tcase_create("all");
    tcase_set_timeout(t, 300);
    tcase_add_test(t, test_commit_and_abort);
    tcase_add_test(t, test_ranges_are_checked);
    tcase_add_test(t, test_threads_write_disjoint_ranges);
    tcase_add_test(t, test_copies);
    tcase_add_test(t, test_destinations);
    tcase_add_test(t, test_leftovers);
    tcase_add_test(t, test_kill_at_any_instant);
    tcase_add_test(t, test_read_only_folder);
    tcase_add_test(t, test_file_size_limit);
    tcase_add_test(t, test_full_disk);
    tcase_add_test(t, test_what_is_unfinished_is_removed);
    tcase_add_test(t, test_the_lock_is_one_for_all);
    tcase_add_test(t, test_open_streams);
    suite_add_tcase(s, t);
    return run_suite(s);
}
