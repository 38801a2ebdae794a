// verify: see verify.h. The order of a verification reads top to bottom in verify_artifact.
#include "verify.h"
#include "derivation.h"
#include "held_type.h"
#include "measured.h"
#include "preflight.h"
#include "rounding.h"
#include "../formats/file_map.h"
#include "../formats/text.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LOGITS_BYTES = 64 << 20 };       // teacher-forced logits held at a time

typedef struct {
    const verify_opts *o;
    verify_report     *r;
    gate               limits;
    char               held[16];        // the type whose drift budget the artifact answers to
    model             *m;
    session           *s;
    fixture          **fixtures;
    fixture_bond      *bonds;           // [n_fixtures] of each to the artifact
    int                n_fixtures;
    err                claims;          // what the artifact says of itself and does not hold; which kind of it
    const char        *claims_what;
    int64_t            n_free, rows;    // free-run length; rows of logits held at a time
    float             *logits;          // [rows][n_vocab]
    float             *hidden;          // [n_layer + 1][n_embd]
    rounding          *rounded;         // of the fixture at hand, for drift; NULL
    bool               moved;           // the session runs with moved weights
} run;

// ---- opening -------------------------------------------------------------------------------------------------------

static bool open_fixtures(run *v, const char *const *paths, int n, err *e)
{
    if (n < 1)
        return err_set(e, ERR_USAGE, "verification needs at least one fixture: what Transformers said, made by "
                                     "hf_fixture.py");
    v->fixtures = calloc((size_t)n, sizeof *v->fixtures);
    v->bonds    = calloc((size_t)n, sizeof *v->bonds);
    if (!v->fixtures || !v->bonds) return err_nomem(e, "fixtures", (size_t)n * sizeof *v->fixtures);
    for (int i = 0; i < n; i++) {
        v->fixtures[i] = fixture_open(paths[i], e);
        if (!v->fixtures[i]) return false;
        v->n_fixtures++;
        if (!fixture_sample(v->fixtures[i], v->o->samples, e)) return false;
    }
    return true;
}

// Room for the longest case: its prompt and all its tokens but the last, which nothing follows.
static int64_t context_needed(const run *v)
{
    int64_t most = 1;
    for (int i = 0; i < v->n_fixtures; i++)
        for (int64_t c = 0; c < v->fixtures[i]->n_cases; c++) {
            int64_t n = v->fixtures[i]->cases[c].n_prompt + v->fixtures[i]->tokens;
            if (n > most) most = n;
        }
    return most;
}

static bool new_session(run *v, err *e)
{
    session_opts so = v->o->run;
    so.n_ctx = context_needed(v);
    so.reproducible = true;
    session_free(v->s);
    return (v->s = session_new(v->m, &so, e)) != NULL;
}

static bool open_session(run *v, err *e)
{
    const hparams *h = model_hparams(v->m);
    if (!new_session(v, e)) return false;
    // Why it runs on the CPU is a matter of this machine, and no word of the record; in what a device's numbers may
    // differ is one.
    if (*session_note(v->s)) progress_log(v->o->progress, session_note(v->s));
    const bool elsewhere = strcmp(session_device(v->s), "cpu") != 0;
    if (*session_note(v->s) && elsewhere && !report_note(v->r, e, "%s", session_note(v->s))) return false;
    v->rows = LOGITS_BYTES / ((int64_t)sizeof(float) * h->n_vocab);
    if (v->rows < 1) v->rows = 1;
    if (v->rows > 128) v->rows = 128;
    size_t n_hidden = ((size_t)h->n_layer + 1) * (size_t)h->n_embd;
    v->logits = malloc((size_t)v->rows * (size_t)h->n_vocab * sizeof *v->logits);
    v->hidden = malloc(n_hidden * sizeof *v->hidden);
    if (!v->logits || !v->hidden)
        return err_nomem(e, "logits", (size_t)v->rows * (size_t)h->n_vocab * sizeof *v->logits);
    return true;
}

// Keys that the file leaves out: it is judged by what llama.cpp takes for them.
static bool note_assumed(run *v, err *e)
{
    const hparams *h = model_hparams(v->m);
    for (int i = 0; i < h->assumed.n; i++) {
        const assumed_key *k = &h->assumed.k[i];
        if (!report_note(v->r, e, "'%s.%s' is not in the file; %.9g was assumed, as llama.cpp does", h->arch, k->name,
                  k->value)) return false;
    }
    return true;
}

