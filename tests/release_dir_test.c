// Proves release/release_dir.h and release_list.h: a folder is published through its parent's descriptor; removed is
// only what is our own and listed by a release's report, and only when the new name is on disk. Links, pipes and
// folders of others stay, whenever they appear.
#define _GNU_SOURCE
#include "bytes.h"
#include "formats/sha256.h"
#include "formats/outfile.h"
#include "release/release_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

enum { NOBODY = 65534 };

static char *dir, dest[4400];

static void begin(void)
{
    dir = new_dir();
    snprintf(dest, sizeof dest, "%s/rel", dir);
}
static void end(void) { drop_dir(dir); }

// ---- the calls that publish, watched --------------------------------------------------------------------------------
// Defined here, these stand before the C library's.

static void (*before_rename)(void);     // run once, between the last look at the destination and the call
static bool   no_exchange;              // a file system that cannot exchange names
static char   calls[256];               // 'r' a rename, 'f' a folder flushed, 'u' something removed

static void note(char c)
{
    const size_t n = strlen(calls);
    if (n + 1 < sizeof calls && (n == 0 || calls[n - 1] != c)) { calls[n] = c; calls[n + 1] = '\0'; }
}

static void interfere(void)
{
    void (*f)(void) = before_rename;
    before_rename = NULL;
    if (f) f();
}

int renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned flags)
{
    interfere();
    if (no_exchange && flags) { errno = EINVAL; return -1; }
    note('r');
    return (int)syscall(SYS_renameat2, from_fd, from, to_fd, to, flags);
}

int renameat(int from_fd, const char *from, int to_fd, const char *to)
{
    if (strstr(from, "rel")) { interfere(); note('r'); }        // not outfile's
    return (int)syscall(SYS_renameat2, from_fd, from, to_fd, to, 0);
}

int fsync(int fd)
{
    struct stat st;
    if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode)) note('f');
    return (int)syscall(SYS_fsync, fd);
}

int unlinkat(int fd, const char *name, int flags)
{
    note('u');
    return (int)syscall(SYS_unlinkat, fd, name, flags);
}

// ---- making and looking ---------------------------------------------------------------------------------------------

static void put_text_in(const char *name, const char *text) { write_text(in_dir(dir, name), text); }
static bool there(const char *name) { return faccessat(AT_FDCWD, in_dir(dir, name), F_OK, AT_SYMLINK_NOFOLLOW) == 0; }

static mode_t mode_of(const char *name)
{
    struct stat st;
    ck_assert_msg(lstat(in_dir(dir, name), &st) == 0, "%s is not there", name);
    return st.st_mode;
}

static void check_text(const char *name, const char *text)
{
    uint8_t got[100];
    const int64_t n = (int64_t)strlen(text);
    ck_assert_msg(read_file_bytes(in_dir(dir, name), got, sizeof got) == n && memcmp(got, text, (size_t)n) == 0,
                  "%s does not hold '%s'", name, text);
}

static int entries(const char *name)
{
    int  n = -2;
    DIR *d = opendir(in_dir(dir, name));
    ck_assert_ptr_nonnull(d);
    while (readdir(d)) n++;
    closedir(d);
    return n;
}

#define REPORT(names) "{\"hallmark_release\":1,\"artifacts\":[" names "]}"
#define ONE(name) "{\"artifact\":\"" name "\"}"

// A folder with one artifact and its report, as a release left it.
static void old_release(const char *name)
{
    char path[300];
    ck_assert_int_eq(mkdir(in_dir(dir, name), 0777), 0);
    snprintf(path, sizeof path, "%s/a-BF16.gguf", name);
    put_text_in(path, "weights");
    snprintf(path, sizeof path, "%s/report.json", name);
    put_text_in(path, REPORT(ONE("a-BF16.gguf")));
    snprintf(path, sizeof path, "%s/report.md", name);
    put_text_in(path, "# a");
}

static void stage(release_dir *d)
{
    static const char *const names[] = { "a-BF16.gguf" };
    char path[4600];
    err  e = { 0 };
    const release_names all = { .artifacts = names, .n_artifacts = 1 };
    ck_assert_msg(release_dir_begin(d, dest, &all, &e), "%s", e.msg);
    snprintf(path, sizeof path, "%s/a-BF16.gguf", d->path);
    write_file(path, "new", 3);
}

