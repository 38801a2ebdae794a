// hallmark bench: how fast an artifact runs, beside what the memory allows.
#include "answer.h"
#include "../runtime/kv_spec.h"
#include "bandwidth.h"
#include "text_out.h"
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_CASES = 32, DEFAULT_REPEAT = 3, MAX_REPEAT = 100, SCORE_CHUNK = 512 };
#define MAX_CASE_TOKENS 1000000

typedef struct {
    const char *cases, *device, *kv, *arith;
    int64_t     threads, repeat;
    bool        json, quiet;
} bench_options;

static const opt options[] = {
    { "--case", NULL, OPT_TEXT, offsetof(bench_options, cases), "C,C,...",
      "pNgM: a prompt of N tokens, then M new ones; sN: a text of N tokens scored (default: p1g32,p512g128)",
      false, 0, 0, NULL },
    { "--repeat", NULL, OPT_INT, offsetof(bench_options, repeat), "N",
      "runs a case after one to warm up; the median counts (default: 3)", false, 1, MAX_REPEAT, NULL },
    OPT_DEVICE(bench_options),
    OPT_KV(bench_options),
    OPT_ARITH(bench_options),
    OPT_THREADS(bench_options),
    OPT_ANSWER(bench_options),
};

typedef struct {
    int64_t prompt, gen, score; // score: tokens of a text; 0: a case of prompt and gen, and they are 0 elsewhere
    double  prefill_tok_s, decode_tok_s, decode_gb_s;   // NAN-free: decode is 0 when gen is 0, prefill when prompt is
    double  score_tok_s;        // 0 when score is 0
    int64_t step_bytes;         // what a decode step must read, the mean over the case's steps; 0 when gen is 0
    int64_t memory_bytes;
} bench_case;

typedef struct {
    const char *artifact;
    bool        first;
    char        device[16];
    double      limit_gb_s;     // 0: not measured
    // of the first case, whose file may come from the disk; 0: the device runs on the file's mapping
    double      load_s;
    int64_t     load_bytes;
    int         n;
    bench_case  cases[MAX_CASES];
} bench_result;

static bool parse_number(const char **p, int64_t *out)
{
    int64_t v = 0;
    if (!isdigit((unsigned char)**p)) return false;
    while (isdigit((unsigned char)**p) && v <= MAX_CASE_TOKENS) v = v * 10 + (*(*p)++ - '0');
    *out = v;
    return v <= MAX_CASE_TOKENS;
}

// "p512g128": a prompt of at least one token, so that there is something to decode from. "s16384": at least one token
// too.
static bool parse_case(const char **p, bench_case *c)
{
    const char kind = **p;
    if (kind != 'p' && kind != 's') return false;
    (*p)++;
    if (kind == 's') return parse_number(p, &c->score) && c->score >= 1;
    if (!parse_number(p, &c->prompt) || *(*p)++ != 'g') return false;
    return parse_number(p, &c->gen) && c->prompt >= 1;
}

