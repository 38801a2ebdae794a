// Proves that all who read a model's file agree on it: a sound file is changed in one place at a time (each key's type,
// value and presence; each tensor's name, shape, type and presence), and what `run` refuses, quantize, imatrix, verify
// and bench refuse too, with exit status 3; inspect shows it and exits 3. What `run` takes, they take.
// Every file is run here, in this process, and given to quantize's plan; of so many one is given to the program itself,
// each command in turn. BROKEN_EVERY=1 in the environment gives it all of them (some 15,000 processes).
#include "convert/convert.h"
#include "gguf_spec.h"
#include "mini_checkpoint.h"
#include "runtime/model.h"
#include "runtime/session.h"
#include "verify_files.h"

#include <math.h>
#include <spawn.h>
#include <sys/wait.h>

extern char **environ;

// FILE_EVERY: of the changed files themselves, each of which takes a process.
#if defined(__SANITIZE_ADDRESS__)
enum { PROGRAM_EVERY = 101, BENCH_EVERY = 1010, FILE_EVERY = 8 };
#else
enum { PROGRAM_EVERY = 11, BENCH_EVERY = 770, FILE_EVERY = 1 };   // bench runs for seconds unless it refuses
#endif

static char sound[SCRATCH_PATH], broken[SCRATCH_PATH], output[SCRATCH_PATH], text[SCRATCH_PATH],
    fixture_file[SCRATCH_PATH], log_file[SCRATCH_PATH];
static int  n_cases, n_refused, every, file_every = 1, n_files;

// Exit status of the program; standard error is in log_file.
static int program(const char *const *args)
{
    char *argv[16] = { HALLMARK_PROGRAM };
    pid_t pid;
    int   n = 1, status;
    posix_spawn_file_actions_t files;
    for (; *args; args++) argv[n++] = (char *)(uintptr_t)*args;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&files, 1, in_scratch("out"), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    posix_spawn_file_actions_addopen(&files, 2, log_file, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    ck_assert_int_eq(posix_spawn(&pid, argv[0], &files, NULL, argv, environ), 0);
    posix_spawn_file_actions_destroy(&files);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_msg(WIFEXITED(status), "%s %s: ended by signal %d", argv[1], argv[2], WTERMSIG(status));
    return WEXITSTATUS(status);
}

static const char *said(void)
{
    static char line[2048];
    int64_t n = read_file_bytes(log_file, (uint8_t *)line, sizeof line - 1);
    line[n < 0 ? 0 : n] = '\0';
    return line;
}

static void must_agree(const char *command, const char *const *args, bool refused, const char *what)
{
    const int status = program(args);
    // A file of another checkpoint is no broken one: it was read, and it is the fixture that is of no use to it.
    const bool other = !refused && strstr(said(), "not a fixture of broken.gguf");
    const bool fits = (status == 3) == (refused || other) && status != 2 && status < 4;
    ck_assert_msg(fits, "%s: run %s it, %s exits %d: %s", what,
                  refused ? "refuses" : "takes", command, status, said());
    ck_assert_msg(!refused || strstr(said(), "broken.gguf"), "%s: %s does not name the file: %s", what, command,
                  said());
}

// Another architecture, and a part of a split file, are shown as they are.
static bool is_no_whole_model(const char *what)
{
    return strncmp(what, "general.architecture: ", 22) == 0 || strcmp(what, "split.count: added as 3") == 0;
}

// The file in this process, as `run` goes about it. False: it was refused, which only ERR_INPUT may do.
static bool runs_here(const char *what)
{
    err      e = { 0 };
    int32_t *ids = NULL, out[2];
    int64_t  n = 0;
    session *s = NULL;
    model   *m = model_open(broken, &e);
    bool ok = m && tokenizer_encode(model_tokenizer(m), "ab c", 4, true, true, &ids, &n, &e);
    ok = ok && (s = session_new(m, &(session_opts){ .device = "cpu", .n_threads = 1, .n_ctx = n + 2 }, &e)) != NULL;
    ok = ok && session_generate(s, ids, n, out, 2, false, NULL, NULL, &e) >= 0;
    session_free(s);
    model_close(m);
    free(ids);
    ck_assert_msg(ok || (e.kind == ERR_INPUT && strstr(e.msg, "broken.gguf")), "%s: kind %d: %s", what, e.kind, e.msg);
    return ok;
}

// What quantize would do, nothing being written.
static bool plans_here(const char *what)
{
    err e = { 0 };
    quantize_preview v;
    const bool ok = quantize_preview_file(&v, broken, &(quantize_opts){ .type = FT_Q8_0, .judge = model_check }, &e);
    if (ok) quantize_preview_free(&v);
    ck_assert_msg(ok || e.kind == ERR_INPUT, "%s: kind %d: %s", what, e.kind, e.msg);
    return ok;
}

static void try_programs(bool refused, const char *what)
{
    const bool judged = !refused || !is_no_whole_model(what);
    const struct { const char *args[9]; bool asked, refused; } rows[] = {
        { { "run", broken, "-p", "ab c", "-n", "2", "--print-ids" }, true, refused },
        { { "quantize", broken, "-o", output, "--type", "q8_0" }, true, refused },
        { { "quantize", broken, "--dry-run", "--type", "q8_0" }, true, refused },
        { { "imatrix", broken, "-o", output, "--text", text, "--chunk", "8" }, true, refused },
        { { "verify", broken, "--fixture", fixture_file }, true, refused },
        { { "inspect", broken }, judged, refused },
        { { "inspect", broken, "--json" }, judged, refused },
        { { "inspect", broken }, !judged, false },
        { { "bench", broken, "--case", "p1g1" }, refused || n_cases % BENCH_EVERY == 0, refused },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].asked) must_agree(rows[i].args[0], rows[i].args, rows[i].refused, what);
}

