// hallmark quantize: GGUF in, GGUF of another type out.
#include "cli.h"
#include "type_options.h"
#include "../quant/quantize.h"
#include "progress_bar.h"

typedef struct {
    const char *out, *type, *imatrix, *output_type, *embedding_type;
    text_list   tensor_types;
    bool        pure, dry_run;
    int64_t     threads;
} quantize_options;

static const opt options[] = {
    { "--output", "-o", OPT_OUTPUT, offsetof(quantize_options, out), "OUT.gguf", "the file to write; it appears whole or not at all", false, 0, 0, NULL },
    { "--type", NULL, OPT_TEXT, offsetof(quantize_options, type), "T", "the type, as llama.cpp names it", true, 0, 0, NULL },
    { "--imatrix", NULL, OPT_PATH, offsetof(quantize_options, imatrix), "FILE", "importance matrix, llama.cpp's GGUF or .dat form", false, 0, 0, NULL },
    OPT_TENSOR_TYPES(quantize_options),
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
    quantize_opts q = { .type = t->id, .imatrix = o->imatrix, .n_threads = (int)o->threads, .overrides = over };
    if (o->dry_run) return preview(in, &q, e);
    q.progress = progress_bar_begin(&bar);
    bool ok = quantize_file(in, o->out, &q, e);
    progress_bar_end(&bar);
    if (ok) destination_done(&cmd_quantize, &out, t->label);
    return ok;
}

static int run(const void *opts, const text_list *args)
{
    const quantize_options *o = opts;
    err e = { 0 };
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
    .synopsis = "IN.gguf (-o OUT.gguf | --dry-run) --type T [--imatrix FILE] [--tensor-type PATTERN=TYPE]... [--threads N]",
    .about = "Each tensor gets the type that llama-quantize would give it, and the same bytes. An input that is already\n"
             "quantized is refused: what was lost cannot come back.\n",
    .examples = "  hallmark quantize gemma-4-E2B-it-BF16.gguf -o gemma-4-E2B-it-Q4_K_M.gguf --type q4_k_m\n"
                "  hallmark quantize gemma-4-E2B-it-BF16.gguf --type q4_k_m --tensor-type 'blk\\.[0-3]\\..*=q8_0' --dry-run\n",
    .opts = options, .n_opts = N_ROWS(options), .options_bytes = sizeof(quantize_options),
    .min_args = 1, .max_args = 1, .run = run,
};
