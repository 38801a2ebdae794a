// Situations of real checkpoints: tests/field/*.json, each a folder as people have it, commands, and what must come of
// them. FIELD=TEXT in the environment runs only the cases whose file name holds the text. The form is in
// tests/field/README.md.
#include "field_folder.h"
#include "formats/gguf.h"

#include <fcntl.h>
#include <glob.h>
#include <sys/resource.h>
#include <sys/wait.h>

extern char **environ;

static glob_t cases;

#if defined __SANITIZE_ADDRESS__
static const double slowness = 12;
#else
static const double slowness = 1;
#endif

// ---- a command ------------------------------------------------------------------------------------------------------

typedef struct {
    int    status;              // exit status; 128 + the signal's number
    double cpu_seconds;
    char  *out, *log;           // standard output and standard error
} outcome;

static void child(char **argv, const cJSON *step, const cJSON *env, const char *dir)
{
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItem(step, "stdin"));
    if (text) write_file(in_dir(dir, ".in"), text, (int64_t)strlen(text));
    const int in  = open(text ? in_dir(dir, ".in") : "/dev/null", O_RDONLY);
    const int out = open(in_dir(dir, ".out"), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    const int log = open(in_dir(dir, ".log"), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    dup2(in, 0);
    dup2(out, 1);
    dup2(log, 2);
    setenv("HOME", dir, 1);             // not the Hub cache of whoever runs the test
    unsetenv("HF_HOME");
    unsetenv("HF_HUB_CACHE");
    unsetenv("HUGGINGFACE_HUB_CACHE");
    unsetenv("XDG_CACHE_HOME");
    const cJSON *v;
    cJSON_ArrayForEach(v, env) setenv(v->string, field_fill(v->valuestring, dir), 1);
    if (chdir(dir) != 0) _exit(126);
    execve(argv[0], argv, environ);
    _exit(127);
}

static outcome run(const cJSON *step, const cJSON *env, const char *dir)
{
    char *argv[64] = { HALLMARK_PROGRAM };
    int   n = 1;
    const cJSON *arg;
    cJSON_ArrayForEach(arg, cJSON_GetObjectItem(step, "run")) {
        ck_assert_int_lt(n, 63);
        argv[n++] = field_fill(arg->valuestring, dir);
    }
    fflush(NULL);
    const pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) child(argv, step, env, dir);
    int status;
    struct rusage used;
    ck_assert_int_eq(wait4(pid, &status, 0, &used), pid);
    for (int i = 1; i < n; i++) free(argv[i]);
    const double user = (double)used.ru_utime.tv_sec + 1e-6 * (double)used.ru_utime.tv_usec;
    const double sys  = (double)used.ru_stime.tv_sec + 1e-6 * (double)used.ru_stime.tv_usec;
    return (outcome){ .status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status),
                      .cpu_seconds = user + sys,
                      .out = field_read(in_dir(dir, ".out"), NULL),
                      .log = field_read(in_dir(dir, ".log"), NULL) };
}

static void check_texts(const cJSON *wanted, const char *text, bool there, const char *where, const char *name,
                        const char *dir)
{
    const cJSON *v;
    cJSON_ArrayForEach(v, wanted) {
        char *want = field_fill(v->valuestring, dir);
        ck_assert_msg((strstr(text, want) != NULL) == there, "%s: %s %s \"%s\"; it is:\n%s", name, where,
                      there ? "should hold" : "should not hold", want, text);
        free(want);
    }
}