static release_before publish(release_dir *d)
{
    release_before before;
    err e = { 0 };
    calls[0] = '\0';
    ck_assert_msg(release_dir_publish(d, dest, &before, &e), "%s", e.msg);
    return before;
}

// It is not published, and what was made is still there.
static void not_published(release_dir *d, err_kind kind, const char *text)
{
    release_before before;
    char staged[4600];
    err  e = { 0 };
    snprintf(staged, sizeof staged, "%s/a-BF16.gguf", d->path);
    ck_assert(!release_dir_publish(d, dest, &before, &e));
    check_refused(&e, kind, "rel", text);
    ck_assert(!before.replaced && !before.left);
    ck_assert_int_eq(access(staged, F_OK), 0);
}

static bool is_root(const char *what)
{
    if (geteuid() == 0) return true;
    printf("SKIP %s: only root can make another user's\n", what);
    return false;
}

// ---- what killed runs left ------------------------------------------------------------------------------------------

START_TEST(leftovers_of_ours_go_with_what_they_list_and_nothing_else)
{
    release_dir d;
    old_release("rel.partial-1");                   // killed late
    ck_assert_int_eq(mkdir(in_dir(dir, "rel.partial-2"), 0700), 0);             // at once
    ck_assert_int_eq(mkdir(in_dir(dir, "rel.partial-3"), 0700), 0);             // as its first report was written
    put_text_in("rel.partial-3/report.json.partial-77", "{");
    ck_assert_int_eq(mkdir(in_dir(dir, "rel.partial-4"), 0700), 0);             // as an artifact was written
    put_text_in("rel.partial-4/report.json", REPORT(ONE("a-BF16.gguf")));
    put_text_in("rel.partial-4/a-BF16.gguf.partial-77", "weights");
    ck_assert_int_eq(mkdir(in_dir(dir, "rel.partial-5"), 0700), 0);             // as it was being removed
    put_text_in("rel.partial-5/report.json", REPORT(ONE("a-BF16.gguf")));
    old_release("rel.partial-6");                   // somebody's own files among them
    put_text_in("rel.partial-6/notes.txt", "mine");
    put_text_in("rel.partial-6/mmproj.gguf", "mine");
    ck_assert_int_eq(mkdir(in_dir(dir, "rel.partial-7"), 0777), 0);    // a folder of models that happens to be named so
    put_text_in("rel.partial-7/model.gguf", "mine");
    put_text_in("rel.partial-7/report.json", "{\"report\":true}");
    old_release("rel.partial-8");                   // at work
    const int lock = open(in_dir(dir, "rel.partial-8"), O_RDONLY | O_DIRECTORY);
    ck_assert_int_eq(flock(lock, LOCK_EX), 0);
    old_release("rel.partial-9x");
    old_release("other.partial-1");
    stage(&d);
    for (int i = 1; i <= 5; i++) {
        char name[32];
        snprintf(name, sizeof name, "rel.partial-%d", i);
        ck_assert_msg(!there(name), "%s is still there", name);
    }
    ck_assert_int_eq(entries("rel.partial-6"), 2);
    check_text("rel.partial-6/notes.txt", "mine");
    check_text("rel.partial-6/mmproj.gguf", "mine");
    ck_assert(entries("rel.partial-7") == 2 && entries("rel.partial-8") == 3 && entries("rel.partial-9x") == 3 &&
              entries("other.partial-1") == 3);
    release_dir_abort(&d);
    close(lock);
}
END_TEST

