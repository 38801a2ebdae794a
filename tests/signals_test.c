// Proves cli/interrupt.h and formats/unfinished.h on the program: a signal at any instant of any long command ends it
// with 130, 143 or 129, soon, with a word about it, and nothing is left of what was not finished. Each signal once in
// each command here; tests/tools/signals.py does so twenty times.
#define _GNU_SOURCE
#include "started.h"
#include <math.h>

// result: what it leaves when it is finished, NULL: nothing
typedef struct { const char *line, *result; } command_line;

static const command_line COMMANDS[] = {
    { "convert hf -o c.gguf --type q4_k_m", "c.gguf" },
    { "convert hf -o k.gguf --type q4_k_m --calibrate text", "k.gguf" },
    { "quantize bf16.gguf -o q.gguf --type q4_k_m", "q.gguf" },
    { "quantize bf16.gguf -o m.gguf --budget 5bpw --text text --samples 1 --chunk 32", "m.gguf" },
    { "imatrix bf16.gguf --text text --chunk 64 -o im.gguf", "im.gguf" },
    { "lab bf16.gguf --kv q8_0 --kv q4_0 --text text --chunk 64 --report lab.json", "lab.json" },
    { "verify bf16.gguf --fixture four.json.gz --report v.json", "v.json" },
    { "release hf -o pub --types bf16,q4_k_m --fixture four.json.gz", "pub" },
    { "derive bf16.gguf --from hf", NULL },
    { "check bf16.gguf --fixture four.json.gz", NULL },
    { "bench bf16.gguf --case p64g16,s512 --repeat 20", NULL },
    { "run bf16.gguf -p ab -n 400 --ignore-eos", NULL },
};
enum { N_COMMANDS = sizeof COMMANDS / sizeof *COMMANDS };

static const struct { int number, status; const char *name; } SIGNALS[] = {
    { SIGINT, 130, "SIGINT" }, { SIGTERM, 143, "SIGTERM" }, { SIGHUP, 129, "SIGHUP" },
};
enum { N_SIGNALS = sizeof SIGNALS / sizeof *SIGNALS };

// Entries of the folder but those of the test itself; the one allowed is the finished result.
static void nothing_is_left(const command_line *c, const char *when)
{
    static const char *const mine[] = { ".", "..", "in", "out", "err", "text", "hf", "four.json.gz", "bf16.gguf" };
    DIR *d = opendir(room);
    for (struct dirent *x; (x = readdir(d)) != NULL;) {
        const bool result = c->result && strncmp(x->d_name, c->result, strlen(c->result)) == 0;
        bool known = result && !strstr(x->d_name, "partial");
        for (size_t i = 0; i < sizeof mine / sizeof *mine; i++) known |= strcmp(x->d_name, mine[i]) == 0;
        ck_assert_msg(known, "%s, %s: %s is left", c->line, when, x->d_name);
    }
    closedir(d);
}

static void remove_results(const command_line *c)
{
    char rm[4400];
    if (!c->result) return;
    snprintf(rm, sizeof rm, "cd '%s' && rm -rf -- %s %s.unverified %s.failed", room, c->result, c->result, c->result);
    ck_assert_int_eq(system(rm), 0);
}

static void sleep_for(double s)
{
    const struct timespec t = { (time_t)s, (long)((s - (double)(time_t)s) * 1e9) };
    nanosleep(&t, NULL);
}

// Sends it at `at` seconds, and looks at what became of the run. true: it was interrupted, not finished before.
static bool interrupt(const command_line *c, size_t k, double at)
{
    char when[96];
    snprintf(when, sizeof when, "%s after %.3f s", SIGNALS[k].name, at);
    const pid_t pid = start(c->line, 0);
    sleep_for(at);
    const double sent = wall();
    kill(pid, SIGNALS[k].number);
    const int status = finish(pid);
    const double took = wall() - sent;
    const bool ended = status == SIGNALS[k].status;
    // Before main has begun there is nobody to answer, and nothing to remove: the system ends it, which a shell shows
    // as the same status.
    const bool too_early = status == -SIGNALS[k].number && said("err")[0] == '\0';
    ck_assert_msg(ended || too_early || status <= 1, "%s, %s: status %d: %s", c->line, when, status, said("err"));
    ck_assert_msg(!ended || took < 3, "%s, %s: ends %.1f s later", c->line, when, took);
    ck_assert_msg(!ended || strstr(said("err"), "interrupted by"), "%s, %s: says %s", c->line, when, said("err"));
    ck_assert_msg(!ended || strstr(said("err"), SIGNALS[k].name), "%s, %s: says %s", c->line, when, said("err"));
    nothing_is_left(c, when);
    remove_results(c);
    return ended;
}

START_TEST(nothing_is_left_of_an_interrupted_command)
{
    int n = 0;
    srand(15);
    for (int i = 0; i < N_COMMANDS; i++) {
        const double began = wall();
        run_line(COMMANDS[i].line);
        const double whole = wall() - began < 0.4 ? wall() - began : 0.4;
        remove_results(&COMMANDS[i]);
        int ended = 0;
        // One that came too late, or too early, proves nothing: another instant.
        for (size_t k = 0; k < N_SIGNALS; k++)
            for (int tries = 0; tries < 40; tries++)
                if (interrupt(&COMMANDS[i], k, whole * (0.05 + 0.85 * rand() / RAND_MAX))) { ended++; break; }
        ck_assert_msg(ended > 0, "%s: never met before its end", COMMANDS[i].line);
        n += ended;
    }
    printf("%d of %d were met at work\n", n, N_COMMANDS * N_SIGNALS);
    ck_assert_int_ge(n, N_COMMANDS * N_SIGNALS * 2 / 3);
}
END_TEST