static void try_file(const spec *s, const char *what)
{
    if (n_files++ % file_every != 0) return;
    spec_write(s, broken);
    const bool refused = !runs_here(what);
    n_refused += refused;
    ck_assert_msg(plans_here(what) != refused, "%s: run %s it, quantize does not", what, refused ? "refuses" : "takes");
    if (n_cases % every == 0) try_programs(refused, what);
    n_cases++;
}

// ---- pairs ---------------------------------------------------------------------------------------------------------

static void set_bytes(spec_pair *p, gguf_type type, gguf_type elem, int64_t n, const void *data, int64_t n_bytes)
{
    p->type = type;
    p->elem = elem;
    p->n    = n;
    p->data = spec_bytes(data, n_bytes);
    p->n_bytes = n_bytes;
}

static void set_text(spec_pair *p, const char *s, int64_t n)
{
    buffer b = { 0 };
    put_u64(&b, (uint64_t)n);
    put(&b, s, n);
    set_bytes(p, GGUF_STRING, GGUF_STRING, 1, b.p, b.n);
    bytes_free(&b);
}

// The stored strings of an array but for [at], which becomes `with` (NULL: is left out), or is followed by it (`more`).
static void set_strings(spec_pair *p, const spec_pair *old, int64_t at, const char *with, bool more)
{
    const gguf_kv kv = { .type = old->type, .elem = old->elem, .n = old->n, .data = old->data,
                         .n_bytes = old->n_bytes };
    gguf_str_iter it = gguf_strs(&kv);
    gguf_str s;
    buffer b = { 0 };
    int64_t n = 0;
    for (int64_t i = 0; gguf_next_str(&it, &s); i++) {
        if (i != at || more) { put_u64(&b, (uint64_t)s.n); put(&b, s.s, s.n); n++; }
        if (i == at && with) { put_str(&b, with); n++; }
    }
    set_bytes(p, GGUF_ARRAY, GGUF_STRING, n, b.p ? b.p : (uint8_t *)"", b.n);
    bytes_free(&b);
}

typedef struct { spec *s; spec_pair *p, old; char what[256]; } pair_case;

static void pair_try(pair_case *c, const char *how)
{
    snprintf(c->what, sizeof c->what, "%s: %s", c->old.name, how);
    try_file(c->s, c->what);
    if (c->p->data != c->old.data) free(c->p->data);
    *c->p = c->old;
}

