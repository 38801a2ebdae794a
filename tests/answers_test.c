// Proves cli/answer.h on the program: with --json standard output is one JSON document, of a result or of an error,
// from every command; --quiet leaves errors alone on standard error. tests/tools/answers.py reads the same with Python.
#define _GNU_SOURCE
#include "started.h"
#include <termios.h>

#define FOR_ALL(x) x("convert") x("quantize") x("verify") x("run") x("bench") x("inspect") x("release") x("check") \
    x("derive") x("imatrix") x("lab")
#define QUOTED(name) name,
static const char *const COMMANDS[] = { FOR_ALL(QUOTED) };
enum { N_COMMANDS = sizeof COMMANDS / sizeof *COMMANDS };

static const cJSON *at(const cJSON *j, const char *path)
{
    char copy[128], *rest = NULL;
    snprintf(copy, sizeof copy, "%s", path);
    for (char *name = strtok_r(copy, ".", &rest); j && name; name = strtok_r(NULL, ".", &rest))
        j = cJSON_IsArray(j) ? cJSON_GetArrayItem(j, atoi(name)) : cJSON_GetObjectItemCaseSensitive(j, name);
    return j;
}

// A value in few letters: a text as it is, else as it is printed; "-" where there is none.
static const char *value(const cJSON *j, const char *path)
{
    static char text[512];
    const cJSON *v = at(j, path);
    char *printed = !v ? strdup("-") : cJSON_IsString(v) ? strdup(v->valuestring) : cJSON_PrintUnformatted(v);
    snprintf(text, sizeof text, "%s", printed);
    free(printed);
    return text;
}

// ---- results --------------------------------------------------------------------------------------------------------

typedef struct { const char *line; int status; const char *path, *value; } answer;

static const answer RESULTS[] = {
    { "convert hf -o c.gguf --type q8_0", 0, "type", "Q8_0" },
    { "convert hf -o c.gguf --type q8_0", 0, "replaced", "true" },
    { "convert hf --type q4_k_m --dry-run", 0, "dry_run", "true" },
    { "release hf -o never --types q8_0 --dry-run", 0, "artifacts.0.artifact", "hf-Q8_0.gguf" },
    { "release hf -o never --types q8_0 --dry-run", 0, "would_be", "unverified" },
    { "release hf -o never --types q8_0 --dry-run", 0, "missing.0", "*" },
    { "quantize bf16.gguf -o q.gguf --type q4_0", 0, "file", "q.gguf" },
    { "quantize bf16.gguf --type q4_0 --dry-run", 0, "tensors.0.name", "rope_freqs.weight" },
    { "quantize bf16.gguf -o m.gguf --budget 6bpw --text text --samples 1 --chunk 32", 0, "type", "mix" },
    { "verify bf16.gguf --fixture four.json.gz", 0, "verdict", "pass" },
    { "verify bf16.gguf bf16.gguf --fixture four.json.gz --kv q8_0", 1, "verdict", "fail" },
    { "verify bf16.gguf none.gguf --fixture four.json.gz", 3, "artifacts.1.error.kind", "input" },
    { "run bf16.gguf --ids 2,645 -n 4", 0, "tokens", "4" },
    { "run bf16.gguf -f text -n 2 --print-ids", 0, "prompt_tokens", "*" },
    { "bench bf16.gguf --case p4g2 --repeat 1", 0, "cases.0.prompt", "4" },
    { "inspect bf16.gguf", 0, "format", "gguf" },
    { "inspect bad", 3, "error.status", "3" },
    { "inspect bad", 3, "artifacts.0.file", "a.gguf" },
    { "manual run", 0, "command", "run" },
    { "manual", 0, "text", "*" },
    { "completion bash", 0, "shell", "bash" },
    { "run bf16.gguf -f - -n 2", 0, "tokens", "2" },
    { "run bf16.gguf -p <bos>ab -n 2", 0, "notes.0", "*" },
    { "run bf16.gguf --ids 2,645 -n 2 --kv f32", 0, "notes.0", "*" },
    { "inspect bf16.gguf --program", 0, "operations.0.op", "embed" },
    { "inspect hf --plan", 0, "architecture", "gemma4" },
    { "inspect four.json.gz", 0, "format", "fixture" },
    { "release hf -o pub --types bf16 --fixture four.json.gz", 0, "verdict", "pass" },
    { "release hf -o pub --types bf16 --fixture four.json.gz", 0, "artifacts.0.sha256", "*" },
    { "check pub", 0, "verdict", "pass" },
    { "check bf16.gguf", 1, "verdict", "fail" },
    { "check pub bf16.gguf", 1, "artifacts.0.verdict", "pass" },
    { "check pub bf16.gguf", 1, "verdict", "fail" },
    { "check pub none.gguf", 3, "artifacts.1.error.file", "none.gguf" },
    { "check pub none.gguf", 3, "verdict", "error" },
    { "derive bf16.gguf --from hf", 0, "verdict", "pass" },
    { "derive q.gguf --from c.gguf", 1, "verdict", "fail" },
    { "imatrix bf16.gguf --text text --chunk 64 -o im.gguf", 0, "file", "im.gguf" },
    { "lab bf16.gguf --kv q8_0 --text text --chunk 64", 0, "chunk", "64" },
};