// Text of a key, as much as there is room for; "" where it is absent.
static void take_key(char *to, size_t size, const gguf *g, const char *key)
{
    gguf_str s;
    err      absent = { 0 };
    to[0] = '\0';
    if (gguf_get_str(g, key, &s, &absent)) text_fit(to, size, s.s, (size_t)s.n, 0);
}

// Which source the file says that it was made from.
static void describe_source(verify_source *to, const gguf *g)
{
    static const char *const REPOSITORY[] = { "general.source.huggingface.repository", "general.source.repo_url",
                                              "general.source.url" };
    take_key(to->revision, sizeof to->revision, g, KEY_HM_SOURCE_REV);
    take_key(to->digest, sizeof to->digest, g, KEY_HM_SOURCE_DIGEST);
    for (int i = 0; i < 3 && !to->repository[0]; i++) take_key(to->repository, sizeof to->repository, g, REPOSITORY[i]);
}

// Where it was computed otherwise than the file asks for, or leaves open.
static bool note_run(run *v, err *e)
{
    verify_report *r = v->r;
    const hparams *h = model_hparams(v->m);
    const char *standard = strcmp(h->kv_required, "bf16") == 0 ? "bf16" : "f32";
    if (strcmp(r->arith, standard) != 0
        && !report_note(r, e, "computed in %s, which was asked for; the artifact's default is %s", r->arith, standard))
        return false;
    if (!session_kv_is_required(v->s)
        && !report_note(r, e, "ran with a KV cache in %.120s%s; %s arithmetic requires %s", r->kv,
                        v->o->run.kv ? ", which was asked for" : "", r->arith, r->kv_required))
        return false;
    char cited[sizeof *r->notes];
    if (v->o->run.kv && !measured_cite(model_gguf(v->m), r->arith, r->kv, v->o->run.n_threads, cited, e)) return false;
    if (v->o->run.kv && cited[0] && !report_note(r, e, "%s", cited)) return false;
    return h->kv_claimed
        || report_note(r, e, "the file does not say which KV cache it needs; %s follows from its type", h->kv_required);
}

static bool describe(run *v, const char *path, err *e)
{
    verify_report *r = v->r;
    const hparams *h = model_hparams(v->m);
    const char    *slash = strrchr(path, '/');
    snprintf(r->artifact, sizeof r->artifact, "%s", slash && slash[1] ? slash + 1 : path);
    snprintf(r->type, sizeof r->type, "%s", h->type_label);
    snprintf(r->arith, sizeof r->arith, "%s", session_arith(v->s));
    snprintf(r->kv, sizeof r->kv, "%s", session_kv(v->s));
    snprintf(r->kv_required, sizeof r->kv_required, "%s", strcmp(r->arith, "bf16") == 0 ? "bf16" : "f32");
    snprintf(r->device, sizeof r->device, "%s", session_device(v->s));
    snprintf(r->processor, sizeof r->processor, "%s", session_processor(v->s));
    report_take_program(r);
    describe_source(&r->source, model_gguf(v->m));
    r->attention_scale = h->attention_scale;
    r->file_bytes      = gguf_file_bytes(model_gguf(v->m));
    if (!note_run(v, e) || !note_assumed(v, e)) return false;
    r->fixtures = calloc((size_t)v->n_fixtures, sizeof *r->fixtures);
    return r->fixtures || err_nomem(e, "results", (size_t)v->n_fixtures * sizeof *r->fixtures);
}

// ---- before a run --------------------------------------------------------------------------------------------------

static const char *arith_of(const fixture *f) { return strcmp(f->dtype, "bfloat16") == 0 ? "bf16" : "f32"; }