static void pair_types(pair_case *c)
{
    const uint32_t u32 = 1;
    const uint64_t u64 = 1;
    const float    f32 = 1.5f;
    c->p->absent = true;                                                            pair_try(c, "absent");
    if (c->old.type != GGUF_U32) { set_bytes(c->p, GGUF_U32, GGUF_U32, 1, &u32, 4); pair_try(c, "u32 1"); }
    if (c->old.type != GGUF_F32) { set_bytes(c->p, GGUF_F32, GGUF_F32, 1, &f32, 4); pair_try(c, "f32 1.5"); }
    if (c->old.type != GGUF_BOOL) { set_bytes(c->p, GGUF_BOOL, GGUF_BOOL, 1, &u32, 1); pair_try(c, "a boolean"); }
    if (c->old.type != GGUF_STRING) { set_text(c->p, "1", 1);                       pair_try(c, "a string"); }
    set_bytes(c->p, GGUF_U64, GGUF_U64, 1, &u64, 8);                                pair_try(c, "u64 1");
    set_bytes(c->p, GGUF_ARRAY, GGUF_U32, 0, "", 0);                                pair_try(c, "no u32");
    set_bytes(c->p, GGUF_ARRAY, GGUF_STRING, 0, "", 0);                             pair_try(c, "no strings");
    set_bytes(c->p, GGUF_ARRAY, GGUF_F32, 1, &f32, 4);                              pair_try(c, "an array of one f32");
    set_bytes(c->p, GGUF_ARRAY, GGUF_I32, 1, &u32, 4);                              pair_try(c, "an array of one i32");
}

static void pair_integers(pair_case *c)
{
    const int64_t values[] = { 0, -1, 1, 2, 7, INT32_MAX, INT64_MAX, INT64_MIN };
    int64_t now = 0;
    memcpy(&now, c->old.data, (size_t)(c->old.n_bytes < 8 ? c->old.n_bytes : 8));
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        char how[40];
        snprintf(how, sizeof how, "i64 %lld", (long long)values[i]);
        set_bytes(c->p, GGUF_I64, GGUF_I64, 1, &values[i], 8);
        pair_try(c, how);
    }
    for (int d = -1; d <= 1; d++) {
        const int64_t near = now + d;
        set_bytes(c->p, GGUF_I64, GGUF_I64, 1, &near, 8);
        pair_try(c, d < 0 ? "one less" : d ? "one more" : "the same as i64");
    }
}

static void pair_floats(pair_case *c)
{
    const float values[] = { 0.0f, -1.0f, NAN, INFINITY, -INFINITY, 1e-45f };
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        char how[40];
        snprintf(how, sizeof how, "f32 %g", (double)values[i]);
        set_bytes(c->p, GGUF_F32, GGUF_F32, 1, &values[i], 4);
        pair_try(c, how);
    }
}

static void pair_flag(pair_case *c)
{
    const uint8_t other = c->old.data[0] ^ 1;
    set_bytes(c->p, GGUF_BOOL, GGUF_BOOL, 1, &other, 1);
    pair_try(c, "the other way");
}

static void pair_texts(pair_case *c)
{
    static char large[100000];
    memset(large, 'x', sizeof large);
    set_text(c->p, "", 0);                      pair_try(c, "empty");
    set_text(c->p, "x", 1);                     pair_try(c, "x");
    set_text(c->p, "\xff\xfe\x00z", 4);         pair_try(c, "no text at all");
    set_text(c->p, large, sizeof large);        pair_try(c, "100,000 bytes");
}

static void pair_array(pair_case *c)
{
    const int size = gguf_type_bytes(c->old.elem);
    buffer one_more = { 0 };
    if (c->old.elem == GGUF_STRING) {
        static char large[4000];
        memset(large, 'y', sizeof large - 1);
        set_strings(c->p, &c->old, c->old.n - 1, NULL, false);      pair_try(c, "one fewer");
        set_strings(c->p, &c->old, 0, "extra", true);               pair_try(c, "one more");
        set_strings(c->p, &c->old, c->old.n - 1, "", false);        pair_try(c, "the last is empty");
        set_strings(c->p, &c->old, c->old.n - 1, "<bos>", false);   pair_try(c, "the last is another's text");
        set_strings(c->p, &c->old, c->old.n - 1, "\xff", false);    pair_try(c, "the last is no UTF-8");
        set_strings(c->p, &c->old, c->old.n - 1, large, false);     pair_try(c, "the last is long");
        set_strings(c->p, &c->old, c->old.n - 1, "a b c", false);   pair_try(c, "the last has two spaces");
        set_strings(c->p, &c->old, 8, "<0x>", false);               pair_try(c, "a byte's text is wrong");
        return;
    }
    put(&one_more, c->old.data, c->old.n_bytes);
    put(&one_more, c->old.data, size);
    set_bytes(c->p, GGUF_ARRAY, c->old.elem, c->old.n - 1, c->old.data, c->old.n_bytes - size);
    pair_try(c, "one fewer");
    set_bytes(c->p, GGUF_ARRAY, c->old.elem, c->old.n + 1, one_more.p, one_more.n);
    pair_try(c, "one more");
    for (int v = 0; v < 2 && c->old.elem != GGUF_BOOL; v++) {
        set_bytes(c->p, GGUF_ARRAY, c->old.elem, c->old.n, c->old.data, c->old.n_bytes);
        memset(c->p->data, v ? 0xff : 0, (size_t)size);
        pair_try(c, v ? "the first is all ones" : "the first is 0");
    }
    for (int64_t i = 0; i < c->old.n && c->old.elem == GGUF_BOOL; i++) {
        set_bytes(c->p, GGUF_ARRAY, c->old.elem, c->old.n, c->old.data, c->old.n_bytes);
        c->p->data[i] ^= 1;
        pair_try(c, "one is the other way");
    }
    bytes_free(&one_more);
}