START_TEST(results_are_one_document)
{
    for (size_t i = 0; i < sizeof RESULTS / sizeof *RESULTS; i++) {
        const answer *a = &RESULTS[i];
        char line[1024];
        snprintf(line, sizeof line, "%s --json", a->line);
        const int status = run_line(line);
        ck_assert_msg(status == a->status, "%s: status %d: %.900s", line, status, said("err"));
        cJSON *j = document(line);
        const char *v = value(j, a->path);
        const bool right = strcmp(a->value, "*") == 0 ? strcmp(v, "-") != 0 : strcmp(v, a->value) == 0;
        ck_assert_msg(right, "%s: %s is %s, expected %s, in: %.900s", line, a->path, v, a->value, said("out"));
        cJSON_Delete(j);
    }
}
END_TEST

// ---- errors ---------------------------------------------------------------------------------------------------------

typedef struct { const char *line; int status; const char *kind, *file; } mistake;

static void is_an_error(const char *line, int wanted, const char *kind, const char *file)
{
    const int status = run_line(line);
    ck_assert_msg(status == wanted, "%s: status %d: %.900s", line, status, said("err"));
    cJSON *j = document(line);
    ck_assert_msg(cJSON_GetArraySize(j) == 1, "%s: %.900s", line, said("out"));
    ck_assert_msg(strcmp(value(j, "error.kind"), kind) == 0, "%s: %.900s", line, said("out"));
    ck_assert_msg(atoi(value(j, "error.status")) == wanted, "%s: %.900s", line, said("out"));
    ck_assert_msg(strcmp(value(j, "error.file"), file ? file : "null") == 0, "%s: %.900s", line, said("out"));
    // The same sentence as on standard error.
    const char *message = at(j, "error.message")->valuestring;
    ck_assert_msg(message[0] && strstr(said("err"), message), "%s: %.400s, and: %.400s", line, message, said("err"));
    cJSON_Delete(j);
}

START_TEST(every_command_tells_of_a_wrong_command_line)
{
    char line[256];
    for (int i = 0; i < N_COMMANDS; i++) {
        snprintf(line, sizeof line, "%s x --no-such --json", COMMANDS[i]);
        is_an_error(line, 2, "usage", NULL);
        snprintf(line, sizeof line, "%s --json x --threads 0 -o y", COMMANDS[i]);
        is_an_error(line, 2, "usage", NULL);
        snprintf(line, sizeof line, "%s --json --merge", COMMANDS[i]);
        is_an_error(line, 2, "usage", NULL);
    }
    is_an_error("conver x --json", 2, "usage", NULL);
}
END_TEST

static const mistake MISTAKES[] = {
    { "convert none -o o.gguf", 3, "input", "none" },
    { "convert hf -o none/o.gguf", 2, "usage", "none/o.gguf" },
    { "convert hf -o o.gguf --type q4_k_mm", 2, "usage", NULL },
    { "convert hf -o /dev/stdout", 2, "usage", "/dev/stdout" },
    { "convert hf -o folder", 2, "usage", "folder" },
    { "convert broken -o o.gguf", 3, "input", "broken" },
    { "quantize none.gguf -o o.gguf --type q8_0", 3, "input", "none.gguf" },
    { "quantize text -o o.gguf --type q8_0", 3, "input", "text" },
    { "quantize bf16.gguf -o bf16.gguf --type q8_0", 2, "usage", "bf16.gguf" },
    { "quantize bf16.gguf -o o.gguf --budget 1bpw --text text --samples 1 --chunk 32", 2, "usage", NULL },
    { "quantize bf16.gguf -o o.gguf --max-kl 1e-30 --text text --samples 1 --chunk 32", 1, "verdict", NULL },
    { "verify none.gguf --fixture four.json.gz", 3, "input", "none.gguf" },
    { "verify bf16.gguf --fixture none.json.gz", 3, "input", "none.json.gz" },
    { "verify bf16.gguf --fixture text", 3, "input", "text" },
    { "verify bf16.gguf --fixture four.json.gz --gate text", 3, "input", "text" },
    { "verify bf16.gguf --fixture four.json.gz --report none/r.json", 2, "usage", "none/r.json" },
    { "run none.gguf -p a", 3, "input", "none.gguf" },
    { "run bf16.gguf -f none", 3, "input", "none" },
    { "run bf16.gguf -f folder", 3, "input", "folder" },
    { "run bf16.gguf --ids 99999999", 2, "usage", NULL },
    { "run bf16.gguf -p ''", 2, "usage", NULL },
    { "run bf16.gguf --max-tokens 3 -p a", 2, "usage", NULL },
    { "completion tcsh", 2, "usage", NULL },
    { "manual none", 2, "usage", NULL },
    { "bench none.gguf", 3, "input", "none.gguf" },
    { "inspect none.gguf", 3, "input", "none.gguf" },
    { "inspect text", 3, "input", "text" },
    { "inspect folder", 3, "input", "folder" },
    { "release none -o pub2", 3, "input", "none" },
    { "release hf -o text", 2, "usage", "text" },
    { "check none.gguf", 3, "input", "none.gguf" },
    { "check bf16.gguf --key none.pem", 3, "input", "none.pem" },
    { "derive none.gguf --from hf", 3, "input", "none.gguf" },
    { "derive bf16.gguf --from none", 3, "input", "none" },
    { "imatrix bf16.gguf --text none -o im2.gguf", 3, "input", "none" },
    { "imatrix --merge text -o im2.gguf", 3, "input", "text" },
    { "lab bf16.gguf --kv q8_0 --text chat=none", 3, "input", "none" },
    { "lab bf16.gguf --kv q9_0 --text text", 2, "usage", NULL },
};

