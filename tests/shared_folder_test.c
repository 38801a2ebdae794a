// Proves formats/place.h through formats/outfile.h: whatever others put into a folder, before or while a file is
// written there, what is theirs and what their links lead to stays as it is; and a file that is replaced keeps its
// permissions.
#define _GNU_SOURCE
#include "bytes.h"
#include "formats/outfile.h"
#include "formats/place.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum { NOBODY = 65534 };

static char *dir, out[4400], victim[4300];

static void begin(void)
{
    dir = new_dir();
    snprintf(out, sizeof out, "%s/out", dir);
    snprintf(victim, sizeof victim, "%s/victim", dir);
    write_file(victim, "mine", 4);
}
static void end(void) { drop_dir(dir); }

static void check_text(const char *path, const char *text)
{
    uint8_t got[100];
    const int64_t n = (int64_t)strlen(text);
    ck_assert_msg(read_file_bytes(path, got, sizeof got) == n && memcmp(got, text, (size_t)n) == 0,
                  "%s does not hold '%s'", path, text);
}

static mode_t mode_of(const char *path)
{
    struct stat st;
    ck_assert_int_eq(lstat(path, &st), 0);
    return st.st_mode;
}

static bool write_out(const char *text, err *e) { return outfile_write_whole(out, text, (int64_t)strlen(text), e); }

// Tests that need another user: root can make things theirs.
static bool is_root(const char *what)
{
    if (geteuid() == 0) return true;
    printf("SKIP %s: only root can make another user's\n", what);
    return false;
}

// Runs f as another user in a folder that `as` says; its exit status.
static int as_nobody(int (*f)(void))
{
    fflush(NULL);
    const pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) _exit(geteuid() == 0 && (setgid(NOBODY) != 0 || setuid(NOBODY) != 0) ? 77 : f());
    int status;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

// ---- what lies there before -----------------------------------------------------------------------------------------

START_TEST(what_others_put_under_temporary_names_stays)
{
    char own[64], folder[4300], inside[4400];
    snprintf(own, sizeof own, "out.partial-%ld", (long)getpid());
    snprintf(folder, sizeof folder, "%s/elsewhere", dir);
    snprintf(inside, sizeof inside, "%s/out.partial-9", folder);
    ck_assert(mkdir(folder, 0777) == 0 && mkdir(in_dir(dir, "out.partial-3"), 0777) == 0);
    write_file(inside, "mine", 4);
    ck_assert(symlink("victim", in_dir(dir, own)) == 0 && symlink("victim", in_dir(dir, "out.partial-0")) == 0);
    ck_assert(symlink("elsewhere", in_dir(dir, "out.partial-1")) == 0 &&
              mkfifo(in_dir(dir, "out.partial-2"), 0666) == 0);
    ck_assert(link(victim, in_dir(dir, "out.partial-4")) == 0);
    if (is_root("a temporary file")) {
        write_file(in_dir(dir, "out.partial-5"), "theirs", 6);
        ck_assert_int_eq(chown(in_dir(dir, "out.partial-5"), NOBODY, NOBODY), 0);
    }
    err e = { 0 };
    for (int i = 0; i < 3; i++) ck_assert_msg(write_out("new", &e), "%s", e.msg);
    check_text(out, "new");
    check_text(victim, "mine");
    check_text(inside, "mine");
    ck_assert(S_ISLNK(mode_of(in_dir(dir, own))) && S_ISLNK(mode_of(in_dir(dir, "out.partial-0"))) &&
              S_ISLNK(mode_of(in_dir(dir, "out.partial-1"))));
    ck_assert(S_ISFIFO(mode_of(in_dir(dir, "out.partial-2"))) && S_ISDIR(mode_of(in_dir(dir, "out.partial-3"))));
    ck_assert(S_ISREG(mode_of(in_dir(dir, "out.partial-4"))));
    if (geteuid() == 0) check_text(in_dir(dir, "out.partial-5"), "theirs");
}
END_TEST