static void change_pairs(spec *s)
{
    for (int64_t i = 0; i < s->n_pairs; i++) {
        pair_case c = { .s = s, .p = &s->pair[i], .old = s->pair[i] };
        pair_types(&c);
        switch (c.old.type) {
        case GGUF_ARRAY:  pair_array(&c); break;
        case GGUF_STRING: pair_texts(&c); break;
        case GGUF_F32:    pair_floats(&c); break;
        case GGUF_BOOL:   pair_flag(&c); break;
        default:          pair_integers(&c);
        }
    }
}

// Keys that a file need not have, with values that cannot be.
static void add_pairs(spec *s)
{
    static const struct { const char *name; int64_t value; } rows[] = {
        { "split.count", 3 }, { "split.count", -1 }, { "ARCH.expert_count", 8 }, { "ARCH.rope.scaling.type", 1 },
        { "ARCH.attention.shared_kv_layers", 5 }, { "ARCH.attention.shared_kv_layers", 99 },
        { "ARCH.attention.value_length", 7 }, { "tokenizer.ggml.add_space_prefix", 1 },
        { "tokenizer.ggml.eot_token_id", 1 << 30 }, { "tokenizer.ggml.mask_token_id", -1 },
        { "tokenizer.ggml.eos_token_ids", 1 },
        { "general.type", 1 }, { "general.alignment", 64 },
    };
    char arch[64] = "";
    for (int64_t i = 0; i < s->n_pairs; i++)
        if (strcmp(s->pair[i].name, "general.architecture") == 0)
            snprintf(arch, sizeof arch, "%.*s", (int)s->pair[i].n_bytes - 8, s->pair[i].data + 8);
    spec_pair *more = calloc((size_t)s->n_pairs + 1, sizeof *more), *had = s->pair;
    memcpy(more, s->pair, (size_t)s->n_pairs * sizeof *more);
    spec_pair *p = &more[s->n_pairs];
    s->pair = more;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char what[300];
        const bool by_arch = strncmp(rows[i].name, "ARCH.", 5) == 0;
        snprintf(p->name, sizeof p->name, "%s%s", by_arch ? arch : "", by_arch ? rows[i].name + 4 : rows[i].name);
        snprintf(what, sizeof what, "%s: added as %lld", p->name, (long long)rows[i].value);
        bool there = false;
        for (int64_t k = 0; k < s->n_pairs; k++) there |= strcmp(had[k].name, p->name) == 0;
        if (there) continue;
        set_bytes(p, GGUF_I64, GGUF_I64, 1, &rows[i].value, 8);
        s->n_pairs++;
        try_file(s, what);
        s->n_pairs--;
        free(p->data);
    }
    s->pair = had;
    free(more);
}

// ---- tensors -------------------------------------------------------------------------------------------------------

typedef struct { spec *s; spec_tensor *t, old; } tensor_case;

static void tensor_try(tensor_case *c, const char *how)
{
    char what[320];
    snprintf(what, sizeof what, "%s: %s", c->old.name, how);
    try_file(c->s, what);
    if (c->t->data != c->old.data) free(c->t->data);
    *c->t = c->old;
}