START_TEST(nothing_is_removed_through_a_link)
{
    release_dir d;
    char own[64];
    old_release("elsewhere");
    put_text_in("victim.gguf", "mine");
    snprintf(own, sizeof own, "rel.partial-%ld", (long)getpid());
    ck_assert(symlink("elsewhere", in_dir(dir, "rel.partial-1")) == 0 && symlink("elsewhere", in_dir(dir, own)) == 0);
    ck_assert(mkfifo(in_dir(dir, "rel.partial-2"), 0666) == 0);
    old_release("rel.partial-3");    // within: a link where the artifact should be, and a folder of that name
    ck_assert(unlink(in_dir(dir, "rel.partial-3/a-BF16.gguf")) == 0 &&
              symlink("../victim.gguf", in_dir(dir, "rel.partial-3/a-BF16.gguf")) == 0);
    old_release("rel.partial-4");
    ck_assert(unlink(in_dir(dir, "rel.partial-4/a-BF16.gguf")) == 0 &&
              mkdir(in_dir(dir, "rel.partial-4/a-BF16.gguf"), 0777) == 0);
    put_text_in("rel.partial-4/a-BF16.gguf/x", "mine");
    ck_assert(mkdir(in_dir(dir, "rel.partial-5"), 0777) == 0 &&
              symlink("../elsewhere/report.json", in_dir(dir, "rel.partial-5/report.json")) == 0);
    put_text_in("rel.partial-5/a-BF16.gguf", "mine");
    ck_assert(mkdir(in_dir(dir, "rel.partial-6"), 0777) == 0);
    put_text_in("rel.partial-6/report.json",
                REPORT(ONE("../victim.gguf") "," ONE("../elsewhere/a-BF16.gguf") "," ONE("notes.txt")));
    put_text_in("rel.partial-6/notes.txt", "mine");
    if (is_root("a folder")) {
        old_release("rel.partial-7");
        ck_assert_int_eq(chown(in_dir(dir, "rel.partial-7"), NOBODY, NOBODY), 0);
    }
    stage(&d);
    ck_assert_str_ne(d.name, own);
    ck_assert(entries("elsewhere") == 3 && S_ISLNK(mode_of("rel.partial-1")) && S_ISLNK(mode_of(own)) &&
              S_ISFIFO(mode_of("rel.partial-2")));
    ck_assert(!there("rel.partial-3"));
    check_text("victim.gguf", "mine");
    check_text("rel.partial-4/a-BF16.gguf/x", "mine");
    check_text("rel.partial-5/a-BF16.gguf", "mine");
    check_text("rel.partial-6/notes.txt", "mine");
    if (geteuid() == 0) ck_assert_int_eq(entries("rel.partial-7"), 3);
    publish(&d);
    ck_assert(entries("rel") == 2 && entries("elsewhere") == 3);
}
END_TEST

// ---- what is at the destination -------------------------------------------------------------------------------------

static void in_the_way(err_kind kind, const char *text)
{
    err e = { 0 };
    ck_assert(!release_dir_free_to_use(dest, &e));
    check_refused(&e, kind, "rel", text);
}

static const char *const OWN[] = { "README.md", "a-BF16.gguf.bak", "b.gguf.partial-1", "mmproj-BF16.gguf" };
enum { N_OWN = sizeof OWN / sizeof *OWN };

static void put_own(void)
{
    for (int i = 0; i < N_OWN; i++) {
        char path[300];
        snprintf(path, sizeof path, "rel/%s", OWN[i]);
        put_text_in(path, "mine");
    }
    ck_assert_int_eq(mkdir(in_dir(dir, "rel/z"), 0777), 0);
    put_text_in("rel/z/inside", "mine");
}

static void check_own(void)
{
    for (int i = 0; i < N_OWN; i++) {
        char path[300];
        snprintf(path, sizeof path, "rel/%s", OWN[i]);
        check_text(path, "mine");
    }
    check_text("rel/z/inside", "mine");
}

START_TEST(what_the_release_did_not_write_stays)
{
    err e = { 0 };
    release_dir d;
    for (int linked = 0; linked < 2; linked++) {    // given a second name before, and not
        dir_list own = { 0 };
        bool done;
        if (!linked) { old_release("rel"); put_own(); }
        ck_assert_msg(release_dir_free_to_use(dest, &e) && release_dir_own(&own, dest, &e), "%s", e.msg);
        ck_assert_int_eq(own.n, N_OWN + 1);
        for (int i = 0; i < N_OWN; i++) ck_assert_str_eq(own.v[i], OWN[i]);
        ck_assert_str_eq(own.v[N_OWN], "z");
        dir_list_free(&own);
        stage(&d);
        for (int i = 0; i < N_OWN && linked; i++)
            ck_assert(release_dir_link(&d, dest, OWN[i], &done, &e) && done);
        ck_assert(release_dir_link(&d, dest, "z", &done, &e) && !done);
        no_exchange = linked;
        const release_before before = publish(&d);
        no_exchange = false;
        ck_assert(before.replaced && !before.left);
        check_own();
        check_text("rel/a-BF16.gguf", "new");
        ck_assert_int_eq(entries("rel"), 2 + N_OWN + 1);
        ck_assert_int_eq(entries("."), 1);
    }
}
END_TEST