// Our own links lead where they lead, over several folders; those of others lead to whatever they like of ours.
START_TEST(a_link_at_the_destination_is_followed_where_it_can_be_trusted)
{
    err e = { 0 };
    ck_assert(mkdir(in_dir(dir, "disk"), 0777) == 0 && symlink("../victim", in_dir(dir, "disk/second")) == 0 &&
              symlink("disk/second", out) == 0);
    ck_assert_msg(write_out("through two", &e), "%s", e.msg);
    check_text(victim, "through two");
    ck_assert(S_ISLNK(mode_of(out)));
    ck_assert(unlink(out) == 0 && symlink("out", out) == 0);
    ck_assert(!write_out("x", &e));
    check_refused(&e, ERR_USAGE, "/out", "symbolic links");
    e = (err){ 0 };
    ck_assert(unlink(out) == 0 && symlink("elsewhere/", out) == 0 && !write_out("x", &e));
    ck_assert_int_eq(e.kind, ERR_USAGE);
    if (!is_root("a link")) return;
    ck_assert(unlink(out) == 0 && symlink("victim", out) == 0 && lchown(out, NOBODY, NOBODY) == 0);
    e = (err){ 0 };
    ck_assert(!write_out("stolen", &e));
    check_refused(&e, ERR_SYSTEM, "/out", "it is a link that belongs to another user");
    e = (err){ 0 };
    ck_assert(!outfile_check(out, &e));             // before the work, too
    check_text(victim, "through two");
    e = (err){ 0 };
    ck_assert_int_eq(chown(dir, NOBODY, NOBODY), 0);    // their own folder: whoever writes there trusts them
    ck_assert_msg(write_out("trusted", &e), "%s", e.msg);
    check_text(victim, "trusted");
}
END_TEST

// ---- what changes meanwhile -----------------------------------------------------------------------------------------

START_TEST(a_link_that_appears_at_the_destination_is_replaced_itself)
{
    err e = { 0 };
    outfile *f = outfile_open(out, 3, &e);
    ck_assert(f && outfile_write_at(f, 0, "new", 3, &e) && symlink("victim", out) == 0);
    ck_assert_msg(outfile_commit(f, &e), "%s", e.msg);
    check_text(victim, "mine");
    check_text(out, "new");
    ck_assert(S_ISREG(mode_of(out)));
}
END_TEST

START_TEST(a_folder_that_is_exchanged_for_a_link_is_still_the_one_that_was_meant)
{
    char inner[4300], away[4300], other[4300], other_out[4400];
    snprintf(inner, sizeof inner, "%s/inner", dir);
    snprintf(away, sizeof away, "%s/away", dir);
    snprintf(other, sizeof other, "%s/other", dir);
    snprintf(other_out, sizeof other_out, "%s/out", other);
    snprintf(out, sizeof out, "%s/out", inner);
    ck_assert(mkdir(inner, 0777) == 0 && mkdir(other, 0777) == 0);
    write_file(other_out, "mine", 4);
    err e = { 0 };
    outfile *f = outfile_open(out, 3, &e);
    ck_assert(f && outfile_write_at(f, 0, "new", 3, &e) && rename(inner, away) == 0 && symlink("other", inner) == 0);
    ck_assert_msg(outfile_commit(f, &e), "%s", e.msg);
    check_text(other_out, "mine");
    check_text(in_dir(dir, "away/out"), "new");
}
END_TEST

START_TEST(a_temporary_file_that_was_exchanged_is_not_published_and_not_removed)
{
    char tmp[4400];
    write_file(out, "old", 3);
    for (int commit = 0; commit < 2; commit++) {
        err e = { 0 };
        outfile *f = outfile_open(out, 3, &e);
        ck_assert(f && outfile_write_at(f, 0, "new", 3, &e));
        snprintf(tmp, sizeof tmp, "%s", outfile_tmp_path(f));
        ck_assert(unlink(tmp) == 0 && symlink("victim", tmp) == 0);
        if (commit) {
            ck_assert(!outfile_commit(f, &e));
            check_refused(&e, ERR_SYSTEM, "/out: ", "is no longer what was written there");
        } else {
            outfile_abort(f);
        }
        ck_assert(S_ISLNK(mode_of(tmp)) && unlink(tmp) == 0);
        check_text(out, "old");
        check_text(victim, "mine");
    }
}
END_TEST