// Another type, with as many bytes as that takes.
static void tensor_type(tensor_case *c, dtype type, const char *how)
{
    int64_t n;
    if (!dtype_bytes(type, c->old.n_dims, c->old.dims, &n) || (int64_t)c->old.type == (int64_t)type) return;
    c->t->type = (uint32_t)type;
    c->t->data = calloc(1, (size_t)n);
    c->t->n_bytes = n;
    tensor_try(c, how);
}

// One row or one column less or more, of the same type.
static void tensor_size(tensor_case *c, int dim, int64_t by, const char *how)
{
    if (c->old.n_dims <= dim || c->old.dims[dim] + by < 1) return;
    int64_t n = 1;
    c->t->dims[dim] += by;
    for (int d = 0; d < c->t->n_dims; d++) n *= c->t->dims[d];
    int64_t old_n = 1;
    for (int d = 0; d < c->old.n_dims; d++) old_n *= c->old.dims[d];
    c->t->n_bytes = n * (c->old.n_bytes / old_n);
    c->t->data = calloc(1, (size_t)c->t->n_bytes);
    tensor_try(c, how);
}

static void tensor_name(tensor_case *c, const char *from, const char *to)
{
    const char *at = strstr(c->old.name, from);
    if (!at) return;
    snprintf(c->t->name, sizeof c->t->name, "%.*s%s%s", (int)(at - c->old.name), c->old.name, to, at + strlen(from));
    tensor_try(c, c->t->name);
}

static void change_tensors(spec *s)
{
    for (int64_t i = 0; i < s->n_tensors; i++) {
        tensor_case c = { .s = s, .t = &s->tensor[i], .old = s->tensor[i] };
        c.t->absent = true;                                     tensor_try(&c, "absent");
        // A sliding layer, a full one, one that shares keys; the others are like them.
        if (strncmp(c.old.name, "blk.", 4) == 0 && strchr("134", c.old.name[4])) continue;
        tensor_name(&c, ".weight", ".bias");
        tensor_name(&c, "blk.0.", "blk.6.");
        tensor_name(&c, "blk.2.", "blk.02.");
        tensor_name(&c, "blk.5.", "blk.-1.");
        tensor_name(&c, ".weight", ".weight2");
        tensor_type(&c, DT_F32, "F32");
        tensor_type(&c, DT_BF16, "BF16");
        tensor_type(&c, DT_Q8_0, "Q8_0");
        tensor_type(&c, DT_I32, "I32");
        tensor_type(&c, DT_MXFP4, "MXFP4");
        tensor_size(&c, 0, -1, "the first dimension one less");
        tensor_size(&c, 0, 1, "the first dimension one more");
        tensor_size(&c, 1, -1, "the second dimension one less");
        tensor_size(&c, 1, 32, "the second dimension 32 more");
        if (c.old.n_dims == 2 && c.old.dims[0] != c.old.dims[1]) {
            c.t->dims[0] = c.old.dims[1];
            c.t->dims[1] = c.old.dims[0];
            tensor_try(&c, "transposed");
        }
        if (c.old.n_dims == 2) {
            c.t->n_dims  = 1;
            c.t->dims[0] = c.old.dims[0] * c.old.dims[1];
            tensor_try(&c, "in one row");
        }
        if (c.old.n_dims == 1 && c.old.dims[0] > 1) {
            c.t->n_dims  = 2;
            c.t->dims[1] = 1;
            tensor_try(&c, "in one column");
        }
    }
}

static void add_tensor(spec *s, const char *name)
{
    char what[200];
    spec_tensor *t = &s->tensor[s->n_tensors];
    *t = (spec_tensor){ .n_dims = 1, .dims = { 64 }, .type = DT_F32, .data = calloc(1, 256), .n_bytes = 256 };
    snprintf(t->name, sizeof t->name, "%s", name);
    snprintf(what, sizeof what, "%s: one that nobody knows", name);
    s->n_tensors++;
    const int before = n_refused;
    try_file(s, what);
    ck_assert_msg(n_refused > before, "%s was taken", what);
    s->n_tensors--;
    free(t->data);
}

// ---- the cases -----------------------------------------------------------------------------------------------------

