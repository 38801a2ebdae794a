// shown: runs the program on hostile texts and looks at every byte that it shows. The judgement is of its own making:
// it shares nothing with formats/text.c.
#ifndef HALLMARK_TESTS_SHOWN_H
#define HALLMARK_TESTS_SHOWN_H

#include "formats/json.h"
#include "formats/utf8.h"
#include "verify_files.h"

#include <ctype.h>
#include <sys/wait.h>
#include <termios.h>

// Each does something where it is shown as it stands. {, } and / are left out: the same texts serve as names of files.
static const char *const PIECES[] = {
    "\033[2J", "\033]0;title\007", "\033", "\a\b\v\f", "\x7f", "\r", "\n", "\n# heading\n",
    "\n\n| a | b |\n|---|---|\n", "\t",
    // C1: CSI, OSC, next line
    "\xc2\x9b" "31m", "\xc2\x9d", "\xc2\x85",
    "\xe2\x80\xae", "\xe2\x81\xa6", "\xd8\x9c", "\xe2\x80\x8f",                                 // direction of writing
    "\xe2\x80\x8b", "\xe2\x80\x8d", "\xef\xbb\xbf", "\xe2\x81\xa0", "\xf3\xa0\x81\xa1",         // not seen
    "\xe2\x80\xa8", "\xe2\x80\xa9",                                                             // lines, to JavaScript
    "<script>alert(1)<!-- ", "<img src=x onerror=a()>", "[a](b.c)", "![a](b)", "www.b.example", "a@b.example", "`code`",
    "| cell |", "*a* _b_ ~c~",
    "\\", "\"", "'", "&lt;b&gt;", "%s%n", "$(id)",
    // Bytes that are no UTF-8 come last, from FIRST_BROKEN on.
    "\x80", "\x9b" "31m", "\xff\xfe", "\xc3", "\xed\xa0\x80", "\xc0\x80", "\xf4\x90\x80\x80",
};
enum { N_PIECES = sizeof PIECES / sizeof PIECES[0], N_BROKEN = 7, FIRST_BROKEN = N_PIECES - N_BROKEN };

// All of them in one text; without those that no JSON file can hold.
static inline const char *all_pieces(bool broken)
{
    static char text[2][1024];
    char *s = text[broken];
    strcpy(s, "x");
    for (int i = 0; i < (broken ? N_PIECES : FIRST_BROKEN); i++) strcat(s, PIECES[i]);
    return s;
}

// The pieces of a name of a file: not all fit into the 255 bytes that a name may have.
static inline const char *hostile_name(bool broken)
{
    if (broken) return "x\033[2J\xff\xe2\x80\xae\n# h <b>[a](b)|`";
    return "x\033[2J\xe2\x80\xae\xe2\x80\x8b\xc2\x9b\x7f\n# h <b>[a](b)|`@b.c";
}

// ---- judgement -----------------------------------------------------------------------------------------------------

static inline bool must_not_be_shown(uint32_t c)
{
    static const uint32_t ranges[][2] = {
        { 0x00, 0x08 }, { 0x0b, 0x1f }, { 0x7f, 0x9f }, { 0xad, 0xad }, { 0x61c, 0x61c }, { 0x200b, 0x200f },
        { 0x2028, 0x202e }, { 0x2060, 0x206f }, { 0xfeff, 0xfeff }, { 0xe0000, 0xe0fff },
    };
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++)
        if (c >= ranges[i][0] && c <= ranges[i][1]) return true;
    return false;
}

// Every ck_assert writes to a file: one a character would cost more than all else.
static inline void judge_characters(const char *s, int64_t n, bool prose, const char *what)
{
    for (int64_t i = 0; i < n;) {
        const uint8_t *p = (const uint8_t *)s + i;
        const int len = utf8_len(p, n - i);
        if (len == 0) ck_abort_msg("%s: byte 0x%02x at %lld is no UTF-8", what, p[0], (long long)i);
        uint32_t c = len == 1 ? p[0] : p[0] & (0xffu >> (len + 1));
        for (int k = 1; k < len; k++) c = c << 6 | (p[k] & 0x3f);
        // some scripts need them inside a word
        const bool writing = prose && (c == 0xad || c == 0x200c || c == 0x200d);
        if (must_not_be_shown(c) && !writing) ck_abort_msg("%s: U+%04X at %lld is shown as it stands", what, c,
                                                           (long long)i);
        i += len;
    }
}