static bool parse_cases(const char *text, bench_result *r, err *e)
{
    const char *p = text;
    for (r->n = 0; r->n < MAX_CASES;) {
        if (!parse_case(&p, &r->cases[r->n]) || (*p != ',' && *p != '\0'))
            return err_set(e, ERR_USAGE,
                           "option --case: found '%s', expected cases such as p512g128 or s4096 (p and s 1 to %d, g 0 "
                           "to %d)",
                           text, MAX_CASE_TOKENS, MAX_CASE_TOKENS);
        r->n++;
        if (*p++ == '\0') return true;
    }
    return err_set(e, ERR_USAGE, "option --case: more than %d cases", (int)MAX_CASES);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *v, int n)
{
    qsort(v, (size_t)n, sizeof *v, by_value);
    return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

typedef struct { double first, last; } token_times;

static void note_time(void *ctx, int32_t id)
{
    token_times *t = ctx;
    (void)id;
    t->last = seconds_now();
    if (t->first == 0) t->first = t->last;
}

// One timed pass, as `run` would do it: the prompt up to its greedy token, then gen greedy steps. Seconds of each part.
static bool time_pass(session *s, const int32_t *ids, int32_t *out, const bench_case *c, double *prefill,
                      double *decode, err *e)
{
    token_times t = { 0 };
    session_reset(s);
    double began = seconds_now();
    if (session_generate(s, ids, c->prompt, out, c->gen + 1, true, note_time, &t, e) < 0) return false;
    *prefill = t.first - began;
    *decode = t.last - t.first;
    return true;
}

// A text of n ids, teacher-forced, as the divergence runs one: chunks of SCORE_CHUNK from an empty cache, of each
// position whether its logits are finite, the greedy id, the log of the sum and the logit of what follows. out: [n].
static bool time_score(session *s, const int32_t *ids, int64_t n, row_stats *out, double *seconds, err *e)
{
    const double began = seconds_now();
    for (int64_t at = 0; at < n; at += SCORE_CHUNK) {
        const int64_t here = n - at < SCORE_CHUNK ? n - at : SCORE_CHUNK;
        session_reset(s);
        if (!session_score(s, ids + at, here, at + here < n ? ids[at + here] : -1, out + at, e)) return false;
    }
    *seconds = seconds_now() - began;
    for (int64_t i = 0; i < n; i++)
        if (!out[i].finite) return err_set(e, ERR_INPUT, "token %lld: logits are not finite", (long long)i);
    return true;
}

// Bytes a decode step reads, averaged over the case's steps: the cache grows.
static double mean_step_bytes(const session *s, const bench_case *c)
{
    double sum = 0;
    for (int64_t i = 0; i < c->gen; i++) sum += (double)session_step_bytes(s, c->prompt + i);
    return c->gen ? sum / (double)c->gen : 0;
}


static void fill_result(bench_case *c, const session *s, double prefill, double decode)
{
    c->prefill_tok_s = (double)c->prompt / prefill;
    c->decode_tok_s = c->gen ? (double)c->gen / decode : 0;
    c->step_bytes = (int64_t)mean_step_bytes(s, c);
    c->decode_gb_s = c->decode_tok_s * (double)c->step_bytes / 1e9;
}

// Ids spread over the vocabulary: the rows of the embedding are not all in cache.
static void spread_ids(int32_t *ids, int64_t n, int64_t n_vocab)
{
    for (int64_t i = 0; i < n; i++) ids[i] = (int32_t)((uint64_t)(i + 1) * 2654435761u % (uint64_t)n_vocab);
}

static int n_repeat(const bench_options *o) { return o->repeat ? (int)o->repeat : DEFAULT_REPEAT; }

static bool bench_generate(const bench_options *o, session *s, int64_t n_vocab, bench_case *c, err *e)
{
    double prefill[MAX_REPEAT], decode[MAX_REPEAT], ignored;
    int32_t *ids = malloc((size_t)c->prompt * sizeof *ids), *out = malloc((size_t)(c->gen + 1) * sizeof *out);
    bool ok = (ids && out) || err_nomem(e, "a bench case", (size_t)(c->prompt + c->gen) * sizeof *ids);
    if (ok) spread_ids(ids, c->prompt, n_vocab);
    // enough for a device to record its decode step
    const bench_case warm = { .prompt = c->prompt, .gen = c->gen < 4 ? c->gen : 4 };
    ok = ok && time_pass(s, ids, out, &warm, &ignored, &ignored, e);
    for (int i = 0; ok && i < n_repeat(o); i++) ok = time_pass(s, ids, out, c, &prefill[i], &decode[i], e);
    if (ok) fill_result(c, s, median(prefill, n_repeat(o)), median(decode, n_repeat(o)));
    free(ids);
    free(out);
    return ok;
}

static bool bench_score(const bench_options *o, session *s, int64_t n_vocab, bench_case *c, err *e)
{
    double seconds[MAX_REPEAT];
    int32_t *ids = malloc((size_t)c->score * sizeof *ids);
    row_stats *out = malloc((size_t)c->score * sizeof *out);
    bool ok = (ids && out) || err_nomem(e, "a bench case", (size_t)c->score * sizeof *out);
    if (ok) spread_ids(ids, c->score, n_vocab);
    // one chunk to warm up
    ok = ok && time_score(s, ids, c->score < SCORE_CHUNK ? c->score : SCORE_CHUNK, out, &seconds[0], e);
    for (int i = 0; ok && i < n_repeat(o); i++) ok = time_score(s, ids, c->score, out, &seconds[i], e);
    if (ok) c->score_tok_s = (double)c->score / median(seconds, n_repeat(o));
    free(ids);
    free(out);
    return ok;
}

// In what a device's numbers may differ, or why it runs on the CPU: of the machine, said of the first artifact.
static void tell_once(const bench_result *r, const char *note)
{
    if (r->first && !answer_is_quiet()) print_line(stderr, "%s", note);
}

// The first case fills what is said once of the artifact: device, loading, and the limit where the device has memory of
// its own.
static bool bench_one(const bench_options *o, const model *m, bench_case *c, bench_result *r, err *e)
{
    const int64_t n_vocab = model_hparams(m)->n_vocab, chunk = c->score < SCORE_CHUNK ? c->score : SCORE_CHUNK;
    session_opts so = { .device = o->device, .kv = o->kv, .arith = o->arith, .n_threads = (int)o->threads,
                        .n_ctx = c->score ? chunk : c->prompt + c->gen };
    double rate;
    session *s = session_new(m, &so, e);
    if (s && c == r->cases) session_load(s, &r->load_s, &r->load_bytes);
    if (s && c == r->cases && *session_note(s)) tell_once(r, session_note(s));
    bool ok = s && (c->score ? bench_score : bench_generate)(o, s, n_vocab, c, e);
    if (ok && r->limit_gb_s == 0) {
        ok = session_copy_rate(s, &rate, e);
        if (ok) r->limit_gb_s = rate / 1e9;
    }
    if (ok) {
        snprintf(r->device, sizeof r->device, "%s", session_device(s));
        c->memory_bytes = session_memory_bytes(s);
    }
    session_free(s);
    return ok;
}

static void tell_case(const char *artifact, const bench_case *c)
{
    if (answer_is_quiet()) return;
    if (c->score) print_line(stderr, "bench      %s  s%lld", artifact, (long long)c->score);
    else          print_line(stderr, "bench      %s  p%lldg%lld", artifact, (long long)c->prompt, (long long)c->gen);
}

static bool bench_artifact(const bench_options *o, bench_result *r, err *e)
{
    model *m = model_open(r->artifact, e);
    bool ok = m != NULL;
    for (int i = 0; ok && i < r->n; i++) {
        bench_case *c = &r->cases[i];
        tell_case(r->artifact, c);
        ok = bench_one(o, m, c, r, e);
    }
    if (ok && strcmp(r->device, "cpu") == 0) {
        double bytes_per_s;
        ok = memory_read_bandwidth((int)o->threads, &bytes_per_s, e);
        if (ok) r->limit_gb_s = bytes_per_s / 1e9;
    }
    model_close(m);
    return ok;
}

static double load_gb_s(const bench_result *r) { return (double)r->load_bytes / r->load_s / 1e9; }

// null: not measured, as decoding is where nothing is generated.
static void figure_json(json_out *j, const char *key, double v, bool measured)
{
    json_key_num(j, key, measured ? v : NAN, 6);
}

static void load_json(json_out *j, const bench_result *r)
{
    figure_json(j, "load_s", r->load_s, r->load_s > 0);
    figure_json(j, "load_gb_s", load_gb_s(r), r->load_s > 0);
}

static void case_json(json_out *j, const bench_case *c, double limit)
{
    json_open(j, '{');
    json_key_int(j, "prompt", c->prompt);
    json_key_int(j, "gen", c->gen);
    json_key_int(j, "score", c->score);
    figure_json(j, "prefill_tok_s", c->prefill_tok_s, c->prompt > 0);
    figure_json(j, "decode_tok_s", c->decode_tok_s, c->gen > 0);
    figure_json(j, "score_tok_s", c->score_tok_s, c->score > 0);
    figure_json(j, "decode_gb_s", c->decode_gb_s, c->gen > 0);
    figure_json(j, "limit_gb_s", limit, limit > 0);
    json_key_int(j, "step_bytes", c->step_bytes);
    json_key_int(j, "memory_bytes", c->memory_bytes);
    json_close(j, '}');
}

static void print_json(const bench_result *r, int n)
{
    json_out j;
    json_begin(&j, answer_document());
    if (n > 1) json_open(&j, '[');
    for (int i = 0; i < n; i++) {
        json_open(&j, '{');
        json_key_cstr(&j, "artifact", r[i].artifact);
        json_key_cstr(&j, "device", r[i].device);
        load_json(&j, &r[i]);
        json_key_open(&j, "cases", '[');
        for (int k = 0; k < r[i].n; k++) case_json(&j, &r[i].cases[k], r[i].limit_gb_s);
        json_close(&j, ']');
        json_close(&j, '}');
    }
    if (n > 1) json_close(&j, ']');
}

static void figure_cell(table *t, const char *format, double v, bool measured)
{
    if (measured) table_cell(t, format, v);
    else          table_cell(t, "-");
}

static bool print_table(const bench_result *r, int n)
{
    static const char *const header[] = { "artifact", "device", ">prompt", ">gen", ">scored", ">prefill tok/s",
                                          ">decode tok/s", ">score tok/s",
                                          ">read a step", ">decode GB/s", ">of the limit", ">memory", NULL };
    table t;
    table_begin(&t, header);
    for (int i = 0; i < n; i++)
        for (int k = 0; k < r[i].n; k++) {
            const bench_case *c = &r[i].cases[k];
            char size[32];
            table_cell(&t, "%s", r[i].artifact);
            table_cell(&t, "%s", r[i].device);
            table_cell(&t, "%lld", (long long)c->prompt);
            table_cell(&t, "%lld", (long long)c->gen);
            table_cell(&t, "%lld", (long long)c->score);
            figure_cell(&t, "%.1f", c->prefill_tok_s, c->prompt > 0);
            figure_cell(&t, "%.1f", c->decode_tok_s, c->gen > 0);
            figure_cell(&t, "%.1f", c->score_tok_s, c->score > 0);
            table_cell(&t, "%s", c->gen > 0 ? human_bytes(c->step_bytes, size) : "-");
            figure_cell(&t, "%.2f", c->decode_gb_s, c->gen > 0);
            figure_cell(&t, "%.0f %%", 100 * c->decode_gb_s / r[i].limit_gb_s, c->gen > 0 && r[i].limit_gb_s > 0);
            table_cell(&t, "%s", human_bytes(c->memory_bytes, size));
        }
    if (!table_print(&t, stdout)) return false;
    if (r[0].limit_gb_s > 0)
        printf("limit: %.1f GB/s, %s\n", r[0].limit_gb_s,
               strcmp(r[0].device, "cpu") == 0 ? "what the same threads read from memory" :
               "what a copy inside the device's memory reads and writes");
    for (int i = 0; i < n; i++) {
        char size[32];
        if (r[i].load_s > 0)
            print_line(stdout, "loading: %s, %s to the device in %.2f s, %.1f GB/s", r[i].artifact,
                       human_bytes(r[i].load_bytes, size), r[i].load_s, load_gb_s(&r[i]));
    }
    return true;
}

static int run(const void *opts, const text_list *args)
{
    const bench_options *o = opts;
    err e = { 0 };
    kv_spec kv;
    if (o->kv && !kv_spec_parse(&kv, o->kv, &e)) return cli_fail(&cmd_bench, &e);
    bench_result *r = calloc((size_t)args->n, sizeof *r);
    bool ok = r ? true : err_nomem(&e, "the results", (size_t)args->n * sizeof *r);
    for (int i = 0; ok && i < args->n; i++) {
        r[i].artifact = args->v[i];
        r[i].first = i == 0;
        ok = parse_cases(o->cases ? o->cases : "p1g32,p512g128", &r[i], &e);
    }
    for (int i = 0; ok && i < args->n; i++) ok = bench_artifact(o, &r[i], &e);
    if (ok && o->json) print_json(r, args->n);
    else if (ok)       ok = print_table(r, args->n) || err_nomem(&e, "the table", 0);
    free(r);
    return ok ? 0 : cli_fail(&cmd_bench, &e);
}

const command cmd_bench = {
    .name = "bench",
    .summary = "measure prefill, decode and scoring, beside what the memory allows",
    .synopsis = "ART.gguf... [--case p1g32,p512g128,s4096] [--device D] [--kv SPEC] [--json]",
    .about = "Prefill is the prompt in one call, decode the greedy steps after it. decode GB/s is what the steps\n"
             "must read (weights and cache); its limit is what the same threads read from memory (a GPU: what a\n"
             "copy inside its memory moves), measured in the same run. Of a GPU it also says how long the weights\n"
             "took from the file to its memory (load_s and load_gb_s in --json, null on the CPU, which runs on the\n"
             "file's mapping). Scoring runs a text in chunks of 512 tokens and asks of every position for the\n"
             "greedy id and the log-probability of the token that follows; logits stay on the device. With --json:\n"
             "one object, or an array of them for several artifacts.\n",
    .examples = "  hallmark bench gemma-BF16.gguf gemma-Q4_K_M.gguf\n"
                "  hallmark bench gemma-BF16.gguf --case p128g32 --threads 2 --json\n"
                "  hallmark bench gemma-BF16.gguf --case s16384 --device cuda\n",
    .opts = options, .n_opts = N_ROWS(options), .options_bytes = sizeof(bench_options),
    .min_args = 1, .max_args = -1, .run = run,
};
