// started: runs the program itself, in a folder of the test's own, and keeps what it said: for tests of what a user
// meets. Standard output and standard error go to the files out and err there.
#ifndef HALLMARK_TESTS_STARTED_H
#define HALLMARK_TESTS_STARTED_H

#include "bytes.h"
#include "formats/json.h"
#include "suite.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>

static char *room;              // the folder; its path has no spaces

static inline double wall(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static inline void redirect(const char *name, int fd)
{
    const int to = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (to < 0 || dup2(to, fd) != fd) _exit(99);
}

// line: words parted by spaces, after the program's name; "''" is an empty word. Runs in the folder `room`. ignored: a
// signal that it begins with ignored, 0: none. err_fd: where standard error goes, -1: to the file. The process's
// number.
static inline pid_t start_with(const char *line, int ignored, int err_fd)
{
    char copy[4096], *argv[64] = { HALLMARK_PROGRAM }, *rest = NULL;
    int argc = 1;
    snprintf(copy, sizeof copy, "%s", line);
    for (char *w = strtok_r(copy, " ", &rest); w && argc < 63; w = strtok_r(NULL, " ", &rest))
        argv[argc++] = strcmp(w, "''") == 0 ? "" : w;
    // libcheck's own handlers, which end its whole group, must not be met by a signal that is meant for the child.
    static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
    sigset_t held, before;
    sigemptyset(&held);
    for (size_t i = 0; i < 3; i++) sigaddset(&held, signals[i]);
    sigprocmask(SIG_BLOCK, &held, &before);
    fflush(NULL);
    const pid_t pid = fork();
    if (pid != 0) sigprocmask(SIG_SETMASK, &before, NULL);
    ck_assert_int_ge(pid, 0);
    if (pid > 0) return pid;
    for (size_t i = 0; i < 3; i++) signal(signals[i], signals[i] == ignored ? SIG_IGN : SIG_DFL);
    sigprocmask(SIG_SETMASK, &before, NULL);
    if (chdir(room) != 0 || setenv("TMPDIR", room, 1) != 0) _exit(99);
    const int in = open("in", O_RDONLY);
    if (in < 0 || dup2(in, 0) != 0) _exit(99);
    redirect("out", 1);
    if (err_fd < 0) redirect("err", 2);
    else if (dup2(err_fd, 2) != 2) _exit(99);
    execv(argv[0], argv);
    _exit(98);
}

static inline pid_t start(const char *line, int ignored) { return start_with(line, ignored, -1); }

// The exit status, or -n where signal n ended it.
static inline int finish(pid_t pid)
{
    int status = 0;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static inline int run_line(const char *line) { return finish(start(line, 0)); }

// The whole of a file there, NUL-terminated, in one of two buffers used in turn.
static inline const char *said(const char *name)
{
    static char text[2][1 << 20];
    static int  next;
    char *p = text[next++ % 2];
    const int64_t n = read_file_bytes(in_dir(room, name), (uint8_t *)p, sizeof text[0] - 1);
    p[n > 0 ? n : 0] = '\0';
    return p;
}

// Standard output as the one JSON document that it must be: read by the strict reader, which takes nothing after it.
static inline cJSON *document(const char *line)
{
    err e = { 0 };
    const char *text = said("out");
    cJSON *j = json_parse(text, (int64_t)strlen(text), "out", &e);
    ck_assert_msg(j != NULL, "%s: %s: %.900s", line, e.msg, text);
    return j;
}

static inline void begin_room(void)
{
    room = new_dir();
    setenv("GOMP_SPINCOUNT", "1000", 1);
    setenv("OMP_NUM_THREADS", "1", 1);
    write_file(in_dir(room, "in"), "", 0);
}

static inline void end_room(void) { drop_dir(room); }

#define TINY SOURCE_DIR "/fixtures/tiny-gemma4"

// Four cases of a committed fixture, as many as the gate asks for: a run of all fourteen proves no more here.
static inline void four_cases(const char *from, const char *to)
{
    enum { ROOM = 1 << 20, FOUR = 4 };
    gzFile in = gzopen(from, "rb"), out = gzopen(in_dir(room, to), "wb1");
    char *line = malloc(ROOM);
    ck_assert(in && out && line && gzgets(in, line, ROOM));
    char *cases = strstr(line, "\"cases\"");
    ck_assert_ptr_nonnull(cases);
    cases += strcspn(cases, "0123456789");
    gzprintf(out, "%.*s%d%s", (int)(cases - line), line, FOUR, cases + strspn(cases, "0123456789"));
    for (int i = 0; i < FOUR; i++) {
        ck_assert_ptr_nonnull(gzgets(in, line, ROOM));
        ck_assert_int_gt(gzputs(out, line), 0);
    }
    gzclose(in);
    ck_assert_int_eq(gzclose(out), Z_OK);
    free(line);
}

// What every one of these tests works on: text, of so many lines; hf, the committed checkpoint without its fixtures;
// four.json.gz, and bf16.gguf, made of it.
static inline void make_inputs(int lines)
{
    char copy[4600];
    snprintf(copy, sizeof copy, "cd '%s' && mkdir hf && cp " TINY "/*.json " TINY "/*.safetensors " TINY "/*.jinja hf/",
             room);
    ck_assert_int_eq(system(copy), 0);
    four_cases(TINY "/fixtures/bfloat16.json.gz", "four.json.gz");
    char text[8192] = "";
    for (int i = 0; i < lines; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "the quick brown fox number %d jumps over the dog\n",
                 i);
    write_text(in_dir(room, "text"), text);
    ck_assert_int_eq(run_line("convert hf -o bf16.gguf"), 0);
}

#endif