// A second name that a release gave up, or was killed over, is no file more; what has one name alone stays.
START_TEST(second_names_go_with_the_folder_that_has_them)
{
    err  e = { 0 };
    bool done;
    release_dir d;
    old_release("rel");
    put_own();
    stage(&d);
    ck_assert(release_dir_link(&d, dest, "README.md", &done, &e) && done);
    release_dir_abort(&d);
    ck_assert_int_eq(entries("."), 1);
    check_own();
    ck_assert_int_eq(mkdir(in_dir(dir, "rel.partial-1"), 0700), 0);
    put_text_in("rel.partial-1/report.json", REPORT(ONE("a-BF16.gguf")));
    ck_assert_int_eq(link(in_dir(dir, "rel/README.md"), in_dir(dir, "rel.partial-1/README.md")), 0);
    ck_assert_int_eq(mkdir(in_dir(dir, "rel.partial-2"), 0700), 0);
    put_text_in("rel.partial-2/report.json", REPORT(ONE("a-BF16.gguf")));
    put_text_in("rel.partial-2/README.md", "another");
    stage(&d);
    ck_assert(!there("rel.partial-1"));
    check_text("rel.partial-2/README.md", "another");
    release_dir_abort(&d);
    check_own();
}
END_TEST

#define FILES(name, sha)                                                                                               \
    "{\"hallmark_release\":1,\"artifacts\":[],\"files\":[{\"name\":\"" name "\",\"sha256\":\"" sha "\"}]}"

// A file beside the artifacts is the release's while it is what the report says.
START_TEST(a_file_that_was_changed_is_no_longer_the_releases)
{
    err e = { 0 };
    dir_list own = { 0 };
    char hex[SHA256_HEX + 1], report[400];
    ck_assert(sha256_bytes("mine", 4, hex, &e));
    snprintf(report, sizeof report, FILES("LICENSE", "%s"), hex);
    ck_assert_int_eq(mkdir(dest, 0777), 0);
    put_text_in("rel/report.json", report);
    put_text_in("rel/LICENSE", "mine");
    ck_assert(release_dir_own(&own, dest, &e));
    ck_assert_int_eq(own.n, 0);
    put_text_in("rel/LICENSE", "other");
    ck_assert(release_dir_own(&own, dest, &e));
    ck_assert_int_eq(own.n, 1);
    ck_assert_str_eq(own.v[0], "LICENSE");
    dir_list_free(&own);
}
END_TEST

START_TEST(what_is_no_release_is_not_replaced)
{
    err e = { 0 };
    old_release("rel");
    ck_assert_int_eq(rename(in_dir(dir, "rel/report.json"), in_dir(dir, "kept.json")), 0);
    in_the_way(ERR_USAGE, "holds no release's report.json");
    ck_assert_int_eq(symlink("../kept.json", in_dir(dir, "rel/report.json")), 0);
    in_the_way(ERR_USAGE, "holds no release's report.json");
    ck_assert(unlink(in_dir(dir, "rel/report.json")) == 0 && mkfifo(in_dir(dir, "rel/report.json"), 0666) == 0);
    in_the_way(ERR_USAGE, "holds no release's report.json");
    ck_assert_int_eq(unlink(in_dir(dir, "rel/report.json")), 0);
    put_text_in("rel/report.json", "{\"hallmark_release\":1}");
    ck_assert_int_eq(truncate(in_dir(dir, "rel/report.json"), INT64_C(1) << 40), 0);
    in_the_way(ERR_USAGE, "holds no release's report.json");
    ck_assert_int_eq(rename(in_dir(dir, "kept.json"), in_dir(dir, "rel/report.json")), 0);
    ck_assert_msg(release_dir_free_to_use(dest, &e), "%s", e.msg);
    ck_assert(rename(dest, in_dir(dir, "moved")) == 0 && symlink("moved", dest) == 0);
    in_the_way(ERR_USAGE, "is not a folder, but a link");
    ck_assert_int_eq(unlink(dest), 0);
    ck_assert_int_eq(mkdir(dest, 0777), 0);         // what a repository begins with
    ck_assert_int_eq(mkdir(in_dir(dir, "rel/.git"), 0777), 0);
    put_text_in("rel/.gitattributes", "mine");
    put_text_in("rel/LICENSE.txt", "mine");
    ck_assert_msg(release_dir_free_to_use(dest, &e), "%s", e.msg);
    put_text_in("rel/a\nb\x1b[2J", "mine");         // shown as text
    in_the_way(ERR_USAGE, "is not empty ('a\\nb\\x1b[2J')");
    ck_assert_int_eq(unlink(in_dir(dir, "rel/a\nb\x1b[2J")), 0);
    release_dir d;
    stage(&d);
    const release_before before = publish(&d);
    ck_assert(!before.replaced && !before.left);
    check_text("rel/LICENSE.txt", "mine");
    ck_assert(there("rel/.git") && there("rel/a-BF16.gguf"));
    ck_assert_int_eq(entries("rel"), 5);
}
END_TEST

