// hallmark quantize: GGUF in, GGUF of another type out, or of a mix made to order.
#include "cli.h"
#include "type_options.h"
#include "../formats/file_map.h"
#include "../quant/quantize.h"
#include "../verify/calibrate.h"
#include "../verify/mix.h"
#include "progress_bar.h"
#include "text_out.h"
#include <string.h>

typedef struct {
    const char *out, *type, *imatrix, *output_type, *embedding_type, *budget, *max_kl, *device;
    text_list   tensor_types, texts, calibrate;
    bool        pure, dry_run, exact;
    int64_t     threads, effort, samples, chunk;
} quantize_options;

static const opt options[] = {
    { "--output", "-o", OPT_OUTPUT, offsetof(quantize_options, out), "OUT.gguf", "the file to write; it appears whole or not at all", false, 0, 0, NULL },
    { "--type", NULL, OPT_TEXT, offsetof(quantize_options, type), "T", "the type, as llama.cpp names it", false, 0, 0, NULL },
    { "--imatrix", NULL, OPT_PATH, offsetof(quantize_options, imatrix), "FILE", "importance matrix, llama.cpp's GGUF or .dat form", false, 0, 0, NULL },
    OPT_EFFORT(quantize_options),
    OPT_TENSOR_TYPES(quantize_options),
    { "--budget", NULL, OPT_TEXT, offsetof(quantize_options, budget), "SIZE", "instead of --type: a type for each tensor by measured sensitivity, to fit 4.5bpw, 180MiB, or q4_k_m's size", false, 0, 0, NULL },
    { "--max-kl", NULL, OPT_TEXT, offsetof(quantize_options, max_kl), "X", "the same, the smallest file whose mean KL from the source on the texts is at most X nats", false, 0, 0, NULL },
    { "--text", NULL, OPT_PATHS, offsetof(quantize_options, texts), "FILE", "with --budget and --max-kl: a text to measure KL on", false, 0, 0, NULL },
    { "--samples", NULL, OPT_INT, offsetof(quantize_options, samples), "N", "chunks of the texts that are run for each tensor (default: 4)", false, 1, 1 << 16, NULL },
    { "--chunk", NULL, OPT_INT, offsetof(quantize_options, chunk), "N", "tokens of a chunk (default: 128)", false, 8, 1 << 16, NULL },
    { "--exact", NULL, OPT_FLAG, offsetof(quantize_options, exact), NULL, "run every type of every tensor, where otherwise one run stands for all: eight times as long", false, 0, 0, NULL },
    OPT_ENCODER(quantize_options, "where blocks are encoded, to the same bytes, and a --budget's model is run: cpu (default), cuda, auto"),
    OPT_THREADS(quantize_options),
};

static bool preview(const char *in, const quantize_opts *q, err *e)
{
    quantize_preview v;
    if (!quantize_preview_file(&v, in, q, e)) return false;
    bool ok = type_plan_print(&v, e);
    quantize_preview_free(&v);
    return ok;
}

