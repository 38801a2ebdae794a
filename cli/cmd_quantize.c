// hallmark quantize: GGUF in, GGUF of another type out, or of a mix made to order.
#include "cli.h"
#include "../formats/file_map.h"
#include "../quant/codec.h"
#include "../quant/quantize.h"
#include "../verify/calibrate.h"
#include "../verify/mix.h"
#include "progress_bar.h"
#include "text_out.h"
#include "../formats/dtype.h"
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef struct {
    const char *out, *type, *imatrix, *output_type, *embedding_type, *budget, *max_kl, *device;
    text_list   tensor_types, texts, calibrate;
    bool        pure, dry_run, exact;
    int64_t     threads, effort, samples, chunk;
} quantize_options;

static const opt options[] = {
    { "--output", "-o", OPT_PATH, offsetof(quantize_options, out), "OUT.gguf", "the file to write; it appears whole or not at all", false, 0, 0, NULL },
    { "--type", NULL, OPT_TEXT, offsetof(quantize_options, type), "T", "f32, bf16, f16, q8_0, q4_k_m, ... as llama.cpp names them", false, 0, 0, NULL },
    { "--budget", NULL, OPT_TEXT, offsetof(quantize_options, budget), "SIZE", "instead of --type: each tensor's type chosen from measured sensitivity, to fit 4.5bpw, 180MiB, or the size of a type (q4_k_m)", false, 0, 0, NULL },
    { "--max-kl", NULL, OPT_TEXT, offsetof(quantize_options, max_kl), "X", "the same, the smallest file whose mean KL from the source on the texts is at most X nats", false, 0, 0, NULL },
    { "--text", NULL, OPT_PATHS, offsetof(quantize_options, texts), "FILE", "with --budget and --max-kl: a text to measure KL on", false, 0, 0, NULL },
    { "--samples", NULL, OPT_INT, offsetof(quantize_options, samples), "N", "chunks of the texts that are run for each tensor (default: 4)", false, 1, 1 << 16, NULL },
    { "--chunk", NULL, OPT_INT, offsetof(quantize_options, chunk), "N", "tokens of a chunk (default: 128)", false, 8, 1 << 16, NULL },
    { "--exact", NULL, OPT_FLAG, offsetof(quantize_options, exact), NULL, "run every type of every tensor, where otherwise one run stands for all: some eight times as long", false, 0, 0, NULL },
    { "--device", NULL, OPT_CHOICE, offsetof(quantize_options, device), "D", "where the model is run: cpu (default: the same choice on every machine), cuda or auto", false, 0, 0, device_choices },
    { "--imatrix", NULL, OPT_PATH, offsetof(quantize_options, imatrix), "FILE", "importance matrix, llama.cpp's GGUF or .dat form", false, 0, 0, NULL },
    { "--effort", NULL, OPT_INT, offsetof(quantize_options, effort), "N", "0 (default): the bytes of llama-quantize; 1: blocks of the same layouts with less error, searched for longer", false, 0, EFFORT_MAX, NULL },
    { "--calibrate", NULL, OPT_PATHS, offsetof(quantize_options, calibrate), "TEXT", "run the source on this text and round by what its matrices are multiplied with; implies --effort 1", false, 0, 0, NULL },
    { "--tensor-type", NULL, OPT_PATHS, offsetof(quantize_options, tensor_types), "PATTERN=TYPE", "type of the tensors whose name holds the pattern (POSIX extended regular expression); the first that matches decides", false, 0, 0, NULL },
    { "--output-type", NULL, OPT_TEXT, offsetof(quantize_options, output_type), "TYPE", "type of the output matrix, or of the embedding tied to it", false, 0, 0, NULL },
    { "--embedding-type", NULL, OPT_TEXT, offsetof(quantize_options, embedding_type), "TYPE", "type of the token embeddings", false, 0, 0, NULL },
    { "--pure", NULL, OPT_FLAG, offsetof(quantize_options, pure), NULL, "no mix: every tensor takes the base type", false, 0, 0, NULL },
    { "--dry-run", NULL, OPT_FLAG, offsetof(quantize_options, dry_run), NULL, "print the plan and the sizes; write nothing", false, 0, 0, NULL },
    OPT_THREADS(quantize_options),
};

// A tensor type that there is an encoder for; DT_INVALID with ERR_USAGE otherwise. NULL text: DT_INVALID.
static dtype tensor_type_arg(const char *text, const char *option, err *e)
{
    const dtype_info *t = text ? dtype_find_name(text) : NULL;
    if (!text || (t && codec_find(t->id))) return text ? t->id : DT_INVALID;
    int n;
    char all[256] = "";
    const codec *c = codec_table(&n);
    for (int i = 0; i < n; i++) snprintf(all + strlen(all), sizeof all - strlen(all), " %s", dtype_name(c[i].type));
    err_set(e, ERR_USAGE, "%s: unknown tensor type '%s'. Types:%s", option, text, all);
    return DT_INVALID;
}

