// hallmark run: greedy generation from a prompt.
#define _GNU_SOURCE
#include "answer.h"
#include "../runtime/kv_spec.h"
#include "progress_bar.h"
#include "prompt.h"
#include "text_out.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct {
    const char *prompt, *file, *ids, *kv, *arith, *device;
    int64_t     n_new, threads;
    bool        print_ids, ignore_eos, raw, special, json, quiet;
} run_options;

static const opt options[] = {
    { "--prompt", "-p", OPT_TEXT, offsetof(run_options, prompt), "TEXT",
      "the prompt; special tokens written in it are understood; -: read from standard input", false, 0, 0, NULL },
    { "--file", "-f", OPT_PATH, offsetof(run_options, file), "FILE",
      "the prompt from a file, -: from standard input; one line's end at its end is left out", false, 0, 0, NULL },
    { "--ids", NULL, OPT_TEXT, offsetof(run_options, ids), "N,N,...",
      "the prompt as token ids, taken as they are", false, 0, 0, NULL },
    { "--tokens", "-n", OPT_INT, offsetof(run_options, n_new), "N",
      "new tokens at most (default: 64)", false, 1, 1 << 24, NULL },
    { "--print-ids", NULL, OPT_FLAG, offsetof(run_options, print_ids), NULL,
      "print the new ids on one line, not the text", false, 0, 0, NULL },
    { "--ignore-eos", NULL, OPT_FLAG, offsetof(run_options, ignore_eos), NULL,
      "go on past the end-of-text id", false, 0, 0, NULL },
    { "--special", NULL, OPT_FLAG, offsetof(run_options, special), NULL,
      "print control tokens, too, as <end_of_turn>", false, 0, 0, NULL },
    { "--raw", NULL, OPT_FLAG, offsetof(run_options, raw), NULL,
      "text as the model gives it on a terminal, too", false, 0, 0, NULL },
    OPT_KV(run_options),
    OPT_ARITH(run_options),
    OPT_DEVICE(run_options),
    OPT_THREADS(run_options),
    OPT_ANSWER(run_options),
};

// ---- notes ----------------------------------------------------------------------------------------------------------

enum { MOST_NOTES = 8 };        // there are fewer of them here

static char *notes[MOST_NOTES];         // of the one run; freed by free_notes
static int   n_notes;

// Said, and kept for the document.
static void run_note(const char *fmt, ...)
{
    va_list ap;
    char text[2048];
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    cli_note(&cmd_run, "%s", text);
    if (n_notes < MOST_NOTES && (notes[n_notes] = strdup(text)) != NULL) n_notes++;
}

static void notes_json(json_out *j)
{
    json_key_open(j, "notes", '[');
    for (int i = 0; i < n_notes; i++) json_cstr(j, notes[i]);
    json_close(j, ']');
}

static void free_notes(void)
{
    while (n_notes > 0) free(notes[--n_notes]);
}

typedef struct {            // what is generated, and what the streaming callback needs
    const run_options *o;
    session         *s;
    const tokenizer *tok;
    progress_bar    *prompt_bar;    // of a long prompt, until the first id; NULL: none
    FILE            *to;            // where text goes
    int32_t         *ids;           // [n]
    int64_t          n_prompt, n;
    double           began, first_at, ended;    // seconds; first_at: when the first id came
    bool             at_end;        // the last id ends the text
    prose            text;
} generation;

// ---- the prompt -----------------------------------------------------------------------------------------------------

static bool make_prompt(const run_options *o, const model *m, int32_t **ids, int64_t *n, err *e)
{
    const tokenizer *tok = model_tokenizer(m);
    prompt_text t;
    if (o->ids) return prompt_ids(o->ids, model_hparams(m)->n_vocab, ids, n, e);
    if (!prompt_read(&t, o->prompt, o->file, e)) return false;
    const bool ok = (t.n > 0 || err_set(e, ERR_USAGE, "the prompt is empty"))
        && tokenizer_encode(tok, t.s, t.n, true, true, ids, n, e)
        && (*n > 0 || err_set(e, ERR_USAGE, "the prompt is empty"));
    prompt_free(&t);
    const int32_t bos = tokenizer_bos(tok);
    if (ok && tokenizer_add_bos(tok) && *n > 1 && (*ids)[0] == bos && (*ids)[1] == bos)
        run_note("the prompt begins with the token that begins a text (id %d), and the tokenizer adds one: "
                 "the model sees it twice; leave it out of the prompt", bos);
    return ok;
}