static bool quantize(const char *in, const quantize_options *o, const file_type_info *t, const policy_overrides *over, err *e)
{
    progress_bar bar;
    destination out;
    if (!o->out && !o->dry_run) return err_set(e, ERR_USAGE, "option -o OUT.gguf is missing");
    if (o->out && !destination_file(&out, o->out, e)) return false;
    if (!output_is_no_input(o->out, o->imatrix, &o->calibrate, e)) return false;
    quantize_opts q = { .type = t->id, .imatrix = o->imatrix, .n_threads = (int)o->threads, .overrides = over };
    calibration_opts c = { .texts = o->calibrate.v, .n_texts = o->calibrate.n, .n_threads = q.n_threads };
    // What can be refused is refused before the calibration, which takes long.
    q.effort.level = c.n_texts && o->effort < 1 ? 1 : (int)o->effort;
    if (!calibration_check_texts(&c, e)) return false;
    if (o->dry_run) return preview(in, &q, e);
    if (c.n_texts && !quantize_check(in, o->out, &q, e)) return false;
    if (!encoder_of_device(&cmd_quantize, &q.encoder, o->device, e)) return false;
    c.progress = q.progress = progress_bar_begin(&bar);
    calibration *cal = c.n_texts ? calibration_compute(in, &c, e) : NULL;
    q.effort = calibration_effort(cal, (int)o->effort);
    bool ok = (cal || !c.n_texts) && quantize_file(in, o->out, &q, e);
    calibration_free(cal);
    encoder_close(q.encoder);
    progress_bar_end(&bar);
    if (ok) destination_done(&cmd_quantize, &out, t->label);
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
    destination out = { 0 };
    if (!o->out && !o->dry_run) return err_set(e, ERR_USAGE, "option -o OUT.gguf is missing");
    if (o->out && same_file(in, o->out)) return err_set(e, ERR_USAGE, "%s: the output is the input", o->out);
    if (!output_is_no_input(o->out, o->imatrix, &o->texts, e)) return false;
    if (o->budget ? !mix_parse_budget(&target, o->budget, e) : !mix_parse_kl(&target, o->max_kl, e)) return false;
    if (o->out && !destination_file(&out, o->out, e)) return false;
    const sensitivity_opts s = { .texts = o->texts.v, .n_texts = o->texts.n, .chunk = o->chunk, .samples = o->samples, .exact = o->exact, .imatrix = o->imatrix,
                                 .run = { .device = o->device ? o->device : "cpu", .n_threads = (int)o->threads }, .progress = progress_bar_begin(&bar) };
    bool ok = mix_find(&r, in, &target, &s, e);
    if (ok && !o->dry_run) {
        quantize_opts q = { .type = r.type, .imatrix = o->imatrix, .n_threads = (int)o->threads, .progress = s.progress, .types = r.types, .mix = r.record };
        ok = encoder_of_device(&cmd_quantize, &q.encoder, o->device, e) && quantize_file(in, o->out, &q, e);
        encoder_close(q.encoder);
    }
    progress_bar_end(&bar);
    if (ok) ok = print_mix(&r, e);
    if (ok && !o->dry_run) destination_done(&cmd_quantize, &out, "mix");
    mix_free(&r);
    return ok;
}

static int run(const void *opts, const text_list *args)
{
    const quantize_options *o = opts;
    err e = { 0 };
    if (o->budget || o->max_kl) return mix_to_order(args->v[0], o, &e) ? 0 : cli_fail(&cmd_quantize, &e);
    if (!o->type) err_set(&e, ERR_USAGE, "option --type T is missing (or --budget, or --max-kl)");
    if (o->texts.n || o->samples || o->chunk || o->exact)
        err_set(&e, ERR_USAGE, "--text, --samples, --chunk and --exact belong to --budget and --max-kl");
    if (e.kind != ERR_NONE) return cli_fail(&cmd_quantize, &e);
    type_choice choice = { .rules = NULL };
    const file_type_info *t = file_type_arg(o->type, &e);
    bool ok = t && type_choice_make(&choice, &o->tensor_types, o->output_type, o->embedding_type, o->pure, &e)
           && quantize(args->v[0], o, t, &choice.over, &e);
    type_choice_free(&choice);
    return ok ? 0 : cli_fail(&cmd_quantize, &e);
}

const command cmd_quantize = {
    .name = "quantize",
    .summary = "a GGUF file becomes one of another type",
    .synopsis = "IN.gguf (-o OUT.gguf | --dry-run) (--type T | --budget SIZE --text FILE | --max-kl X --text FILE) [--imatrix FILE]\n"
                "       [--effort N] [--calibrate TEXT]...",
    .about = "Each tensor gets the type that llama-quantize would give it, and the same bytes. An input that is already\n"
             "quantized is refused: what was lost cannot come back. --effort and --calibrate keep types and sizes and lose less; the\n"
             "metadata says so, and derive proves it.\n"
             "With --budget or --max-kl the model itself is run on the texts, one tensor quantized at a time, and each tensor gets the type\n"
             "that the KL so measured is best spent on. The choice is printed, and recorded in the file as hallmark.quantize.mix.\n",
    .examples = "  hallmark quantize gemma-4-E2B-it-BF16.gguf -o gemma-4-E2B-it-Q4_K_M.gguf --type q4_k_m\n"
                "  hallmark quantize gemma-4-E2B-it-BF16.gguf --type q4_k_m --tensor-type 'blk\\.[0-3]\\..*=q8_0' --dry-run\n"
                "  hallmark quantize gemma-4-E2B-it-BF16.gguf -o gemma-4-E2B-it-mix.gguf --budget 4.5bpw --text calibration.txt\n",
    .opts = options, .n_opts = N_ROWS(options), .options_bytes = sizeof(quantize_options),
    .min_args = 1, .max_args = 1, .run = run,
};
