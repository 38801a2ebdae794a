// hallmark run: greedy generation from a prompt.
#include "cli.h"
#include "../runtime/kv_spec.h"
#include "text_out.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct {
    const char *prompt, *ids, *kv, *arith, *device;
    int64_t     n_new, threads;
    bool        print_ids, ignore_eos, raw;
} run_options;

static const opt options[] = {
    { "--prompt", "-p", OPT_TEXT, offsetof(run_options, prompt), "TEXT", "the prompt; special tokens written in it are understood", false, 0, 0, NULL },
    { "--ids", NULL, OPT_TEXT, offsetof(run_options, ids), "N,N,...", "the prompt as token ids, taken as they are", false, 0, 0, NULL },
    { "--tokens", "-n", OPT_INT, offsetof(run_options, n_new), "N", "new tokens at most (default: 64)", false, 1, 1 << 24, NULL },
    { "--print-ids", NULL, OPT_FLAG, offsetof(run_options, print_ids), NULL, "print the new ids on one line, not the text", false, 0, 0, NULL },
    { "--ignore-eos", NULL, OPT_FLAG, offsetof(run_options, ignore_eos), NULL, "go on past the end-of-text id", false, 0, 0, NULL },
    { "--raw", NULL, OPT_FLAG, offsetof(run_options, raw), NULL, "text as the model gives it on a terminal, too", false, 0, 0, NULL },
    OPT_KV(run_options),
    OPT_ARITH(run_options),
    OPT_DEVICE(run_options),
    OPT_THREADS(run_options),
};

typedef struct {            // what the streaming callback needs
    const tokenizer *tok;
    bool             ids;           // print ids, not text
    int64_t          count;
    double           first_at;      // when the first id came
    prose            text;
} stream;

static bool parse_ids(const char *text, int64_t n_vocab, int32_t **ids, int64_t *n, err *e)
{
    int64_t count = 1;
    for (const char *p = text; *p; p++) count += *p == ',';
    *ids = malloc((size_t)count * sizeof **ids);
    if (!*ids) return err_nomem(e, "the prompt's ids", (size_t)count * sizeof **ids);
    const char *p = text;
    for (*n = 0; *n < count; ++*n) {
        char *end;
        errno = 0;
        long long v = strtoll(p, &end, 10);
        if (*p < '0' || *p > '9' || (*end != ',' && *end != '\0'))
            return err_set(e, ERR_USAGE, "option --ids: found '%.40s', expected whole numbers separated by commas", p);
        if (errno == ERANGE || v >= n_vocab)
            return err_set(e, ERR_USAGE, "option --ids: found %.*s, expected 0 to %lld (the vocabulary)",
                           (int)(end - p), p, (long long)n_vocab - 1);
        (*ids)[*n] = (int32_t)v;
        p = end + 1;
    }
    return true;
}

static bool make_prompt(const run_options *o, const model *m, int32_t **ids, int64_t *n, err *e)
{
    const tokenizer *tok = model_tokenizer(m);
    if (o->ids) return parse_ids(o->ids, model_hparams(m)->n_vocab, ids, n, e);
    if (!tokenizer_encode(tok, o->prompt, (int64_t)strlen(o->prompt), true, true, ids, n, e)) return false;
    if (*n == 0) return err_set(e, ERR_USAGE, "the prompt is empty");
    return true;
}

static void on_token(void *ctx, int32_t id)
{
    stream *s = ctx;
    if (s->count++ == 0) s->first_at = seconds_now();
    if (s->ids) { printf("%s%d", s->count > 1 ? "," : "", id); return; }
    const char *piece;
    int64_t n;
    if (tokenizer_is_end(s->tok, id) || !tokenizer_piece(s->tok, id, &piece, &n)) return;
    prose_write(&s->text, stdout, piece, n);
    fflush(stdout);
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
    if (*session_note(s)) cli_note(&cmd_run, "%s", session_note(s));
    if (!session_kv_is_required(s))
        cli_note(&cmd_run, "the KV cache is %s, %s requires another (%s in its default arithmetic): tokens may differ from the verified ones",
                 session_kv(s), gguf_path(model_gguf(m)), h->kv_required);
    if (!h->kv_claimed)
        cli_note(&cmd_run, "the file does not say which KV dtype it requires; %s is what its type (%s) implies",
                 h->kv_required, h->type_label);
    if (n_ctx > h->n_ctx_train)
        cli_note(&cmd_run, "%lld positions are more than the %lld the model was trained for", (long long)n_ctx,
                 (long long)h->n_ctx_train);
}

