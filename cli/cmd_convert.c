// hallmark convert: a Hugging Face folder becomes one GGUF file.
#include "cli.h"
#include "../convert/convert.h"
#include "../verify/calibrate.h"
#include "progress_bar.h"
#include "text_out.h"
#include <sys/stat.h>

typedef struct {
    const char *out, *type, *imatrix;
    text_list   calibrate;
    int64_t     threads, effort;
} convert_options;

static const opt options[] = {
    { "--output", "-o", OPT_PATH, offsetof(convert_options, out), "OUT.gguf", "the file to write; it appears whole or not at all", true, 0, 0, NULL },
    { "--type", NULL, OPT_TEXT, offsetof(convert_options, type), "T", "bf16 (default), f32, f16, q8_0, q4_k_m, ... as llama.cpp names them", false, 0, 0, NULL },
    { "--imatrix", NULL, OPT_PATH, offsetof(convert_options, imatrix), "FILE", "importance matrix for quantized types", false, 0, 0, NULL },
    { "--effort", NULL, OPT_INT, offsetof(convert_options, effort), "N", "0 (default): the bytes of llama-quantize; 1: blocks of the same layouts with less error, searched for longer", false, 0, EFFORT_MAX, NULL },
    { "--calibrate", NULL, OPT_PATHS, offsetof(convert_options, calibrate), "TEXT", "run the source on this text and round by what its matrices are multiplied with; implies --effort 1", false, 0, 0, NULL },
    OPT_THREADS(convert_options),
};

static int run(const void *opts, const text_list *args)
{
    const convert_options *o = opts;
    err e = { 0 };
    const file_type_info *t = file_type_arg(o->type ? o->type : "bf16", &e);
    if (!t) return cli_fail(&cmd_convert, &e);
    progress_bar bar;
    convert_opts c = { .type = t->id, .imatrix = o->imatrix, .n_threads = (int)o->threads, .progress = progress_bar_begin(&bar) };
    const calibration_opts co = { .texts = o->calibrate.v, .n_texts = o->calibrate.n, .n_threads = c.n_threads, .progress = c.progress };
    calibration *cal = co.n_texts ? calibration_compute_hf(args->v[0], &co, &e) : NULL;
    c.effort = calibration_effort(cal, (int)o->effort);
    bool ok = (cal || !co.n_texts) && convert_checkpoint(args->v[0], o->out, &c, &e);
    calibration_free(cal);
    progress_bar_end(&bar);
    if (!ok) return cli_fail(&cmd_convert, &e);
    struct stat st;
    char size[32];
    if (stat(o->out, &st) == 0) printf("%s  %s  %s\n", o->out, t->label, human_bytes(st.st_size, size));
    return 0;
}

const command cmd_convert = {
    .name = "convert",
    .summary = "a Hugging Face folder becomes one GGUF file",
    .synopsis = "HF_DIR -o OUT.gguf [--type T] [--imatrix FILE] [--effort N] [--calibrate TEXT]... [--threads N]",
    .about = "Converts a checkpoint (safetensors, config.json, tokenizer.json) straight to the type asked for, in one pass\n"
             "and without a file between. What is left out on purpose (vision and audio towers, a tied lm_head) is logged;\n"
             "a tensor that nobody maps, is missing, or does not fit the config is an error by name.\n",
    .examples = "  hallmark convert ~/models/gemma-4-E2B-it -o gemma-4-E2B-it-BF16.gguf\n"
                "  hallmark convert ~/models/gemma-4-E2B-it -o gemma-4-E2B-it-Q4_K_M.gguf --type q4_k_m\n",
    .opts = options, .n_opts = N_ROWS(options), .options_bytes = sizeof(convert_options),
    .min_args = 1, .max_args = 1, .run = run,
};