START_TEST(a_folder_that_appears_at_the_destination_is_an_error_that_leaves_nothing)
{
    char tmp[4400];
    err  e = { 0 };
    outfile *f = outfile_open(out, 3, &e);
    ck_assert(f && outfile_write_at(f, 0, "new", 3, &e) && mkdir(out, 0777) == 0);
    snprintf(tmp, sizeof tmp, "%s", outfile_tmp_path(f));
    ck_assert(!outfile_commit(f, &e));
    check_refused(&e, ERR_SYSTEM, "/out: ", "cannot rename to");
    ck_assert(access(tmp, F_OK) != 0 && S_ISDIR(mode_of(out)));
}
END_TEST

// ---- permissions ----------------------------------------------------------------------------------------------------

START_TEST(a_file_that_is_replaced_keeps_its_permissions)
{
    static const struct { mode_t mask, old, expected; } CASES[] = {
        { 022, 0, 0644 },    { 077, 0, 0600 },    { 002, 0, 0664 },    // a new file: as umask says
        { 022, 0664, 0664 }, { 077, 0664, 0664 }, { 022, 0600, 0600 },
        { 0, 0640, 0640 },   { 022, 0755, 0755 }, { 022, 04775, 0775 },
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        err e = { 0 };
        unlink(out);
        umask(CASES[i].mask);
        if (CASES[i].old) { write_file(out, "old", 3); ck_assert_int_eq(chmod(out, CASES[i].old), 0); }
        outfile *f = outfile_open(out, 3, &e);
        ck_assert_msg(f != NULL, "%s", e.msg);
        // private while it is written, too
        if (CASES[i].old) ck_assert_uint_eq(mode_of(outfile_tmp_path(f)) & 07777, CASES[i].expected);
        ck_assert(outfile_write_at(f, 0, "new", 3, &e) && outfile_commit(f, &e));
        umask(022);
        ck_assert_msg((mode_of(out) & 07777) == CASES[i].expected, "umask %o, old %o: found %o, expected %o",
                      CASES[i].mask, CASES[i].old, mode_of(out) & 07777, CASES[i].expected);
    }
    if (!is_root("a group")) return;
    struct stat st;
    err e = { 0 };
    ck_assert(chmod(out, 0664) == 0 && chown(out, (uid_t)-1, NOBODY) == 0 && write_out("new", &e) &&
              stat(out, &st) == 0);
    ck_assert(st.st_gid == NOBODY && (st.st_mode & 0777) == 0664);
    ck_assert(chmod(dir, 01777) == 0 && chmod(out, 0666) == 0 && chown(out, NOBODY, NOBODY) == 0 &&
              write_out("new", &e) && stat(out, &st) == 0);
    // another user's file in such a folder: the leave to write is not ours to give
    ck_assert(st.st_uid == 0 && (st.st_mode & 0777) == 0644);
}
END_TEST

static int refused_as(const char *says)
{
    err early = { 0 }, late = { 0 };
    if (outfile_check(out, &early) || early.kind != ERR_SYSTEM || !strstr(early.msg, says)) return 10;
    if (write_out("new", &late) || strcmp(early.msg, late.msg) != 0) return 11;
    return 0;
}
static int replace_read_only(void) { return refused_as("the file there may not be written to (permissions 444)"); }
static int replace_in_sticky(void) { return refused_as("it belongs to another user"); }
static int write_unlisted(void)
{
    err e = { 0 };
    return write_out("new", &e) ? 0 : 12;
}

static void nobody_is_told(const char *what, int (*f)(void))
{
    const int rc = as_nobody(f);
    if (rc == 77) printf("SKIP %s: cannot give up root's rights: %s\n", what, strerror(errno));
    else ck_assert_msg(rc == 0, "%s: %d", what, rc);
}