// A fixture that says nothing of this artifact is an input that cannot be used, whatever the artifact is worth: found
// before any work. Where the artifact contradicts itself, that is the verdict, and what it belongs to is not known.
static bool all_usable(run *v, err *e)
{
    for (int i = 0; i < v->n_fixtures; i++) {
        const fixture *f = v->fixtures[i];
        if (!preflight_bond(&v->bonds[i], model_gguf(v->m), f, e)) return false;
        if (v->claims.kind != ERR_NONE) continue;
        if (!v->bonds[i].belongs)
            return err_set(e, ERR_INPUT, "%s: not a fixture of %s: %s", f->path, v->r->artifact, v->bonds[i].why);
        if (v->o->run.arith || strcmp(v->r->arith, arith_of(f)) == 0) continue;
        return err_set(e, ERR_INPUT, "%s: was made in %s, the default arithmetic of %s is %s: "
                       "it needs --arith %s", f->path, f->dtype, v->r->artifact, v->r->arith, arith_of(f));
    }
    return true;
}

// Arithmetic and cache are options, not properties of the file: one that was asked for and does not fit is measured,
// and fails.
static void check_options(run *v, verify_fixture_result *res, const fixture *f)
{
    char text[800];
    if (strcmp(v->r->arith, arith_of(f)) != 0) {
        snprintf(text, sizeof text, "computed in %s, but Transformers computed this fixture in %s: only --arith %s "
                                    "can equal it",
                 v->r->arith, f->dtype, arith_of(f));
        result_fail_whole(res, "arith", text);
    }
    if (!session_kv_is_required(v->s)) {
        snprintf(text, sizeof text, "the KV cache is %.300s, the artifact requires %s in %s arithmetic", v->r->kv,
                 v->r->kv_required, v->r->arith);
        result_fail_whole(res, "kv", text);
    }
}

// ---- running -------------------------------------------------------------------------------------------------------

static bool eval(run *v, const int32_t *ids, int64_t n, int64_t n_logits, float *hidden, err *e)
{
    session_tell(v->s, v->o->progress);
    return session_eval(v->s, ids, n, v->logits, n_logits, hidden, e);
}

// Tokens that a case has run, once as the free run and once as the forced one.
static int64_t free_tokens(const run *v, const fixture *f, const fixture_case *c)
{
    return c->n_prompt + (v->n_free < f->tokens ? v->n_free : f->tokens) - 1;
}

static int64_t forced_tokens(const fixture *f, const fixture_case *c) { return c->n_prompt + f->tokens - 1; }

// The prompt at once, then token by token, as long as our greedy id is the reference's (which is then the id to feed).
static bool free_run(run *v, comparison *k, const fixture_case *c, err *e)
{
    const hparams *h = model_hparams(v->m);
    session_reset(v->s);
    if (!eval(v, c->prompt_ids, c->n_prompt, 1, v->hidden, e)) return false;
    compare_hidden(k, v->hidden, h->n_layer, h->n_embd);
    for (int64_t step = 0; compare_free(k, step, v->logits) && step + 1 < v->n_free; step++)
        if (!eval(v, &c->generated_ids[step], 1, 1, NULL, e)) return false;
    progress_add(v->o->progress, NULL, free_tokens(v, k->f, c) - session_pos(v->s));    // what need not be run any more
    return true;
}

static void look_at(run *v, comparison *k, int64_t number, int64_t step, const float *logits)
{
    const int64_t n_vocab = model_hparams(v->m)->n_vocab;
    if (v->moved) {
        rounding_compare(v->rounded, number, step, logits, n_vocab);
        return;
    }
    if (v->rounded) rounding_keep(v->rounded, number, step, logits, n_vocab);
    compare_forced(k, step, logits);
}

// Prompt and continuation of case `number` as one text, `rows` steps of logits at a time.
static bool teacher_forced(run *v, comparison *k, int64_t number, int64_t tokens, err *e)
{
    const fixture_case *c = &k->f->cases[number];
    const int64_t n_vocab = model_hparams(v->m)->n_vocab, n = c->n_prompt + tokens - 1;
    int32_t *ids = malloc((size_t)n * sizeof *ids);
    if (!ids) return err_nomem(e, "token ids", (size_t)n * sizeof *ids);
    memcpy(ids, c->prompt_ids, (size_t)c->n_prompt * sizeof *ids);
    memcpy(ids + c->n_prompt, c->generated_ids, (size_t)(tokens - 1) * sizeof *ids);
    session_reset(v->s);
    bool ok = true;
    for (int64_t step = 0, done = 0; ok && step < tokens;) {
        int64_t rows = tokens - step < v->rows ? tokens - step : v->rows;
        // Ids fed after this: their last `rows` predict steps step .. step + rows - 1.
        int64_t end  = c->n_prompt + step + rows - 1;
        ok = eval(v, ids + done, end - done, rows, NULL, e);
        for (int64_t i = 0; ok && i < rows; i++) look_at(v, k, number, step + i, v->logits + i * n_vocab);
        done  = end;
        step += rows;
    }
    free(ids);
    return ok;
}