static inline void judge_text(const char *s, int64_t n, const char *what)  { judge_characters(s, n, false, what); }
static inline void judge_prose(const char *s, int64_t n, const char *what) { judge_characters(s, n, true, what); }

static inline void judge_json(const char *s, int64_t n, const char *what)
{
    err    e = { 0 };
    cJSON *v = json_parse(s, n, what, &e);
    if (!v && strstr(e.msg, "\\u0000")) return;     // JSON, but for the reader's refusal of NUL
    ck_assert_msg(v != NULL, "%s", e.msg);
    cJSON_Delete(v);
}

// A line of Markdown without what is escaped or in a code span: what is left is structure.
static inline void strip_markdown(char *line, const char *what)
{
    char *w = line;
    for (const char *r = line; *r;) {
        if (*r == '\\' && ispunct((unsigned char)r[1])) { r += 2; continue; }
        if (strncmp(r, "&lt;", 4) == 0 || strncmp(r, "&gt;", 4) == 0) { r += 4; continue; }
        if (strncmp(r, "&amp;", 5) == 0) { r += 5; continue; }
        if (*r == '`') {
            const size_t n = strcspn(r + 1, "`"), hex = strspn(r + 1, "0123456789abcdef");
            const char  *rest = r + 1 + hex;            // of a commit of hallmark's own
            const bool   ok = hex == n || strncmp(rest, "-dirty`", 7) == 0 || strncmp(r, "`unknown`", 9) == 0;
            ck_assert_msg(r[1 + n] == '`' && ok, "%s: a code span: %s", what, r);
            r += n + 2;
            continue;
        }
        *w++ = *r++;
    }
    *w = '\0';
}

// The reports' own form, and nothing else: one heading at most, tables of ten columns, lists, commands in a block of
// code.
static inline void judge_markdown(const char *text, int64_t n, const char *what, int most_headings)
{
    int headings = 0;
    char *copy = malloc((size_t)n + 1), *rest = NULL;
    ck_assert_ptr_nonnull(copy);
    memcpy(copy, text, (size_t)n);
    copy[n] = 0;
    judge_text(text, n, what);
    for (char *line = strtok_r(copy, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        if (strncmp(line, "    python3 ", 12) == 0) {       // a block of code: it ends with the line
            ck_assert_msg(!strchr(line, '<'), "%s: %s", what, line);
            continue;
        }
        strip_markdown(line, what);
        const bool table = line[0] == '|';
        int cells = 0;
        for (const char *c = line; *c; c++) cells += *c == '|';
        headings += strncmp(line, "# ", 2) == 0;
        ck_assert_msg(cells == (table ? 11 : 0), "%s: %d cells: %s", what, cells, line);
        ck_assert_msg(table || strncmp(line, "# ", 2) == 0 || strncmp(line, "- ", 2) == 0 || strncmp(line,
            "Source digest", 13) == 0
                      || strncmp(line, "Missing fixtures;", 17) == 0, "%s: a line of no known kind: %s", what, line);
        ck_assert_msg(!strpbrk(line + (line[0] == '#'), "<>[]#~*$@&"), "%s: structure: %s", what, line);
        ck_assert_msg(!strstr(line, "www.") && !strstr(line, "://"), "%s: a link: %s", what, line);
        ck_assert_msg(line[0] != '-' || !strchr("-+=", line[2]), "%s: a list in a list: %s", what, line);
    }
    ck_assert_msg(headings <= most_headings, "%s: %d headings", what, headings);
    free(copy);
}

// ---- running -------------------------------------------------------------------------------------------------------

typedef struct { int status; char *out, *log; int64_t n_out, n_log; } outcome;

static __attribute__((noinline)) char *read_all(const char *path, int64_t *n)
{
    err   e = { 0 };
    char *text = NULL;
    ck_assert_msg(file_read_text(&text, n, path, 1 << 28, &e), "%s", e.msg);
    return text;
}

static inline void exec_program(char **argv, int out, int log)
{
    const int in = open("/dev/null", O_RDONLY);
    dup2(in, 0);
    dup2(out, 1);
    dup2(log, 2);
    if (chdir(scratch) != 0) _exit(126);
    execv(HALLMARK_PROGRAM, argv);
    _exit(127);
}

static inline pid_t start(char **argv, int out, int log)
{
    fflush(NULL);
    const pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) exec_program(argv, out, log);
    return pid;
}

static inline int ended(pid_t pid)
{
    int status;
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_msg(WIFEXITED(status), "ended by signal %d", WTERMSIG(status));
    return WEXITSTATUS(status);
}