// Who may replace is known before hours of work.
START_TEST(what_may_not_be_replaced_is_said_before_the_work)
{
    write_file(out, "old", 3);
    ck_assert(chmod(dir, 0777) == 0 && chmod(out, 0444) == 0 && (geteuid() != 0 || chown(out, NOBODY, NOBODY) == 0));
    nobody_is_told("a read-only file", replace_read_only);
    check_text(out, "old");
    if (is_root("a file in a folder like /tmp")) {
        ck_assert(chmod(dir, 01777) == 0 && chown(out, 0, 0) == 0 && chmod(out, 0666) == 0);
        nobody_is_told("a file in a folder like /tmp", replace_in_sticky);
        check_text(out, "old");
    }
    ck_assert(unlink(out) == 0 && (geteuid() != 0 || chown(dir, NOBODY, NOBODY) == 0) && chmod(dir, 0300) == 0);
    nobody_is_told("a folder that may not be listed", write_unlisted);
    ck_assert_int_eq(chmod(dir, 0755), 0);
    check_text(out, "new");
}
END_TEST

// ---- names ----------------------------------------------------------------------------------------------------------

START_TEST(names_are_shown_escaped_and_may_be_long)
{
    char path[4600], name[256];
    err  e = { 0 };
    snprintf(path, sizeof path, "%s/a\nb\x1b[31m\xff", dir);
    ck_assert_msg(outfile_write_whole(path, "x", 1, &e), "%s", e.msg);
    check_text(path, "x");
    ck_assert(unlink(path) == 0 && mkdir(path, 0777) == 0 && !outfile_write_whole(path, "x", 1, &e));
    check_refused(&e, ERR_USAGE, "a\\nb\\x1b[31m\\xff", "it is a folder");
    memset(name, 'n', 255);
    for (int n = 255; n > 200; n--) {               // the longest that is allowed has room for every temporary name
        name[n] = '\0';
        snprintf(path, sizeof path, "%s/%s", dir, name);
        e = (err){ 0 };
        if (outfile_check(path, &e)) break;
    }
    ck_assert_msg(strlen(name) >= 230, "%zu bytes", strlen(name));
    place at;
    ck_assert(place_open(&at, path, &e));
    for (int i = 0; i < 100; i++) {
        char *tmp, *tmp_path;
        ck_assert(place_partial(&at, i, &tmp, &tmp_path) && strlen(tmp) <= 255 && is_partial_of(tmp, name));
        free(tmp);
        free(tmp_path);
    }
    place_close(&at);
    ck_assert(outfile_write_whole(path, "x", 1, &e));
    ck_assert(is_partial_of("a.partial-0", "a") && !is_partial_of("a.partial-", "a") &&
              !is_partial_of("a.partial-1-old", "a") && !is_partial_of("ab.partial-1", "a"));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("shared_folder");
    TCase *t = tcase_create("all");
    tcase_add_checked_fixture(t, begin, end);
    tcase_add_test(t, what_others_put_under_temporary_names_stays);
    tcase_add_test(t, a_link_at_the_destination_is_followed_where_it_can_be_trusted);
    tcase_add_test(t, a_link_that_appears_at_the_destination_is_replaced_itself);
    tcase_add_test(t, a_folder_that_is_exchanged_for_a_link_is_still_the_one_that_was_meant);
    tcase_add_test(t, a_temporary_file_that_was_exchanged_is_not_published_and_not_removed);
    tcase_add_test(t, a_folder_that_appears_at_the_destination_is_an_error_that_leaves_nothing);
    tcase_add_test(t, a_file_that_is_replaced_keeps_its_permissions);
    tcase_add_test(t, what_may_not_be_replaced_is_said_before_the_work);
    tcase_add_test(t, names_are_shown_escaped_and_may_be_long);
    suite_add_tcase(s, t);
    return run_suite(s);
}