// What is being written is told by the name that was asked for, never by a temporary one; a release by its folder.
START_TEST(what_was_removed_is_named)
{
    const command_line c = { "convert hf -o c.gguf --type q4_k_m --threads 1", "c.gguf" };
    const command_line r = { "release hf -o pub --types bf16,q4_k_m --fixture four.json.gz", "pub" };
    const command_line *const both[] = { &c, &r };
    for (int i = 0; i < 2; i++) {
        bool named = false;
        const double began = wall();
        run_line(both[i]->line);
        const double whole = wall() - began;
        remove_results(both[i]);
        // Steps of the golden ratio are spread over the whole of its time, however slow the machine is.
        for (int tries = 1; !named && tries < 200; tries++) {
            if (!interrupt(both[i], 1, whole * fmod(tries * 0.618034, 1.0))) continue;
            const char *err_text = said("err");
            ck_assert_msg(!strstr(err_text, "partial"), "%s", err_text);
            const char *names = i ? "removed what was written of pub\n" : "removed what was written of c.gguf";
            named = strstr(err_text, names) != NULL;
        }
        ck_assert_msg(named, "%s: never met while it wrote", both[i]->line);
    }
}
END_TEST

START_TEST(an_ignored_signal_stays_ignored)
{
    const pid_t pid = start("convert hf -o c.gguf --type q4_k_m", SIGHUP);
    for (int i = 0; i < 5; i++) {
        sleep_for(0.01);
        kill(pid, SIGHUP);
    }
    ck_assert_int_eq(finish(pid), 0);
    ck_assert(!strstr(said("err"), "interrupted"));
    remove_results(&COMMANDS[0]);
}
END_TEST

START_TEST(with_json_it_is_a_document)
{
    const char *line = "run bf16.gguf -p ab -n 100000 --ignore-eos --json";
    const pid_t pid = start(line, 0);
    while (!strstr(said("err"), "memory:")) sleep_for(0.01);
    kill(pid, SIGTERM);
    ck_assert_int_eq(finish(pid), 143);
    cJSON *j = document(line);
    const cJSON *error = cJSON_GetObjectItemCaseSensitive(j, "error");
    ck_assert_str_eq(cJSON_GetObjectItemCaseSensitive(error, "kind")->valuestring, "interrupted");
    ck_assert_str_eq(cJSON_GetObjectItemCaseSensitive(error, "signal")->valuestring, "SIGTERM");
    ck_assert_int_eq(cJSON_GetObjectItemCaseSensitive(error, "status")->valueint, 143);
    cJSON_Delete(j);
}
END_TEST

// "2>&1 | head -n 1": the reader goes away while it is at work.
START_TEST(nothing_is_left_where_nobody_reads)
{
    for (int i = 0; i < N_COMMANDS; i++) {
        const command_line *c = &COMMANDS[i];
        char line[4800];
        if (strncmp(c->line, "release ", 8) != 0 && strncmp(c->line, "convert ", 8) != 0) continue;
        snprintf(line, sizeof line, "cd '%s' && rm -f err; { %s %s; echo $? > out; } 2>&1 | true", room,
                 HALLMARK_PROGRAM, c->line);
        ck_assert_int_eq(system(line), 0);
        ck_assert_msg(strcmp(said("out"), "141\n") == 0, "%s: status %s", c->line, said("out"));
        nothing_is_left(c, "SIGPIPE");
        remove_results(c);
    }
}
END_TEST

// And on standard output alone, which a long run would write to for nobody.
START_TEST(a_run_ends_with_its_reader)
{
    char line[4800];
    snprintf(line, sizeof line, "cd '%s' && { %s run bf16.gguf -p ab -n 100000 --ignore-eos 2> err; echo $? > out; } "
             "| head -c 1 > in2; rm -f in2", room, HALLMARK_PROGRAM);
    const double began = wall();
    ck_assert_int_eq(system(line), 0);
    ck_assert_msg(strcmp(said("out"), "141\n") == 0, "status %s: %s", said("out"), said("err"));
    ck_assert_msg(strstr(said("err"), "interrupted by SIGPIPE"), "%s", said("err"));
    ck_assert(wall() - began < 60);
}
END_TEST

static void setup(void)
{
    begin_room();
    make_inputs(60);
}

int main(void)
{
    Suite *s = suite_create("signals");
    TCase *t = tcase_create("all");
    tcase_add_unchecked_fixture(t, setup, end_room);
    tcase_set_timeout(t, 600);
    tcase_add_test(t, nothing_is_left_of_an_interrupted_command);
    tcase_add_test(t, what_was_removed_is_named);
    tcase_add_test(t, an_ignored_signal_stays_ignored);
    tcase_add_test(t, with_json_it_is_a_document);
    tcase_add_test(t, nothing_is_left_where_nobody_reads);
    tcase_add_test(t, a_run_ends_with_its_reader);
    suite_add_tcase(s, t);
    return run_suite(s);
}