// A model of mini_checkpoint.h as a BF16 file.
static void make_sound(mini *m)
{
    err e = { 0 };
    mini_write(m, false);
    ck_assert_msg(convert_checkpoint(m->dir, sound, &(convert_opts){ .type = FT_BF16, .judge = model_check }, &e),
                  "%s", e.msg);
    mini_free(m);
}

static void change_everything(mini *m)
{
    const char *asked = getenv("BROKEN_EVERY");
    make_sound(m);
    every = asked && atoi(asked) > 0 ? atoi(asked) : PROGRAM_EVERY;
    spec s = spec_read(sound);
    n_cases = n_refused = n_files = 0;
    file_every = FILE_EVERY;
    if (file_every > 1) printf("SMALLER under sanitizers: every %dth changed file\n", file_every);
    try_file(&s, "unchanged");
    ck_assert_int_eq(n_refused, 0);
    change_pairs(&s);
    add_pairs(&s);
    change_tensors(&s);
    static const char *const unknown[] = { "junk", "blk.0.attn_q.bias", "blk.0.attn_qkv.weight",
                                           "blk.6.attn_norm.weight", "v.patch_embd.weight" };
    file_every = 1;
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) add_tensor(&s, unknown[i]);
    printf("%d changed files, %d refused\n", n_cases, n_refused);
    ck_assert_int_gt(n_refused, n_cases / 2);
    spec_free(&s);
}

START_TEST(all_agree_on_gemma4) { change_everything(mini_gemma4()); } END_TEST
START_TEST(all_agree_on_gemma3) { change_everything(mini_gemma3()); } END_TEST

// The ids that `run` prints.
static void ids_of(const char *path, char ids[256])
{
    const char *const run[] = { "run", path, "-p", "ab c", "-n", "6", "--print-ids", "--ignore-eos", NULL };
    ck_assert_msg(program(run) == 0, "%s", said());
    int64_t n = read_file_bytes(in_scratch("out"), (uint8_t *)ids, 255);
    ids[n < 0 ? 0 : n] = '\0';
}

// To ggml a tensor has four dimensions, and a file may store all of them. One weight may have none.
START_TEST(dimensions_of_1_that_a_file_stores_say_nothing)
{
    char ids[256], same[256];
    make_sound(mini_gemma4());
    ids_of(sound, ids);
    spec s = spec_read(sound);
    for (int64_t i = 0; i < s.n_tensors; i++) {
        spec_tensor *t = &s.tensor[i];
        if (t->n_dims == 1 && t->dims[0] == 1 && i % 2) { t->n_dims = 0; continue; }
        const int ones = 4 - t->n_dims;
        memmove(t->dims + ones, t->dims, (size_t)t->n_dims * sizeof *t->dims);
        for (int d = 0; d < ones; d++) t->dims[d] = 1;
        t->n_dims = 4;
    }
    n_cases = n_refused = 0;
    every = 1;
    try_file(&s, "all dimensions stored");
    ck_assert_int_eq(n_refused, 0);
    ids_of(broken, same);
    ck_assert_str_eq(ids, same);
    ck_assert_int_eq(program((const char *[]){ "derive", broken, "--from", sound, NULL }), 0);
    ck_assert_int_eq(program((const char *[]){ "quantize", broken, "-o", output, "--type", "q8_0", NULL }), 0);
    ck_assert_int_eq(program((const char *[]){ "derive", output, "--from", broken, NULL }), 0);
    spec_free(&s);
}
END_TEST

// Other files in the same form are no broken models: inspect shows them, run says what they are.
START_TEST(what_is_no_model_is_said)
{
    static const char *const kinds[] = { "adapter", "mmproj", "imatrix", "vocab" };
    make_sound(mini_gemma3());
    spec s = spec_read(sound);
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        for (int64_t i = 0; i < s.n_pairs; i++)
            if (strcmp(s.pair[i].name, "general.type") == 0) {
                free(s.pair[i].data);
                set_text(&s.pair[i], kinds[k], (int64_t)strlen(kinds[k]));
            }
        spec_write(&s, broken);
        ck_assert_int_eq(program((const char *[]){ "inspect", broken, NULL }), 0);
        ck_assert_int_eq(program((const char *[]){ "run", broken, "-p", "a", NULL }), 3);
        ck_assert_msg(strstr(said(), kinds[k]) && strstr(said(), "general.type"), "%s", said());
    }
    spec_free(&s);
}
END_TEST