// "PATTERN=TYPE"; *text is the copy that the rule's pattern borrows.
static bool rule_arg(type_rule *r, const char *arg, char **text, err *e)
{
    const char *equals = strrchr(arg, '=');
    if (!equals || equals == arg) return err_set(e, ERR_USAGE, "--tensor-type: found '%s', expected PATTERN=TYPE", arg);
    if (!(*text = strndup(arg, (size_t)(equals - arg)))) return err_nomem(e, "a pattern", strlen(arg));
    *r = (type_rule){ .pattern = *text, .type = tensor_type_arg(equals + 1, "--tensor-type", e) };
    return e->kind == ERR_NONE;
}

static bool print_plan(const char *in, const quantize_opts *q, err *e)
{
    static const char *const header[] = { "tensor", "shape", "from", "to", ">bytes", NULL };
    quantize_preview v;
    table t;
    char from[32], to[32];
    if (!quantize_preview_file(&v, in, q, e)) return false;
    table_begin(&t, header);
    for (int64_t i = 0; i < v.n; i++) {
        const quantize_row *r = &v.rows[i];
        char name[256], shape[128] = "";
        escape_text(name, sizeof name, r->name, strlen(r->name));
        for (int d = 0; d < r->n_dims; d++)
            snprintf(shape + strlen(shape), sizeof shape - strlen(shape), "%s%lld", d ? " x " : "", (long long)r->shape[d]);
        table_cell(&t, "%s", name);
        table_cell(&t, "%s", shape);
        table_cell(&t, "%s", dtype_name(r->from));
        table_cell(&t, "%s", dtype_name(r->to));
        table_cell(&t, "%lld", (long long)r->to_bytes);
    }
    bool ok = table_print(&t, stdout);
    printf("%lld tensors, %lld weights: %s become %s, %.3f bits a weight\n", (long long)v.n, (long long)v.n_elems,
           human_bytes(v.from_bytes, from), human_bytes(v.to_bytes, to), v.bits_per_weight);
    quantize_preview_free(&v);
    return ok || err_set(e, ERR_SYSTEM, "out of memory for the table");
}

static bool quantize(const char *in, const quantize_options *o, const file_type_info *t, quantize_opts *q, err *e)
{
    progress_bar bar;
    struct stat st;
    char size[32];
    if (o->dry_run) return print_plan(in, q, e);
    if (!o->out) return err_set(e, ERR_USAGE, "option -o OUT.gguf is missing");
    q->progress = progress_bar_begin(&bar);
    const calibration_opts c = { .texts = o->calibrate.v, .n_texts = o->calibrate.n, .n_threads = q->n_threads, .progress = q->progress };
    calibration *cal = c.n_texts ? calibration_compute(in, &c, e) : NULL;
    q->effort = calibration_effort(cal, (int)o->effort);
    bool ok = (cal || !c.n_texts) && quantize_file(in, o->out, q, e);
    calibration_free(cal);
    progress_bar_end(&bar);
    if (ok && stat(o->out, &st) == 0) printf("%s  %s  %s\n", o->out, t->label, human_bytes(st.st_size, size));
    return ok;
}

// What the search found, as a table.
static bool print_mix(const mix_result *r, err *e)
{
    static const char *const header[] = { "tensor", "from", "to", ">bits a weight", ">KL alone", NULL };
    table t;
    char size[32];
    table_begin(&t, header);
    for (int64_t i = 0; i < r->n; i++) {
        const mix_row *row = &r->rows[i];
        const dtype_info *d = dtype_find(row->to);
        char name[256];
        if (!row->chosen) continue;
        escape_text(name, sizeof name, row->name, strlen(row->name));
        table_cell(&t, "%s", name);
        table_cell(&t, "%s", dtype_name(row->from));
        table_cell(&t, "%s", d->name);
        table_cell(&t, "%.4g", 8.0 * d->block_bytes / d->block_weights);
        table_cell(&t, "%.3g", row->kl);
    }
    const bool ok = table_print(&t, stdout);
    printf("%lld tensors, %lld weights: %s, %.4f bits a weight\n", (long long)r->n, (long long)r->n_elems, human_bytes(r->bytes, size), r->bits);
    printf("mean KL on %lld positions: %.5g predicted, %.5g measured; top-1 equal at %lld\n", (long long)r->measured.tokens, r->kl_predicted,
           r->measured.kl_mean, (long long)r->measured.top1_equal);
    return ok || err_set(e, ERR_SYSTEM, "out of memory for the table");
}