static void check_run(const cJSON *step, const cJSON *env, const char *name, const char *dir)
{
    const cJSON *status = cJSON_GetObjectItem(step, "exit"), *limit = cJSON_GetObjectItem(step, "seconds");
    const cJSON *whole = cJSON_GetObjectItem(step, "stdout_is");
    ck_assert_msg(cJSON_IsNumber(status), "%s: a run says its exit status", name);
    outcome o = run(step, env, dir);
    ck_assert_msg(o.out && o.log, "%s: the program could not be started", name);
    char *command = cJSON_PrintUnformatted(cJSON_GetObjectItem(step, "run"));
    ck_assert_msg(o.status == status->valueint, "%s: %s: exit status %d, expected %d; standard error:\n%s", name,
                  command, o.status, status->valueint, o.log);
    check_texts(cJSON_GetObjectItem(step, "says"), o.log, true, "standard error", name, dir);
    check_texts(cJSON_GetObjectItem(step, "silent_on"), o.log, false, "standard error", name, dir);
    check_texts(cJSON_GetObjectItem(step, "prints"), o.out, true, "standard output", name, dir);
    check_texts(cJSON_GetObjectItem(step, "prints_not"), o.out, false, "standard output", name, dir);
    if (whole)
        ck_assert_msg(strcmp(o.out, whole->valuestring) == 0, "%s: %s: expected \"%s\", found \"%s\"", name, command,
                      whole->valuestring, o.out);
    if (limit)
        ck_assert_msg(o.cpu_seconds <= limit->valuedouble * slowness, "%s: %s: %.1f s of processor time", name, command,
                      o.cpu_seconds);
    free(command);
    free(o.out);
    free(o.log);
}

// ---- a GGUF file ----------------------------------------------------------------------------------------------------

// Whether element i of a value is what the case wants: a number, a boolean or a string.
static bool same_value(const gguf_kv *kv, int64_t i, const cJSON *want)
{
    int64_t whole;
    float   real;
    if (cJSON_IsString(want)) {
        gguf_str s = { 0 };
        bool got = kv->type == GGUF_ARRAY ? false : gguf_kv_str(kv, &s);
        gguf_str_iter it = gguf_strs(kv);
        for (int64_t k = 0; kv->type == GGUF_ARRAY && k <= i; k++) got = gguf_next_str(&it, &s);
        return got && (size_t)s.n == strlen(want->valuestring) && memcmp(s.s, want->valuestring, (size_t)s.n) == 0;
    }
    if (cJSON_IsBool(want)) return kv->elem == GGUF_BOOL && gguf_arr_i64(kv, i, &whole) && whole == cJSON_IsTrue(want);
    if (gguf_arr_i64(kv, i, &whole)) return (double)whole == want->valuedouble;
    return gguf_arr_f32(kv, i, &real) && real == (float)want->valuedouble;
}

static void check_keys(const gguf *g, const cJSON *keys, const char *name)
{
    const cJSON *want, *one;
    cJSON_ArrayForEach(want, keys) {
        const gguf_kv *kv = gguf_find_kv(g, want->string);
        ck_assert_msg(kv != NULL, "%s: there is no key '%s'", name, want->string);
        char *found = gguf_kv_text(kv, 40);
        if (cJSON_IsArray(want)) {
            int64_t i = 0;
            ck_assert_msg(kv->n == cJSON_GetArraySize(want), "%s: key '%s' is %s", name, want->string, found);
            cJSON_ArrayForEach(one, want)
                ck_assert_msg(same_value(kv, i++, one), "%s: key '%s' is %s", name, want->string, found);
        } else {
            ck_assert_msg(same_value(kv, 0, want), "%s: key '%s' is %s", name, want->string, found);
        }
        free(found);
    }
}

static void check_gguf(const cJSON *step, const char *name, const char *dir)
{
    err   e = { 0 };
    char *path = field_fill(cJSON_GetObjectItem(step, "gguf")->valuestring, dir);
    gguf *g = gguf_open(path, &e);
    ck_assert_msg(g != NULL, "%s: %s", name, e.msg);
    check_keys(g, cJSON_GetObjectItem(step, "keys"), name);
    const cJSON *v, *at;
    cJSON_ArrayForEach(v, cJSON_GetObjectItem(step, "lengths")) {
        const gguf_kv *kv = gguf_find_kv(g, v->string);
        ck_assert_msg(kv && kv->n == v->valueint, "%s: key '%s' has %lld elements", name, v->string,
                      kv ? (long long)kv->n : -1);
    }
    cJSON_ArrayForEach(v, cJSON_GetObjectItem(step, "at")) {
        const gguf_kv *kv = gguf_find_kv(g, v->string);
        ck_assert_msg(kv != NULL, "%s: there is no key '%s'", name, v->string);
        cJSON_ArrayForEach(at, v) ck_assert_msg(same_value(kv, atoll(at->string), at),
                                                "%s: element %s of '%s' is another", name, at->string, v->string);
    }
    cJSON_ArrayForEach(v, cJSON_GetObjectItem(step, "absent"))
        ck_assert_msg(!gguf_find_kv(g, v->valuestring), "%s: key '%s' is there", name, v->valuestring);
    cJSON_ArrayForEach(v, cJSON_GetObjectItem(step, "tensors")) {
        const gguf_tensor *t = gguf_find_tensor(g, v->string);
        ck_assert_msg(t != NULL, "%s: there is no tensor '%s'", name, v->string);
        ck_assert_msg(strcmp(dtype_name(t->type), v->valuestring) == 0, "%s: tensor '%s' is %s", name, v->string,
                      dtype_name(t->type));
    }
    cJSON_ArrayForEach(v, cJSON_GetObjectItem(step, "no_tensors"))
        ck_assert_msg(!gguf_find_tensor(g, v->valuestring), "%s: tensor '%s' is there", name, v->valuestring);
    gguf_close(g);
    free(path);
}