// In bfloat16 a mistake can hide in the noise that Transformers has itself, layer upon layer. After the first layer
// there is little of that yet: nearly all values are the reference's own bits (95 % on the committed checkpoint; 42 %
// with a weighted sum kept in BF16). No verdict rests on it: too few models were measured.
static bool note_first_layer(const run *v, const comparison *k, err *e)
{
    enum { ENOUGH = 32, SOUND_PERCENT = 60 };
    const bool as_made = strcmp(k->f->dtype, "bfloat16") == 0 && strcmp(v->r->arith, "bf16") == 0
        && session_kv_is_required(v->s);
    if (!as_made || k->r->kind != CHECK_EXACT || k->n_first < ENOUGH
        || 100 * k->n_first_equal >= SOUND_PERCENT * k->n_first) return true;
    return report_note(v->r, e, "only %lld of %lld values that the fixture keeps of layer 0 are Transformers' own "
                                "bits; expected nearly all: something rounds where Transformers does not",
                (long long)k->n_first_equal, (long long)k->n_first);
}

// What rounding costs this model, on the same steps: how far from the source a sound artifact may be.
static bool measure_rounding(run *v, comparison *k, err *e)
{
    if (!new_session(v, e) || !rounding_apply(v->rounded, v->s, v->m, v->o->run.n_threads, e)) return false;
    v->moved = true;
    bool ok = true;
    for (int64_t i = 0; ok && i < k->f->n_cases; i++) ok = teacher_forced(v, k, i, k->f->tokens, e);
    v->moved = false;
    compare_rounding(k, rounding_kl_mean(v->rounded), rounding_top1_equal(v->rounded));
    return new_session(v, e) && ok;
}

static void name_case(const run *v, const fixture *f, int64_t i)
{
    char item[160];
    snprintf(item, sizeof item, "case %lld of %lld: %.100s", (long long)i + 1, (long long)f->n_cases, f->cases[i].id);
    progress_add(v->o->progress, item, 0);
}

static bool run_cases(run *v, verify_fixture_result *res, const fixture *f, check_kind kind, err *e)
{
    comparison k;
    const hparams *h = model_hparams(v->m);
    bool ok = compare_begin(&k, res, f, &v->limits, kind, v->held, v->n_free, h->n_vocab, e);
    if (ok && kind == CHECK_DRIFT && v->limits.has_rounding) ok = (v->rounded = rounding_new(f, e)) != NULL;
    for (int64_t i = 0; ok && i < f->n_cases; i++) {
        compare_case(&k, &f->cases[i]);
        name_case(v, f, i);
        ok = free_run(v, &k, &f->cases[i], e) && teacher_forced(v, &k, i, f->tokens, e);
        compare_case_end(&k);
    }
    ok = ok && (!v->rounded || measure_rounding(v, &k, e));
    rounding_free(v->rounded);
    v->rounded = NULL;
    if (ok) compare_end(&k);
    else    compare_free_buffers(&k);
    return ok && note_first_layer(v, &k, e);
}

static bool verify_fixture(run *v, int i, err *e)
{
    const gguf    *g = model_gguf(v->m);
    const fixture *f = v->fixtures[i];
    verify_fixture_result *res = &v->r->fixtures[i];
    check_kind kind = preflight_kind(g, f);
    if (!result_begin(res, f, kind, e)) return false;
    v->r->n_fixtures++;                                         // from here on verify_report_free knows of it
    const bool holds = v->claims.kind == ERR_NONE;
    if (!holds) result_fail_whole(res, v->claims_what, without_folder(g, v->claims.msg));
    if (!v->bonds[i].belongs) return true;                      // its prompts say nothing of this artifact
    if (!result_keep_cases(res, f, e)) return false;
    bool runs = preflight_fixture(res, v->m, f, e);
    if (e->kind != ERR_NONE) return false;
    if (v->bonds[i].unbound
        && !report_note(v->r, e, "the file does not say which source it was made from: that it is %s is not proved by "
                                 "a digest", f->model_name)) return false;
    if (result_failure(res, "metadata")) return true;           // what follows from that would bury it
    if (!preflight_tokenizer(res, model_tokenizer(v->m), f, e)) return false;
    check_options(v, res, f);
    return !runs || !holds || run_cases(v, res, f, kind, e);
}