// --budget or --max-kl: everything that can be wrong with the command line is said before the search, which takes long.
static bool mix_to_order(const char *in, const quantize_options *o, err *e)
{
    progress_bar bar;
    mix_target target;
    mix_result r;
    if (o->type || o->tensor_types.n || o->output_type || o->embedding_type || o->pure)
        return err_set(e, ERR_USAGE, "--budget and --max-kl choose every type: they take no --type, --tensor-type, --output-type, --embedding-type or --pure");
    if (o->budget && o->max_kl) return err_set(e, ERR_USAGE, "--budget and --max-kl exclude each other");
    if (o->effort || o->calibrate.n) return err_set(e, ERR_USAGE, "--effort and --calibrate belong to --type: the search measures plain blocks");
    if (!o->texts.n) return err_set(e, ERR_USAGE, "option --text FILE is missing: %s needs a text to measure KL on", o->budget ? "--budget" : "--max-kl");
    if (!o->out && !o->dry_run) return err_set(e, ERR_USAGE, "option -o OUT.gguf is missing");
    if (o->out && same_file(in, o->out)) return err_set(e, ERR_USAGE, "%s: the output is the input", o->out);
    if (o->budget ? !mix_parse_budget(&target, o->budget, e) : !mix_parse_kl(&target, o->max_kl, e)) return false;
    const sensitivity_opts s = { .texts = o->texts.v, .n_texts = o->texts.n, .chunk = o->chunk, .samples = o->samples, .exact = o->exact, .imatrix = o->imatrix,
                                 .run = { .device = o->device ? o->device : "cpu", .n_threads = (int)o->threads }, .progress = progress_bar_begin(&bar) };
    bool ok = mix_find(&r, in, &target, &s, e);
    if (ok && !o->dry_run) {
        const quantize_opts q = { .type = r.type, .imatrix = o->imatrix, .n_threads = (int)o->threads, .progress = s.progress, .types = r.types, .mix = r.record };
        ok = quantize_file(in, o->out, &q, e);
    }
    progress_bar_end(&bar);
    if (ok) ok = print_mix(&r, e);
    mix_free(&r);
    return ok;
}

static int run(const void *opts, const text_list *args)
{
    const quantize_options *o = opts;
    err e = { 0 };
    if (o->budget || o->max_kl) return mix_to_order(args->v[0], o, &e) ? 0 : cli_fail(&cmd_quantize, &e);
    if (!o->type) err_set(&e, ERR_USAGE, "option --type T is missing (or --budget, or --max-kl)");
    if (o->texts.n || o->samples || o->chunk || o->exact || o->device) err_set(&e, ERR_USAGE, "--text, --samples, --chunk, --exact and --device belong to --budget and --max-kl");
    if (e.kind != ERR_NONE) return cli_fail(&cmd_quantize, &e);
    const int n = o->tensor_types.n;
    const file_type_info *t = file_type_arg(o->type, &e);
    type_rule *rules = calloc((size_t)n + 1, sizeof *rules);
    char **texts = calloc((size_t)n + 1, sizeof *texts);
    bool ok = t && ((rules && texts) || err_nomem(&e, "the rules", (size_t)n * sizeof *rules));
    for (int i = 0; ok && i < n; i++) ok = rule_arg(&rules[i], o->tensor_types.v[i], &texts[i], &e);
    if (ok) {
        policy_overrides over = { .rules = rules, .n_rules = n, .pure = o->pure, .output = tensor_type_arg(o->output_type, "--output-type", &e),
                                  .embedding = tensor_type_arg(o->embedding_type, "--embedding-type", &e) };
        quantize_opts q = { .type = t->id, .imatrix = o->imatrix, .n_threads = (int)o->threads, .overrides = &over };
        ok = e.kind == ERR_NONE && quantize(args->v[0], o, t, &q, &e);
    }
    for (int i = 0; texts && i < n; i++) free(texts[i]);
    free(texts);
    free(rules);
    return ok ? 0 : cli_fail(&cmd_quantize, &e);
}

const command cmd_quantize = {
    .name = "quantize",
    .summary = "a GGUF file becomes one of another type",
    .synopsis = "IN.gguf -o OUT.gguf (--type T | --budget SIZE --text FILE | --max-kl X --text FILE) [--imatrix FILE] [--effort N] [--calibrate TEXT]... [--tensor-type PATTERN=TYPE]... [--dry-run]",
    .about = "Each tensor gets the type that llama-quantize would give it, and the same bytes. An input that is already\n"
             "quantized is refused: what was lost cannot come back. --effort and --calibrate keep types and sizes and lose less; the\n"
             "metadata says so, and derive proves it.\n"
             "With --budget or --max-kl the model itself is run on the texts, one tensor quantized at a time, and each tensor gets the type that\n"
             "the KL so measured is best spent on. The choice is printed, and recorded in the file as hallmark.quantize.mix.\n",
    .examples = "  hallmark quantize gemma-4-E2B-it-BF16.gguf -o gemma-4-E2B-it-Q4_K_M.gguf --type q4_k_m\n"
                "  hallmark quantize gemma-4-E2B-it-BF16.gguf --type q4_k_m --tensor-type 'blk\\.[0-3]\\..*=q8_0' --dry-run\n"
                "  hallmark quantize gemma-4-E2B-it-BF16.gguf -o gemma-4-E2B-it-mix.gguf --budget 4.5bpw --text calibration.txt\n",
    .opts = options, .n_opts = N_ROWS(options), .options_bytes = sizeof(quantize_options),
    .min_args = 1, .max_args = 1, .run = run,
};