START_TEST(mistakes_are_told_with_the_file)
{
    for (size_t i = 0; i < sizeof MISTAKES / sizeof *MISTAKES; i++) {
        char line[1024];
        snprintf(line, sizeof line, "%s --json", MISTAKES[i].line);
        is_an_error(line, MISTAKES[i].status, MISTAKES[i].kind, MISTAKES[i].file);
    }
}
END_TEST

// ---- quiet ----------------------------------------------------------------------------------------------------------

START_TEST(quiet_leaves_errors_alone)
{
    static const char *const rows[] = {
        "convert hf -o c.gguf --type q4_0", "quantize bf16.gguf -o q.gguf --type q4_0",
        "verify bf16.gguf --fixture four.json.gz", "run bf16.gguf -p ab -n 4", "bench bf16.gguf --case p4g2 --repeat 1",
        "release hf -o pub --types bf16 --fixture four.json.gz", "check pub", "derive bf16.gguf --from hf",
        "imatrix bf16.gguf --text text --chunk 64 -o im.gguf", "lab bf16.gguf --kv q8_0 --text text --chunk 64",
        "inspect bf16.gguf",
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char line[1024];
        snprintf(line, sizeof line, "%s -q", rows[i]);
        const int status = run_line(line);
        ck_assert_msg(status == 0, "%s: status %d: %.900s", line, status, said("err"));
        ck_assert_msg(said("err")[0] == '\0', "%s: says %s", line, said("err"));
        ck_assert_msg(said("out")[0] != '\0', "%s: the result is not there", line);
    }
    ck_assert_int_eq(run_line("run none.gguf -p a --quiet"), 3);
    ck_assert(strstr(said("err"), "none.gguf"));
}
END_TEST

START_TEST(a_version_is_one_document_too)
{
    static const char *const LINES[] = { "--version --json", "--version -q --json", "-V --json --quiet" };
    for (size_t i = 0; i < sizeof LINES / sizeof *LINES; i++) {
        ck_assert_int_eq(run_line(LINES[i]), 0);
        cJSON *j = document(LINES[i]);
        ck_assert(strcmp(value(j, "hallmark"), "-") != 0 && strcmp(value(j, "commit"), "-") != 0);
        cJSON_Delete(j);
    }
    ck_assert_int_eq(run_line("--version -q"), 0);
    ck_assert(strncmp(said("out"), "hallmark ", 9) == 0 && said("err")[0] == '\0');
    is_an_error("--version --json --other", 2, "usage", NULL);
}
END_TEST

// What a search for a mix keeps is no part of what is made, by whatever name it is reached; said before any work.
START_TEST(a_state_that_lies_in_the_output_is_refused)
{
    static const char *const LINES[] = {
        "release hf -o rel --types mix:budget=6bpw:text=text --state rel",
        "release hf -o rel --types mix:budget=6bpw:text=text --state ./rel/ --dry-run",
        "release hf -o rel --types mix:budget=6bpw:text=text --state rel/a",
        "release hf -o rel --types mix:budget=6bpw:text=text --state rel.unverified/cells",
        "release hf -o pub --types mix:budget=6bpw:text=text --state hf/../pub/cells --dry-run",
        "release hf -o pub --types mix:budget=6bpw:text=text --state text",
        "quantize bf16.gguf -o qd.gguf --budget 6bpw --text text --state ./qd.gguf",
        "quantize bf16.gguf -o ./qd.gguf --budget 6bpw --text text --state hf/../qd.gguf --dry-run",
    };
    for (size_t i = 0; i < sizeof LINES / sizeof *LINES; i++) {
        ck_assert_msg(run_line(LINES[i]) == 2, "%s: %.900s", LINES[i], said("err"));
        ck_assert_msg(strstr(said("err"), "option --state: found"), "%s: %.900s", LINES[i], said("err"));
    }
    ck_assert(access("rel", F_OK) != 0 && access("qd.gguf", F_OK) != 0);
}
END_TEST