static int64_t work_tokens(const run *v)
{
    int64_t n = 0;
    for (int i = 0; i < v->n_fixtures; i++) {
        const fixture *f = v->fixtures[i];
        const bool twice = v->limits.has_rounding && preflight_kind(model_gguf(v->m), f) == CHECK_DRIFT;
        for (int64_t c = 0; c < f->n_cases; c++)
            n += free_tokens(v, f, &f->cases[c]) + (twice ? 2 : 1) * forced_tokens(f, &f->cases[c]);
    }
    return n;
}

// Drift within its budget says that the whole is near the source, not that every tensor is what it was meant to be: one
// of zeros can cost less than the rounding of all the others. And that what was written decodes to what was meant takes
// the fixture of its own weights.
static bool note_drift_alone(verify_report *r, err *e)
{
    bool drift = false, exact = false;
    for (int64_t i = 0; i < r->n_fixtures; i++)
        *(r->fixtures[i].kind == CHECK_DRIFT ? &drift : &exact) |= r->fixtures[i].ran;
    if (!drift || exact) return true;
    if (!r->derivation.made
        && !report_note(r, e, "drift alone cannot see a single damaged tensor: 'hallmark derive' or 'hallmark verify "
                              "--from SOURCE' compares every tensor with the source"))
        return false;
    return report_note(r, e, "compared with the source model alone (drift); the exact comparison, with a fixture made "
                             "from the artifact's own weights, was not made");
}

// Asked for here, or made already by whoever made the file.
static bool derive_source(run *v, const char *path, err *e)
{
    if (v->o->derived) v->r->derivation = *v->o->derived;
    else if (v->o->derive) return derivation_of(&v->r->derivation, path, v->o->derive, e);
    return true;
}

// Claims that the file makes of itself are checked once; what does not hold is a failure of every fixture.
static bool check_claims(run *v, err *e)
{
    const bool hold = preflight_claims(model_gguf(v->m), v->o->run.n_threads, v->o->progress, &v->claims_what,
                                       &v->claims);
    return hold || v->claims.kind == ERR_VERDICT || err_set(e, v->claims.kind, "%s", v->claims.msg);
}

static bool verify_all(run *v, err *e)
{
    progress_stage_of(v->o->progress, "verify", work_tokens(v), "tokens");
    v->r->passed = !v->r->derivation.made || v->r->derivation.passed;
    for (int i = 0; i < v->n_fixtures; i++) {
        if (!verify_fixture(v, i, e)) return false;
        v->r->passed &= v->r->fixtures[i].passed;
    }
    return note_drift_alone(v->r, e);
}

static void close_run(run *v)
{
    for (int i = 0; i < v->n_fixtures; i++) fixture_close(v->fixtures[i]);
    free(v->fixtures);
    free(v->bonds);
    free(v->logits);
    free(v->hidden);
    session_free(v->s);
    model_close(v->m);
}

bool verify_artifact(verify_report *r, const char *path, const char *const *fixtures, int n_fixtures,
                     const verify_opts *o, err *e)
{
    run  v = { .o = o, .r = r, .limits = *gate_builtin(), .n_free = o->tokens > 0 ? o->tokens : VERIFY_TOKENS };
    memset(r, 0, sizeof *r);
    bool ok = report_limits(r, &v.limits, o->gate_path, e)
           && open_fixtures(&v, fixtures, n_fixtures, e)
           && (v.m = model_open(path, e)) != NULL
           && open_session(&v, e)
           && held_type(model_gguf(v.m), &v.limits, v.held, e)
           && describe(&v, path, e)
           && check_claims(&v, e)
           && all_usable(&v, e)
           && derive_source(&v, path, e)
           && verify_all(&v, e);
    close_run(&v);
    if (!ok) verify_report_free(r);
    return ok;
}