// ---- the text -------------------------------------------------------------------------------------------------------

static void first_token(generation *g)
{
    g->first_at = seconds_now();
    if (!g->prompt_bar) return;
    session_tell(g->s, NULL);
    progress_bar_end(g->prompt_bar);
    g->prompt_bar = NULL;
}

// Left out of the text: what decode(skip_special_tokens=True) of Transformers leaves out, and the end of the text.
static bool is_shown(const generation *g, int32_t id)
{
    return g->o->special || !(tokenizer_is_end(g->tok, id) || tokenizer_is_special(g->tok, id));
}

static void on_token(void *ctx, int32_t id)
{
    generation *g = ctx;
    const char *piece;
    int64_t n;
    if (g->n++ == 0) first_token(g);
    if (g->o->print_ids && !g->o->json) {
        fprintf(g->to, "%s%d", g->n > 1 ? "," : "", id);
        return;
    }
    if (!is_shown(g, id) || !tokenizer_piece(g->tok, id, &piece, &n)) return;
    prose_write(&g->text, g->to, piece, n);
    if (!g->o->json) fflush(g->to);
}

static void print_plan(const session *s, const model *m, int64_t n_ctx)
{
    memory_plan p;
    const hparams *h = model_hparams(m);
    char weights[32], kv[32], full[32], scratch[32], state[32];
    session_plan(s, &p);
    print_line(stderr, "device %s, arithmetic %s, KV cache %s", session_device(s), session_arith(s), session_kv(s));
    fprintf(stderr, "memory: weights %s; KV cache %s for %lld positions; scratch %s\n",
            human_bytes(p.weight_bytes, weights),
            human_bytes(p.kv_bytes, kv), (long long)n_ctx, human_bytes(p.scratch_bytes, scratch));
    if (p.n_state_layers > 0)
        fprintf(stderr, "states: %s, for any number of positions: %d of %d layers keep one, and no KV cache\n",
                human_bytes(p.state_bytes, state), p.n_state_layers, h->n_layer);
    if (p.kv_bytes_unshared > p.kv_bytes)
        fprintf(stderr, "sharing: %d of %d layers keep a KV cache; without sharing it would be %s: %.0f %% saved\n",
                p.n_kv_layers, h->n_layer, human_bytes(p.kv_bytes_unshared, full),
                100.0 * (double)(p.kv_bytes_unshared - p.kv_bytes) / (double)p.kv_bytes_unshared);
}

static void print_notes(const session *s, const model *m, int64_t n_ctx)
{
    const hparams *h = model_hparams(m);
    if (*session_note(s)) run_note("%s", session_note(s));
    if (!session_kv_is_required(s))
        run_note("the KV cache is %s, %s requires another (%s in its default arithmetic): tokens may differ from the "
                 "verified ones",
                 session_kv(s), gguf_path(model_gguf(m)), h->kv_required);
    if (!h->kv_claimed)
        run_note("the file does not say which KV dtype it requires; %s is what its type (%s) implies",
                 h->kv_required, h->type_label);
    if (n_ctx > h->n_ctx_train)
        run_note("%lld positions are more than the %lld the model was trained for", (long long)n_ctx,
                 (long long)h->n_ctx_train);
}

// ---- the answer -----------------------------------------------------------------------------------------------------

static void int_member(json_out *j, const char *key, int64_t v)
{
    json_key_int(j, key, v);
}

static void memory_json(json_out *j, const session *s, int64_t n_ctx)
{
    memory_plan p;
    session_plan(s, &p);
    json_key_open(j, "memory", '{');
    int_member(j, "positions", n_ctx);
    int_member(j, "weight_bytes", p.weight_bytes);
    int_member(j, "kv_bytes", p.kv_bytes);
    int_member(j, "kv_bytes_unshared", p.kv_bytes_unshared);
    int_member(j, "state_bytes", p.state_bytes);
    int_member(j, "scratch_bytes", p.scratch_bytes);
    json_close(j, '}');
}