#define STALE(verdict)                                                                                                 \
    "{\"hallmark_release\":1,\"name\":\"a\",\"verdict\":\"" verdict "\",\"artifacts\":[" ONE("a-BF16.gguf") "]}"

static void discards(stale_end end, const char *why)
{
    int64_t bytes = 0;
    char    told[256] = "";
    ck_assert_int_eq(release_dir_discard(in_dir(dir, "rel.failed"), "a", NULL, &bytes, told), end);
    if (end == STALE_STAYS) ck_assert_msg(bytes > 0 && strstr(told, why), "%s", told);
}

START_TEST(a_release_that_did_not_pass_is_discarded_if_it_is_ours_and_nothing_else)
{
    discards(STALE_NONE, "");
    old_release("rel.failed");
    discards(STALE_STAYS, "did not pass");          // a report without a name
    put_text_in("rel.failed/report.json", STALE("pass"));
    discards(STALE_STAYS, "did not pass");
    put_text_in("rel.failed/report.json", "{\"hallmark_release\":1,\"name\":\"b\",\"verdict\":\"fail\",\"artifacts\":[]"
                                          "}");
    discards(STALE_STAYS, "another name");
    put_text_in("rel.failed/report.json", STALE("fail"));
    put_text_in("rel.failed/notes", "mine");
    discards(STALE_STAYS, "'notes'");
    ck_assert_int_eq(unlink(in_dir(dir, "rel.failed/notes")), 0);
    ck_assert(rename(in_dir(dir, "rel.failed"), in_dir(dir, "there")) == 0 &&
              symlink("there", in_dir(dir, "rel.failed")) == 0);
    discards(STALE_NONE, "");
    ck_assert(unlink(in_dir(dir, "rel.failed")) == 0 && rename(in_dir(dir, "there"), in_dir(dir, "rel.failed")) == 0);
    discards(STALE_REMOVED, "");
    ck_assert(!there("rel.failed"));
}
END_TEST

static int replace_as_nobody(const char *says)
{
    fflush(NULL);
    const pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        err e = { 0 };
        if (geteuid() == 0 && (setgid(NOBODY) != 0 || setuid(NOBODY) != 0)) _exit(77);
        _exit(!release_dir_free_to_use(dest, &e) && e.kind == ERR_SYSTEM && strstr(e.msg, says) ? 0 : 10);
    }
    int status;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

START_TEST(what_may_not_be_replaced_is_said_before_the_work)
{
    if (!is_root("a release")) return;
    old_release("rel");
    ck_assert(chmod(dir, 01777) == 0 && chmod(dest, 0777) == 0);
    int rc = replace_as_nobody("it belongs to another user");
    ck_assert_msg(rc == 0 || rc == 77, "%d", rc);
    ck_assert(chmod(dir, 0777) == 0 && chmod(dest, 0755) == 0);
    rc = replace_as_nobody("cannot replace: Permission denied");
    ck_assert_msg(rc == 0 || rc == 77, "%d", rc);
}
END_TEST

// ---- publishing -----------------------------------------------------------------------------------------------------

