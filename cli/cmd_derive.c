// hallmark derive: is this file what that source gives?
#include "cli.h"
#include "../verify/derivation.h"
#include "progress_bar.h"
#include <stdlib.h>

typedef struct {
    const char *from, *imatrix, *revision;
    text_list   calibrate;
    int64_t     threads;
    bool        json, quiet;
} derive_options;

static const opt options[] = {
    { "--from", NULL, OPT_PATH, offsetof(derive_options, from), "HF|FILE.gguf",
      "the source: a checkpoint's folder or id, or a GGUF file in F32, F16 or BF16", true, 0, 0, NULL },
    { "--imatrix", NULL, OPT_PATH, offsetof(derive_options, imatrix), "FILE",
      "the importance matrix that the file was made with", false, 0, 0, NULL },
    { "--calibrate", NULL, OPT_PATHS, offsetof(derive_options, calibrate), "TEXT",
      "a text that the file was calibrated with, in the same order", false, 0, 0, NULL },
    OPT_REVISION(derive_options),
    OPT_THREADS(derive_options),
    OPT_ANSWER(derive_options),
};

// from: a folder, or a GGUF file.
static bool derive_from(const char *art_path, const char *from, const derive_options *o, err *e)
{
    progress_bar bar;
    const derivation_opts d = { .from = from, .imatrix = o->imatrix, .calibrate = o->calibrate.v,
                                .n_calibrate = o->calibrate.n,
                                .n_threads = (int)o->threads, .progress = progress_bar_begin(&bar) };
    const bool ok = derivation_prove(NULL, art_path, &d, e);
    progress_bar_end(&bar);
    return ok;
}

static bool derive(const char *art_path, const derive_options *o, err *e)
{
    char *from = hf_source(&cmd_derive, o->from, o->revision, e);
    const bool ok = from && derive_from(art_path, from, o, e);
    free(from);
    return ok;
}

static int run(const void *opts, const text_list *args)
{
    const derive_options *o = opts;
    err e = { 0 };
    const bool ok = derive(args->v[0], o, &e);
    return cli_verdict(&cmd_derive,
                       &(verdict){ .artifact = args->v[0],
                                   .source = o->from,
                                   .yes = "every tensor derives from ",
                                   .no = "does NOT derive from ",
                                   .judged = ok || e.kind == ERR_VERDICT,
                                   .json = o->json },
                       &e);
}

const command cmd_derive = {
    .name = "derive",
    .summary = "prove that a file's tensors are what a source gives",
    .synopsis = "ART.gguf --from HF|FILE.gguf [--imatrix FILE] [--calibrate TEXT]...",
    .about = "Encodes every tensor again from the source, to the type it has in the file, and compares the bytes.\n"
             "It works on files made by llama-quantize, too: the encoders give the bytes of ggml 0.25. Exit status\n"
             "1 names the first tensor, row and block that the source does not give.\n",
    .examples = "  hallmark derive gemma-4-E2B-it-Q4_K_M.gguf --from gemma-4-E2B-it/\n"
                "  hallmark derive someone-elses-Q4_K_M.gguf --from gemma-4-E2B-it-BF16.gguf --imatrix imatrix.gguf\n",
    .opts = options, .n_opts = N_ROWS(options), .options_bytes = sizeof(derive_options),
    .min_args = 1, .max_args = 1, .run = run,
};