static void text_member(json_out *j, const char *key, const char *v)
{
    json_key_cstr(j, key, v);
}

static void answer_json(const generation *g, const model *m, const char *text, size_t n_text, int64_t n_ctx)
{
    json_out j;
    json_begin(&j, answer_document());
    json_open(&j, '{');
    text_member(&j, "artifact", gguf_path(model_gguf(m)));
    text_member(&j, "device", session_device(g->s));
    text_member(&j, "arithmetic", session_arith(g->s));
    text_member(&j, "kv", session_kv(g->s));
    json_key_bool(&j, "kv_is_required", session_kv_is_required(g->s));
    int_member(&j, "prompt_tokens", g->n_prompt);
    int_member(&j, "tokens", g->n);
    text_member(&j, "ended_by", g->at_end ? "end_of_text" : "limit");
    json_key(&j, "text");
    json_text(&j, text, (int64_t)n_text);
    json_key_open(&j, "ids", '[');
    for (int64_t i = 0; i < g->n; i++) json_int(&j, g->ids[i]);
    json_close(&j, ']');
    json_key_num(&j, "prompt_seconds", g->first_at - g->began, 6);
    json_key_num(&j, "seconds", g->ended - g->began, 6);
    memory_json(&j, g->s, n_ctx);
    notes_json(&j);
    json_close(&j, '}');
}

static void print_speed(const generation *g)
{
    if (g->n < 1 || g->o->quiet) return;
    fprintf(stderr, "prompt: %lld token%s in %.2f s (%.1f tok/s)", (long long)g->n_prompt, g->n_prompt == 1 ? "" : "s",
            g->first_at - g->began, (double)g->n_prompt / (g->first_at - g->began));
    if (g->n > 1)
        fprintf(stderr, "; then %lld in %.2f s (%.1f tok/s)", (long long)g->n - 1, g->ended - g->first_at,
                (double)(g->n - 1) / (g->ended - g->first_at));
    fputc('\n', stderr);
}

// A prompt that a chat model has no answer to looks like a program that does nothing.
static void note_ended_at_once(const generation *g, const model *m)
{
    const char *piece = "";
    int64_t n = 0;
    if (g->n != 1 || !g->at_end) return;
    tokenizer_piece(g->tok, g->ids[0], &piece, &n);
    if (gguf_find_kv(model_gguf(m), "tokenizer.chat_template"))
        run_note("the model ends the text at once (id %d, %.*s): a chat model wants its template around the "
                 "prompt, which the file has (tokenizer.chat_template) and run does not put there", g->ids[0], (int)n,
                 piece);
    else
        run_note("the model ends the text at once (id %d, %.*s)", g->ids[0], (int)n, piece);
}

// ---- running --------------------------------------------------------------------------------------------------------

// A prompt of one batch is over before anybody looks.
static void watch_prompt(generation *g, progress_bar *bar)
{
    if (g->n_prompt <= session_batch(g->s)) return;
    progress *p = progress_bar_begin(bar);
    progress_stage_of(p, "prompt", g->n_prompt, "tokens");
    session_tell(g->s, p);
    g->prompt_bar = bar;
}

static bool run_session(generation *g, const int32_t *prompt, int64_t n_new, err *e)
{
    progress_bar bar;
    watch_prompt(g, &bar);
    g->began = seconds_now();
    const int64_t n = session_generate(g->s, prompt, g->n_prompt, g->ids, n_new, g->o->ignore_eos, on_token, g, e);
    g->ended = seconds_now();
    if (g->prompt_bar) first_token(g);
    g->at_end = n > 0 && !g->o->ignore_eos && tokenizer_is_end(g->tok, g->ids[n - 1]);
    prose_end(&g->text, g->to);
    return n >= 0;
}

static bool generate_text(generation *g, const model *m, const int32_t *prompt, int64_t n_new, err *e)
{
    g->to = stdout;
    g->text.raw = g->o->raw || !isatty(STDOUT_FILENO);
    const bool ok = run_session(g, prompt, n_new, e);
    if (ok || g->n > 0) putchar('\n');
    fflush(stdout);
    return ok;
}