START_TEST(the_old_release_goes_when_the_new_name_is_on_disk)
{
    for (int aside = 0; aside < 2; aside++) {       // names exchanged, and where they cannot be
        release_dir d;
        if (!there("rel")) old_release("rel");
        put_text_in("rel/a-BF16.gguf.partial-12", "left");
        no_exchange = aside;
        stage(&d);
        const release_before before = publish(&d);
        no_exchange = false;
        ck_assert(before.replaced && !before.left);
        ck_assert_str_eq(calls, "frfu");    // the new folder, the rename, its parent; only then something is removed
        check_text("rel/a-BF16.gguf", "new");
        ck_assert_int_eq(entries("rel"), 2);
        ck_assert_int_eq(entries("."), 1);
    }
    release_dir d;
    ck_assert(unlink(in_dir(dir, "rel/a-BF16.gguf")) == 0 && unlink(in_dir(dir, "rel/report.json")) == 0);
    stage(&d);
    ck_assert(!publish(&d).replaced);               // an empty folder
    ck_assert_int_eq(entries("rel"), 2);
}
END_TEST

START_TEST(the_folder_is_ours_alone_until_it_is_published_and_then_has_the_permissions_of_the_old_one)
{
    static const struct { mode_t mask, old, expected; } CASES[] = {
        { 022, 0, 0755 },    { 002, 0, 0775 },  { 077, 0, 0700 },
        { 022, 0775, 0775 }, { 0, 0750, 0750 }, { 022, 02775, 02775 },
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        release_dir d;
        umask(CASES[i].mask);
        if (CASES[i].old) { old_release("rel"); ck_assert_int_eq(chmod(dest, CASES[i].old), 0); }
        stage(&d);
        ck_assert_uint_eq(mode_of(d.name) & 0777, 0700);
        publish(&d);
        umask(022);
        ck_assert_msg((mode_of("rel") & 07777) == CASES[i].expected, "umask %o, old %o: %o", CASES[i].mask,
                      CASES[i].old, mode_of("rel") & 07777);
        ck_assert(unlink(in_dir(dir, "rel/a-BF16.gguf")) == 0 && unlink(in_dir(dir, "rel/report.json")) == 0 &&
                  rmdir(dest) == 0);
    }
}
END_TEST

static void put_readme(void) { put_text_in("rel/README.md", "mine"); }
static void drop_old(void) { ck_assert_int_eq(rename(dest, in_dir(dir, "gone")), 0); }
static void link_instead(void) { ck_assert(rename(dest, in_dir(dir, "gone")) == 0 && symlink("gone", dest) == 0); }
static void link_there(void) { ck_assert(mkdir(in_dir(dir, "empty"), 0777) == 0 && symlink("empty", dest) == 0); }
static void other_release(void) { old_release("rel"); }

START_TEST(what_changes_at_the_last_instant_is_met)
{
    release_dir d;
    old_release("rel");                             // a file of somebody's own, put there after the last look
    stage(&d);
    before_rename = put_readme;
    release_before before = publish(&d);
    ck_assert(before.replaced && !before.left);
    check_text("rel/a-BF16.gguf", "new");
    check_text("rel/README.md", "mine");
    ck_assert_int_eq(unlink(in_dir(dir, "rel/README.md")), 0);
    stage(&d);                                      // the old release goes away
    before_rename = drop_old;
    ck_assert(!publish(&d).replaced);
    ck_assert(entries("rel") == 2 && entries("gone") == 2);
    ck_assert_int_eq(rename(in_dir(dir, "gone"), in_dir(dir, "gone1")), 0);
    stage(&d);                                      // a link stands in its place
    before_rename = link_instead;
    ck_assert_int_eq(entries("rel"), 2);
    before = publish(&d);
    ck_assert(before.replaced && before.left);
    ck_assert(S_ISDIR(mode_of("rel")) && S_ISLNK(mode_of(before.left + strlen(dir) + 1)) && entries("gone") == 2);
    free(before.left);
    ck_assert_int_eq(rename(dest, in_dir(dir, "gone2")), 0);
    stage(&d);                                      // nothing was there, a link is now
    before_rename = link_there;
    not_published(&d, ERR_USAGE, "is not a folder, but a link");
    ck_assert(unlink(dest) == 0 && entries("empty") == 0);
    stage(&d);                                      // nothing was there, another's release is now
    before_rename = other_release;
    ck_assert(publish(&d).replaced);
    check_text("rel/a-BF16.gguf", "new");
}
END_TEST