// Of a file that is not there no verdict is said, beside others neither.
START_TEST(no_verdict_of_a_file_that_is_not_there)
{
    ck_assert_int_eq(run_line("check none.gguf bf16.gguf"), 3);
    ck_assert_msg(!strstr(said("out"), "none.gguf") && strstr(said("out"), "bf16.gguf: NOT proved"), "%s", said("out"));
    ck_assert_msg(strstr(said("err"), "none.gguf: cannot"), "%s", said("err"));
}
END_TEST

// Lines for who reads a log: no escapes, no carriage returns, whatever TERM says.
START_TEST(a_log_has_plain_lines)
{
    setenv("TERM", "xterm-256color", 1);
    ck_assert_int_eq(run_line("verify bf16.gguf --fixture four.json.gz"), 0);
    ck_assert_msg(!strpbrk(said("err"), "\033\r"), "%.900s", said("err"));
    ck_assert_msg(strstr(said("err"), "tokens in"), "%.900s", said("err"));
}
END_TEST

// What a command says on standard error, which is a terminal that changes nothing of it.
static const char *on_a_terminal(const char *line, const char *term)
{
    static char text[1 << 16];
    const int master = posix_openpt(O_RDWR | O_NOCTTY);
    ck_assert(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
    const int slave = open(ptsname(master), O_RDWR | O_NOCTTY);
    struct termios t;
    ck_assert(slave >= 0 && tcgetattr(slave, &t) == 0);
    cfmakeraw(&t);
    tcsetattr(slave, TCSANOW, &t);
    setenv("TERM", term, 1);
    const pid_t pid = start_with(line, 0, slave);
    close(slave);
    size_t n = 0;
    for (ssize_t got; n < sizeof text - 1 && (got = read(master, text + n, sizeof text - 1 - n)) > 0;) n += (size_t)got;
    text[n] = '\0';
    close(master);
    ck_assert_int_eq(finish(pid), 0);
    return text;
}

START_TEST(a_dumb_terminal_has_plain_lines_too)
{
    const char *line = "convert hf -o c.gguf --type q4_k_m";
    const char *text = on_a_terminal(line, "xterm");
    ck_assert_msg(strpbrk(text, "\033\r") && strstr(text, "convert"), "%.900s", text);    // a bar is drawn, and erased
    text = on_a_terminal(line, "dumb");
    ck_assert_msg(!strpbrk(text, "\033\r") && strstr(text, "convert"), "%.900s", text);
}
END_TEST

static void setup(void)
{
    begin_room();
    make_inputs(14);
    write_file(in_dir(room, "in"), "ab\n", 3);
    char bad[4600];             // one file that is whole, and one that lacks a tensor
    snprintf(bad, sizeof bad, "cd '%s' && mkdir bad && cp bf16.gguf bad/a.gguf && "
             "LC_ALL=C sed 's/blk.0.attn_q.weight/blk.0.attn_x.weight/' bf16.gguf > bad/b.gguf", room);
    ck_assert_int_eq(system(bad), 0);
    ck_assert_int_eq(mkdir(in_dir(room, "folder"), 0700), 0);
    ck_assert_int_eq(mkdir(in_dir(room, "broken"), 0700), 0);
    write_file(in_dir(room, "broken/config.json"), "{", 1);
}

int main(void)
{
    Suite *s = suite_create("answers");
    TCase *t = tcase_create("all");
    tcase_add_unchecked_fixture(t, setup, end_room);
    tcase_set_timeout(t, 600);
    tcase_add_test(t, results_are_one_document);
    tcase_add_test(t, every_command_tells_of_a_wrong_command_line);
    tcase_add_test(t, mistakes_are_told_with_the_file);
    tcase_add_test(t, quiet_leaves_errors_alone);
    tcase_add_test(t, no_verdict_of_a_file_that_is_not_there);
    tcase_add_test(t, a_version_is_one_document_too);
    tcase_add_test(t, a_state_that_lies_in_the_output_is_refused);
    tcase_add_test(t, a_log_has_plain_lines);
    tcase_add_test(t, a_dumb_terminal_has_plain_lines_too);
    suite_add_tcase(s, t);
    return run_suite(s);
}