static bool generate_json(generation *g, const model *m, const int32_t *prompt, int64_t n_new, err *e)
{
    char  *text = NULL;
    size_t n = 0;
    g->to = open_memstream(&text, &n);
    g->text.raw = true;
    if (!g->to) return err_nomem(e, "the text", 0);
    bool ok = run_session(g, prompt, n_new, e);
    if (fclose(g->to) != 0) ok = err_nomem(e, "the text", n);
    if (ok) note_ended_at_once(g, m);
    if (ok) answer_json(g, m, text, n, g->n_prompt + n_new);
    free(text);
    return ok;
}

static bool generate(const run_options *o, session *s, const model *m, const int32_t *prompt, int64_t n_prompt,
                     int64_t n_new, err *e)
{
    generation g = { .o = o, .s = s, .tok = model_tokenizer(m), .n_prompt = n_prompt,
                     .ids = malloc((size_t)n_new * sizeof *g.ids) };
    if (!g.ids) return err_nomem(e, "the new ids", (size_t)n_new * sizeof *g.ids);
    const bool ok = (o->json ? generate_json : generate_text)(&g, m, prompt, n_new, e);
    print_speed(&g);
    if (ok && !o->json) note_ended_at_once(&g, m);
    free(g.ids);
    return ok;
}

static bool run_model(const run_options *o, const char *path, err *e)
{
    bool ok = false;
    int32_t *prompt = NULL;
    int64_t n_prompt = 0, n_new = o->n_new ? o->n_new : 64;
    session *s = NULL;
    model *m = model_open(path, e);
    if (!m || !make_prompt(o, m, &prompt, &n_prompt, e)) goto out;
    session_opts so = { .device = o->device, .kv = o->kv, .arith = o->arith, .n_threads = (int)o->threads,
                        .n_ctx = n_prompt + n_new };
    s = session_new(m, &so, e);
    if (!s) goto out;
    if (!o->quiet) print_plan(s, m, so.n_ctx);
    print_notes(s, m, so.n_ctx);
    ok = generate(o, s, m, prompt, n_prompt, n_new, e);
out:
    free_notes();
    session_free(s);
    free(prompt);
    model_close(m);
    return ok;
}

static int run(const void *opts, const text_list *args)
{
    const run_options *o = opts;
    const int given = (o->prompt != NULL) + (o->file != NULL) + (o->ids != NULL);
    err e = { 0 };
    kv_spec kv;
    if (o->kv && !kv_spec_parse(&kv, o->kv, &e)) return cli_fail(&cmd_run, &e);
    if (given != 1) {
        err_set(&e, ERR_USAGE, "give %s of -p TEXT, -f FILE and --ids N,N,...", given > 1 ? "only one" : "one");
        return cli_fail(&cmd_run, &e);
    }
    return run_model(o, args->v[0], &e) ? 0 : cli_fail(&cmd_run, &e);
}

const command cmd_run = {
    .name = "run",
    .summary = "generate greedily from a prompt",
    .synopsis = "ART.gguf (-p TEXT | -f FILE | --ids 2,645,...) [-n 64] [--print-ids] [--ignore-eos] [--special]\n"
                "       [--raw] [--kv SPEC] [--arith A] [--device D]",
    .about = "Greedy: the argmax of the raw logits, the lowest id where they are equal. Text goes to standard output as it comes,\n"
             "without control tokens (--special shows them). The prompt is taken as it stands: no chat template is put around it.\n"
             "On a terminal, what would steer that (escape sequences in a token, marks that turn the direction of writing) is\n"
             "spelled out, as \\x1b, unless --raw is given. The memory plan, with what sharing the KV cache between layers saves, goes\n"
             "to standard error. The KV cache has the dtype that the artifact requires unless --kv asks for another.\n",
    .examples = "  hallmark run gemma-BF16.gguf -p 'The capital of France is' -n 16\n"
                "  hallmark run gemma-BF16.gguf -f question.txt -n 200 --json\n"
                "  hallmark run gemma-BF16.gguf --ids 2,818,5279,529,7001,563 -n 8 --print-ids\n",
    .opts = options, .n_opts = N_ROWS(options), .options_bytes = sizeof(run_options),
    .min_args = 1, .max_args = 1, .run = run,
};