// Two runs that began on the same release: the second does not replace what the first made of it.
START_TEST(what_another_run_published_meanwhile_stays)
{
    release_dir d;
    char read[SHA256_HEX + 1];
    err  e = { 0 };
    old_release("rel");
    ck_assert(sha256_file(in_dir(dir, "rel/report.json"), read, &e));
    stage(&d);
    d.over = read;
    ck_assert(publish(&d).replaced);                // it is what was read
    check_text("rel/a-BF16.gguf", "new");
    stage(&d);
    d.over = read;                                  // and now it is not
    not_published(&d, ERR_SYSTEM, "is no longer the release that this one began to add to");
    stage(&d);
    d.over = "";
    not_published(&d, ERR_SYSTEM, "holds a release that was not there when this one began");
    ck_assert_int_eq(rename(dest, in_dir(dir, "gone")), 0);
    stage(&d);                                      // nothing is there until the last instant
    d.over = "";
    before_rename = other_release;
    not_published(&d, ERR_SYSTEM, "holds a release that was not there when this one began");
    check_text("rel/a-BF16.gguf", "weights");
}
END_TEST

// While one is at the last look, the other waits, and finds what that one published.
START_TEST(the_last_look_waits_for_another_run)
{
    release_dir d;
    char read[SHA256_HEX + 1];
    err  e = { 0 };
    old_release("rel");
    ck_assert(sha256_file(in_dir(dir, "rel/report.json"), read, &e));
    stage(&d);
    const int fd = open(dest, O_RDONLY | O_DIRECTORY);
    ck_assert(fd >= 0 && flock(fd, LOCK_EX) == 0);
    const pid_t other = fork();
    ck_assert_int_ge(other, 0);
    if (other == 0) {                               // holds the lock, too, and publishes under it
        usleep(100 * 1000);
        if (rename(dest, in_dir(dir, "gone")) != 0 || mkdir(dest, 0777) != 0) _exit(1);
        put_text_in("rel/report.json", "{\"hallmark_release\":1,\"artifacts\":[]}");
        _exit(0);
    }
    close(fd);
    d.over = read;
    not_published(&d, ERR_SYSTEM, "is no longer the release that this one began to add to");
    int status;
    ck_assert(waitpid(other, &status, 0) == other && status == 0);
    ck_assert_int_eq(entries("rel"), 1);
}
END_TEST

START_TEST(a_folder_that_was_exchanged_meanwhile_is_not_published)
{
    release_dir d;
    old_release("elsewhere");
    stage(&d);
    char staged[4600];
    snprintf(staged, sizeof staged, "%s", d.path);
    ck_assert(rename(staged, in_dir(dir, "stolen")) == 0 && symlink("elsewhere", staged) == 0);
    not_published(&d, ERR_SYSTEM, "is no longer the folder that was made");
    ck_assert(!there("rel") && entries("elsewhere") == 3 && entries("stolen") == 2);
    ck_assert_int_eq(unlink(staged), 0);
    stage(&d);
    snprintf(staged, sizeof staged, "%s", d.path);
    ck_assert(rename(staged, in_dir(dir, "stolen2")) == 0 && symlink("elsewhere", staged) == 0);
    release_dir_abort(&d);                          // nor removed through the link
    ck_assert(entries("elsewhere") == 3 && unlink(staged) == 0);
    // The parent: the one that was meant is held open.
    ck_assert_int_eq(mkdir(in_dir(dir, "parent"), 0777), 0);
    snprintf(dest, sizeof dest, "%s/parent/rel", dir);
    stage(&d);
    ck_assert(rename(in_dir(dir, "parent"), in_dir(dir, "away")) == 0 && mkdir(in_dir(dir, "trap"), 0777) == 0);
    ck_assert_int_eq(symlink("trap", in_dir(dir, "parent")), 0);
    publish(&d);
    ck_assert(entries("trap") == 0 && entries("away/rel") == 2);
}
END_TEST

