// hallmark imatrix: what each weight matrix is multiplied with, column by column.
#include "cli.h"
#include "../measure/importance.h"
#include "progress_bar.h"

typedef struct {
    const char *out, *arith, *device;
    text_list   texts, merge;
    int64_t     chunk, threads;
    bool        json, quiet;
} imatrix_options;

static const opt options[] = {
    { "--output", "-o", OPT_OUTPUT, offsetof(imatrix_options, out), "IM.gguf",
      "the matrix to write", true, 0, 0, NULL },
    { "--text", NULL, OPT_PATHS, offsetof(imatrix_options, texts), "FILE", "a text to run", false, 0, 0, NULL },
    { "--merge", NULL, OPT_PATHS, offsetof(imatrix_options, merge), "IM.gguf",
      "a matrix whose sums are added", false, 0, 0, NULL },
    { "--chunk", NULL, OPT_INT, offsetof(imatrix_options, chunk), "N",
      "tokens of a chunk (default: 512)", false, 1, 1 << 20, NULL },
    OPT_ARITH(imatrix_options),
    OPT_DEVICE(imatrix_options),
    OPT_THREADS(imatrix_options),
    OPT_ANSWER(imatrix_options),
};

static int run(const void *opts, const text_list *args)
{
    const imatrix_options *o = opts;
    err e = { 0 };
    progress_bar bar;
    destination out;
    const char *art = args->n ? args->v[0] : NULL;
    if (!output_is_no_input(o->out, art, &o->texts, &e) || !output_is_no_input(o->out, NULL, &o->merge, &e)
        || !destination_file(&out, o->out, &e))
        return cli_fail(&cmd_imatrix, &e);
    const importance_opts im = { .texts = o->texts.v, .n_texts = o->texts.n, .merge = o->merge.v, .n_merge = o->merge.n,
                                 .chunk = o->chunk,
                                 .run = { .arith = o->arith, .device = o->device, .n_threads = (int)o->threads },
                                 .progress = progress_bar_begin(&bar) };
    const bool ok = importance_compute(art, o->out, &im, &e);
    progress_bar_end(&bar);
    if (!ok) return cli_fail(&cmd_imatrix, &e);
    destination_done(&cmd_imatrix, &out, NULL);
    return 0;
}

const command cmd_imatrix = {
    .name = "imatrix",
    .summary = "compute an importance matrix from texts",
    .synopsis = "[ART.gguf --text FILE...] [--merge IM.gguf...] -o IM.gguf",
    .about = "Runs the texts in chunks and adds up the squares of what each weight matrix is multiplied with. The result is in\n"
             "llama.cpp's GGUF form; convert, quantize and derive take it with --imatrix. --merge adds matrices made before.\n",
    .examples = "  hallmark imatrix gemma-4-E2B-it-BF16.gguf --text calibration.txt -o imatrix.gguf\n"
                "  hallmark imatrix --merge code.gguf --merge prose.gguf -o imatrix.gguf\n",
    .opts = options, .n_opts = N_ROWS(options), .options_bytes = sizeof(imatrix_options),
    .min_args = 0, .max_args = 1, .run = run,
};