// What a command line was, to be said where a judgement fails.
static inline const char *words_of(char **argv)
{
    static char text[400];
    text[0] = '\0';
    for (int i = 1; argv[i]; i++) {
        const size_t n = strlen(text);
        snprintf(text + n, sizeof text - n, "%s%.60s", i > 1 ? " " : "", argv[i]);
    }
    for (char *c = text; *c; c++)
        if (*c < ' ') *c = '?';
    return text;
}

// Runs the program, argv[0] left to it, in the scratch folder; the texts are freed by outcome_free.
static inline outcome run_program(char **argv)
{
    outcome x = { 0 };
    const char *out_path = in_scratch(".out"), *log_path = in_scratch(".log");
    const int out = open(out_path, O_RDWR | O_CREAT | O_TRUNC, 0600), log = open(log_path, O_RDWR | O_CREAT | O_TRUNC,
        0600);
    ck_assert(out >= 0 && log >= 0);
    argv[0] = (char *)(uintptr_t)"hallmark";
    x.status = ended(start(argv, out, log));
    close(out);
    close(log);
    x.out = read_all(out_path, &x.n_out);
    x.log = read_all(log_path, &x.n_log);
    return x;
}

static inline void outcome_free(outcome *x)
{
    free(x->out);
    free(x->log);
}

// Runs it and judges both streams. `run` gives a pipe the model's text as it is; with --json standard output is one
// document.
static int  n_shown;
static char last_log[2000];     // what the last one said

static inline int shown_by(char **argv)
{
    outcome x = run_program(argv);
    n_shown++;
    char what[480];
    bool json = false, ids = false;
    for (int i = 1; argv[i]; i++) {
        json |= strcmp(argv[i], "--json") == 0;
        ids |= strcmp(argv[i], "--print-ids") == 0;
    }
    ck_assert_msg(x.status <= 4, "exit status %d: %s", x.status, words_of(argv));
    ck_assert_msg(x.status == 0 || x.n_log + x.n_out > 0, "says nothing: %s", words_of(argv));
    snprintf(what, sizeof what, "standard error of: %s", words_of(argv));
    judge_text(x.log, x.n_log, what);
    snprintf(what, sizeof what, "standard output of: %s", words_of(argv));
    if (strcmp(argv[1], "run") != 0 || ids) judge_text(x.out, x.n_out, what);
    if (json && x.n_out > 0) judge_json(x.out, x.n_out, what);
    snprintf(last_log, sizeof last_log, "%s", x.log);
    outcome_free(&x);
    return x.status;
}

#define SHOWN(...) shown_by((char *[]){ NULL, __VA_ARGS__, NULL })
#define EXITS(code, ...) do {                                                                                       \
        const int status_ = SHOWN(__VA_ARGS__);                                                                     \
        ck_assert_msg(status_ == (code), "exit status %d, expected %d: %s", status_, (int)(code), last_log);        \
    } while (0)
#define WORD(s) ((char *)(uintptr_t)(s))

// ---- on a terminal -------------------------------------------------------------------------------------------------

static inline int open_terminal(int *slave)
{
    const int master = posix_openpt(O_RDWR | O_NOCTTY);
    ck_assert(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
    *slave = open(ptsname(master), O_RDWR | O_NOCTTY);
    ck_assert_int_ge(*slave, 0);
    struct termios t;
    ck_assert_int_eq(tcgetattr(*slave, &t), 0);
    t.c_oflag &= ~(tcflag_t)OPOST;          // line ends as they are written
    ck_assert_int_eq(tcsetattr(*slave, TCSANOW, &t), 0);
    return master;
}

// Runs it with standard output (or, error, standard error) on a terminal; what came out there, malloc'd, *n bytes.
static inline char *run_on_terminal(char **argv, bool error, int64_t *n)
{
    int slave;
    const int master = open_terminal(&slave), other = open(in_scratch(".other"), O_RDWR | O_CREAT | O_TRUNC, 0600);
    char *text = malloc(1 << 20);
    argv[0] = WORD("hallmark");
    const pid_t pid = start(argv, error ? other : slave, error ? slave : other);
    close(slave);
    for (*n = 0;;) {                        // EIO: the last end that the program held is closed
        const ssize_t got = read(master, text + *n, (size_t)((1 << 20) - 1 - *n));
        if (got <= 0) break;
        *n += got;
    }
    text[*n] = '\0';
    close(master);
    close(other);
    ck_assert_int_le(ended(pid), 4);
    return text;
}

#endif