static bool generate(session *s, const model *m, const int32_t *prompt, int64_t n_prompt, const run_options *o,
                     int64_t n_new, err *e)
{
    stream st = { .tok = model_tokenizer(m), .ids = o->print_ids, .text.raw = o->raw || !isatty(STDOUT_FILENO) };
    int32_t *out = malloc((size_t)n_new * sizeof *out);
    if (!out) return err_nomem(e, "the new ids", (size_t)n_new * sizeof *out);
    double began = seconds_now();
    int64_t n = session_generate(s, prompt, n_prompt, out, n_new, o->ignore_eos, on_token, &st, e);
    double ended = seconds_now();
    if (!o->print_ids) prose_end(&st.text, stdout);
    if (n >= 0 || st.count > 0) putchar('\n');
    fflush(stdout);
    if (n > 0)
        fprintf(stderr, "prompt: %lld token%s in %.2f s (%.1f tok/s)", (long long)n_prompt, n_prompt == 1 ? "" : "s",
                st.first_at - began, (double)n_prompt / (st.first_at - began));
    if (n > 1)
        fprintf(stderr, "; then %lld in %.2f s (%.1f tok/s)", (long long)n - 1, ended - st.first_at,
                (double)(n - 1) / (ended - st.first_at));
    if (n > 0) fputc('\n', stderr);
    free(out);
    return n >= 0;
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
    print_plan(s, m, so.n_ctx);
    print_notes(s, m, so.n_ctx);
    ok = generate(s, m, prompt, n_prompt, o, n_new, e);
out:
    session_free(s);
    free(prompt);
    model_close(m);
    return ok;
}

static int run(const void *opts, const text_list *args)
{
    const run_options *o = opts;
    err e = { 0 };
    kv_spec kv;
    if (o->kv && !kv_spec_parse(&kv, o->kv, &e)) return cli_fail(&cmd_run, &e);
    if (!o->prompt == !o->ids) {
        err_set(&e, ERR_USAGE, "give %s of -p TEXT and --ids N,N,...", o->prompt ? "only one" : "one");
        return cli_fail(&cmd_run, &e);
    }
    return run_model(o, args->v[0], &e) ? 0 : cli_fail(&cmd_run, &e);
}

const command cmd_run = {
    .name = "run",
    .summary = "generate greedily from a prompt",
    .synopsis = "ART.gguf (-p TEXT | --ids 2,645,...) [-n 64] [--print-ids] [--ignore-eos] [--raw] [--kv SPEC] [--arith A] [--device D]",
    .about = "Greedy: the argmax of the raw logits, the lowest id where they are equal. Text goes to standard output as it comes;\n"
             "on a terminal, what would steer that (escape sequences in a token, marks that turn the direction of writing) is\n"
             "spelled out, as \\x1b, unless --raw is given. The memory plan, with what sharing the KV cache between layers saves, goes\n"
             "to standard error. The KV cache has the dtype that the artifact requires unless --kv asks for another.\n",
    .examples = "  hallmark run gemma-BF16.gguf -p 'The capital of France is' -n 16\n"
                "  hallmark run gemma-BF16.gguf --ids 2,818,5279,529,7001,563 -n 8 --print-ids\n",
    .opts = options, .n_opts = N_ROWS(options), .options_bytes = sizeof(run_options),
    .min_args = 1, .max_args = 1, .run = run,
};