// ---- a case ---------------------------------------------------------------------------------------------------------

static void check_files(const cJSON *paths, bool there, const char *name, const char *dir)
{
    const cJSON *v;
    cJSON_ArrayForEach(v, paths) {
        char *path = field_fill(v->valuestring, dir);
        struct stat s;
        ck_assert_msg((lstat(path, &s) == 0) == there, "%s: %s %s", name, path, there ? "is not there" : "is there");
        free(path);
    }
}

// A misspelt member would check nothing.
static void check_members(const cJSON *obj, const char *const *known, const char *name)
{
    const cJSON *v;
    cJSON_ArrayForEach(v, obj) {
        int k = 0;
        while (known[k] && strcmp(known[k], v->string) != 0) k++;
        ck_assert_msg(known[k] != NULL, "%s: unknown member '%s'", name, v->string);
    }
}

START_TEST(situation)
{
    static const char *const of_case[] = { "story", "base",    "patch",  "write", "write_hex", "remove",
                                           "link",  "tensors", "copies", "env",   "steps",     NULL };
    static const char *const of_step[] = { "run",        "exit",    "says",      "silent_on", "prints",
                                           "prints_not", "stdin",   "stdout_is", "seconds",   "gguf",
                                           "keys",       "lengths", "at",        "absent",    "tensors",
                                           "no_tensors", "exists",  "missing",   NULL };
    const char *path = cases.gl_pathv[_i], *name = strrchr(path, '/') + 1;
    const char *only = getenv("FIELD");
    if (only && !strstr(name, only)) return;
    cJSON *c = field_read_json(path);
    check_members(c, of_case, name);
    const cJSON *steps = cJSON_GetObjectItem(c, "steps"), *step;
    ck_assert_msg(cJSON_GetArraySize(steps) > 0 && cJSON_GetObjectItem(c, "story"), "%s: no steps or no story", name);
    char *dir = new_dir();
    field_folder(c, dir);
    cJSON_ArrayForEach(step, steps) {
        check_members(step, of_step, name);
        const bool command = cJSON_HasObjectItem(step, "run"), file = cJSON_HasObjectItem(step, "gguf");
        ck_assert_msg(command || file || cJSON_HasObjectItem(step, "exists") || cJSON_HasObjectItem(step, "missing"),
                      "%s: a step that checks nothing", name);
        if (command) check_run(step, cJSON_GetObjectItem(c, "env"), name, dir);
        if (file) check_gguf(step, name, dir);
        check_files(cJSON_GetObjectItem(step, "exists"), true, name, dir);
        check_files(cJSON_GetObjectItem(step, "missing"), false, name, dir);
    }
    drop_dir(dir);
    cJSON_Delete(c);
}
END_TEST

int main(void)
{
    if (glob(SOURCE_DIR "/tests/field/*.json", 0, NULL, &cases) != 0) return EXIT_FAILURE;    // none found is a failure
    Suite *s = suite_create("field");
    TCase *t = tcase_create("situations");
    tcase_set_timeout(t, 600);
    tcase_add_loop_test(t, situation, 0, (int)cases.gl_pathc);
    suite_add_tcase(s, t);
    const int status = run_suite(s);
    globfree(&cases);
    return status;
}