// So is a model of experts (Gemma 4 26B-A4B, Mixtral), as long as its experts are there.
START_TEST(a_model_of_experts_is_said)
{
    const int64_t n_experts = 8;
    make_sound(mini_gemma3());
    spec s = spec_read(sound);
    for (int64_t i = 0; i < s.n_pairs; i++)
        if (strcmp(s.pair[i].name, "general.name") == 0) {
            snprintf(s.pair[i].name, sizeof s.pair[i].name, "gemma3.expert_count");
            free(s.pair[i].data);
            set_bytes(&s.pair[i], GGUF_I64, GGUF_I64, 1, &n_experts, 8);
        }
    spec_write(&s, broken);
    ck_assert_int_eq(program((const char *[]){ "inspect", broken, NULL }), 3);
    for (int64_t i = 0; i < s.n_tensors; i++)
        if (strcmp(s.tensor[i].name, "blk.0.ffn_up.weight") == 0)
            snprintf(s.tensor[i].name, sizeof s.tensor[i].name, "blk.0.ffn_up_exps.weight");
    spec_write(&s, broken);
    ck_assert_int_eq(program((const char *[]){ "inspect", broken, NULL }), 0);
    ck_assert_int_eq(program((const char *[]){ "run", broken, "-p", "a", NULL }), 3);
    ck_assert_msg(strstr(said(), "gemma3.expert_count") && strstr(said(), "experts are neither run"), "%s", said());
    ck_assert_int_eq(program((const char *[]){ "quantize", broken, "-o", output, "--type", "q8_0", NULL }), 3);
    ck_assert_msg(strstr(said(), "experts are neither run nor quantized"), "%s", said());
    spec_free(&s);
}
END_TEST

// A judge who says no leaves nothing behind, and the message names the destination, not the file of the meantime.
static bool nobody_likes_it(const gguf *g, err *e) { return err_set(e, ERR_INPUT, "%s: key 'k': no", gguf_path(g)); }

START_TEST(a_conversion_that_could_not_be_run_is_not_kept)
{
    mini *m = mini_gemma4();
    err   e = { 0 };
    char  dir[SCRATCH_PATH], path[SCRATCH_PATH + 16];
    scratch_path(dir, "empty");
    ck_assert_int_eq(mkdir(dir, 0777), 0);
    snprintf(path, sizeof path, "%s/o.gguf", dir);
    mini_write(m, false);
    ck_assert(!convert_checkpoint(m->dir, path, &(convert_opts){ .type = FT_BF16, .judge = nobody_likes_it }, &e));
    check_refused(&e, ERR_INPUT, path, "o.gguf: key 'k': no; it was made of ");
    ck_assert_int_eq(rmdir(dir), 0);            // nothing is in it
    ck_assert_int_eq(mkdir(dir, 0777), 0);
    make_sound(m);
    e = (err){ 0 };
    ck_assert(!quantize_file(sound, path, &(quantize_opts){ .type = FT_Q8_0, .judge = nobody_likes_it }, &e));
    check_refused(&e, ERR_INPUT, sound, "key 'k': no");
    ck_assert_int_eq(rmdir(dir), 0);
}
END_TEST

static void begin(void)
{
    files_begin("broken-gguf");
    scratch_path(sound, "sound.gguf");
    scratch_path(broken, "broken.gguf");
    scratch_path(output, "made.gguf");
    scratch_path(text, "text");
    scratch_path(fixture_file, "short.json.gz");
    scratch_path(log_file, "log");
    write_license(text, 600);
    shorten_fixture(TINY_DIR "/fixtures/bfloat16.json.gz", fixture_file, 1);
}

int main(void)
{
    Suite *s = suite_create("broken_gguf");
    TCase *t = tcase_create("all");
    tcase_set_timeout(t, 3600);
    tcase_add_unchecked_fixture(t, begin, files_end);
    tcase_add_test(t, all_agree_on_gemma4);
    tcase_add_test(t, all_agree_on_gemma3);
    tcase_add_test(t, dimensions_of_1_that_a_file_stores_say_nothing);
    tcase_add_test(t, what_is_no_model_is_said);
    tcase_add_test(t, a_model_of_experts_is_said);
    tcase_add_test(t, a_conversion_that_could_not_be_run_is_not_kept);
    suite_add_tcase(s, t);
    return run_suite(s);
}