// A report of 40,000 names beside as many files: sorted once, then looked up.
START_TEST(a_long_report_is_no_work_that_grows_with_its_square)
{
    buffer b = { 0 };
    release_list l;
    err e = { 0 };
    enum { N = 40000 };
    ck_assert_int_eq(mkdir(dest, 0777), 0);
    put_text(&b, "{\"hallmark_release\":1,\"artifacts\":[");
    for (int i = 0; i < N; i++) {
        char one[64];
        put_text(&b, (snprintf(one, sizeof one, "%s{\"artifact\":\"%d.gguf\"}", i ? "," : "", i), one));
    }
    put_text(&b, "]}");
    write_file(in_dir(dir, "rel/report.json"), b.p, b.n);
    bytes_free(&b);
    const int fd = open(dest, O_RDONLY | O_DIRECTORY);
    const double from = seconds();
    ck_assert(release_list_read(&l, fd, &e) && l.report);
    ck_assert_int_eq(l.n, N);
    for (int i = 0; i < 4 * N; i++) {
        char name[64];
        snprintf(name, sizeof name, "%d.gguf%s", i, i % 2 ? "" : ".partial-7");
        ck_assert(release_list_has(&l, name) == (i < N));
    }
    ck_assert_double_lt(seconds() - from, 5);
    release_list_free(&l);
    close(fd);
}
END_TEST

// ---- ended by a signal ----------------------------------------------------------------------------------------------

static void note_what(void *ctx, const unfinished *u)
{
    char *all = ctx;
    snprintf(all + strlen(all), 9000 - strlen(all), "%s;", u->path);
}

// The staging folder goes with all that is in it, listed or not, and is told by the name that was asked for; what a
// link in it leads to stays.
static int end_while_staging(void)
{
    release_dir d;
    char said[9000] = "", want[4500], link[4600], inside[4600];
    err e = { 0 };
    stage(&d);
    snprintf(inside, sizeof inside, "%s/b-F32.gguf", d.path);
    snprintf(link, sizeof link, "%s/link", d.path);
    if (!outfile_open(inside, 1, &e) || symlink(dir, link) != 0) return 1;
    snprintf(inside, sizeof inside, "%s/below", d.path);
    if (mkdir(inside, 0700) != 0) return 2;
    unfinished_lock();
    unfinished_remove_all(note_what, said);
    snprintf(want, sizeof want, "%s;", dest);
    if (strcmp(said, want) != 0) return 3;
    return access(d.path, F_OK) != 0 && there("rel") && there("other.txt") ? 0 : 4;
}

START_TEST(who_ends_the_process_takes_the_staging_folder_away)
{
    old_release("rel");
    put_text_in("other.txt", "mine");
    fflush(NULL);
    const pid_t pid = fork();
    if (pid == 0) _exit(end_while_staging());
    int status = 0;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %d", WEXITSTATUS(status));
    // What is published, or given up, is nothing that anybody would take away.
    release_dir d;
    char said[9000] = "";
    stage(&d);
    publish(&d);
    stage(&d);
    release_dir_abort(&d);
    unfinished_lock();
    unfinished_remove_all(note_what, said);
    unfinished_unlock();
    ck_assert_str_eq(said, "");
    check_text("rel/a-BF16.gguf", "new");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("release_dir");
    TCase *t = tcase_create("all");
    tcase_add_checked_fixture(t, begin, end);
    tcase_add_test(t, leftovers_of_ours_go_with_what_they_list_and_nothing_else);
    tcase_add_test(t, nothing_is_removed_through_a_link);
    tcase_add_test(t, what_the_release_did_not_write_stays);
    tcase_add_test(t, second_names_go_with_the_folder_that_has_them);
    tcase_add_test(t, a_file_that_was_changed_is_no_longer_the_releases);
    tcase_add_test(t, what_is_no_release_is_not_replaced);
    tcase_add_test(t, a_release_that_did_not_pass_is_discarded_if_it_is_ours_and_nothing_else);
    tcase_add_test(t, what_may_not_be_replaced_is_said_before_the_work);
    tcase_add_test(t, the_old_release_goes_when_the_new_name_is_on_disk);
    tcase_add_test(t, the_folder_is_ours_alone_until_it_is_published_and_then_has_the_permissions_of_the_old_one);
    tcase_add_test(t, what_changes_at_the_last_instant_is_met);
    tcase_add_test(t, what_another_run_published_meanwhile_stays);
    tcase_add_test(t, the_last_look_waits_for_another_run);
    tcase_add_test(t, a_folder_that_was_exchanged_meanwhile_is_not_published);
    tcase_add_test(t, a_long_report_is_no_work_that_grows_with_its_square);
    tcase_add_test(t, who_ends_the_process_takes_the_staging_folder_away);
    suite_add_tcase(s, t);
    return run_suite(s);
}
