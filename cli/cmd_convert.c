// hallmark convert: a Hugging Face folder becomes one GGUF file.
#include "encoding.h"
#include "../convert/convert.h"
#include "../runtime/model.h"
#include <stdlib.h>

static const opt options[] = {
    { "--output", "-o", OPT_OUTPUT, offsetof(type_options, out), "OUT.gguf",
      "the file to write; it appears whole or not at all", false, 0, 0, NULL },
    { "--type", NULL, OPT_TEXT, offsetof(type_options, type), "T",
      "the type, as llama.cpp names it (default: bf16)", false, 0, 0, NULL },
    { "--imatrix", NULL, OPT_PATH, offsetof(type_options, imatrix), "FILE",
      "importance matrix for quantized types, llama.cpp's GGUF or .dat form", false, 0, 0, NULL },
    OPT_EFFORT,
    OPT_TENSOR_TYPES,
    OPT_STRICTNESS,
    { "--no-mtp", NULL, OPT_FLAG, offsetof(type_options, no_mtp), NULL,
      "leave out the block that guesses the token after the next (Qwen 3.5), which nothing here runs",
      false, 0, 0, NULL },
    OPT_ENCODER("where blocks are encoded: cpu (default), cuda or auto; the bytes are the same"),
    OPT_REVISION(type_options),
    OPT_THREADS(type_options),
    OPT_ANSWER(type_options),
};

static bool convert_folder(const char *hf_dir, encoding *x, const type_options *o, const type_choice *t, err *e)
{
    convert_opts c = { .type = t->type->id, .imatrix = o->imatrix, .n_threads = (int)o->threads, .overrides = &t->over,
                       .effort = x->effort,
                       .allow_nonfinite = o->allow_nonfinite, .strict_types = o->strict_types,
                       .no_mtp = o->no_mtp, .judge = model_check };
    if (o->dry_run) {
        quantize_preview v;
        return convert_preview(&v, hf_dir, &c, e) && type_plan_print(&v, e);
    }
    // What can be refused is refused before the calibration, which takes long.
    if (x->texts.n_texts && !convert_check(hf_dir, o->out, &c, e)) return false;
    if (!encoding_begin(x, e)) return false;
    bool ok = !x->texts.n_texts || encoding_calibrated(x, calibration_compute_hf(hf_dir, &x->texts, e));
    c.effort   = x->effort;
    c.encoder  = x->encoder;
    c.progress = x->progress;
    ok = ok && convert_checkpoint(hf_dir, o->out, &c, e);
    return encoding_end(x, ok, t->type->label);
}

static bool convert(const char *arg, const type_options *o, const type_choice *t, err *e)
{
    encoding x;
    if (!encoding_plan(&x, &cmd_convert, o, e)) return false;
    char *hf_dir = hf_folder(&cmd_convert, arg, o->revision, true, e);
    bool  ok     = hf_dir && convert_folder(hf_dir, &x, o, t, e);
    free(hf_dir);
    return ok;
}

static int run(const void *opts, const text_list *args)
{
    const type_options *o = opts;
    err e = { 0 };
    type_choice t;
    const bool ok = type_choice_make(&t, o->type ? o->type : "bf16", o, &e) && convert(args->v[0], o, &t, &e);
    type_choice_free(&t);
    return ok ? 0 : cli_fail(&cmd_convert, &e);
}

const command cmd_convert = {
    .name = "convert",
    .summary = "a Hugging Face folder becomes one GGUF file",
    .synopsis = "HF (-o OUT.gguf | --dry-run) [--type T] [--imatrix FILE] [--effort N] [--calibrate TEXT]...\n"
                "       [--tensor-type PATTERN=TYPE]...",
    .about = "HF is a checkpoint's folder, or the id of a model in the local Hub cache; nothing is downloaded.\n"
             "Converts a checkpoint (safetensors, config.json, tokenizer.json) straight to the type asked for, in one pass\n"
             "and without a file between. What is left out on purpose (vision and audio towers, a tied lm_head) is logged;\n"
             "a tensor that nobody maps, is missing, or does not fit the config is an error by name.\n",
    .examples = "  hallmark convert ~/models/gemma-4-E2B-it -o gemma-4-E2B-it-BF16.gguf\n"
                "  hallmark convert ~/models/gemma-4-E2B-it -o gemma-4-E2B-it-Q4_K_M.gguf --type q4_k_m\n"
                "  hallmark convert google/gemma-3-270m -o gemma-3-270m-BF16.gguf\n"
                "  hallmark convert ~/models/gemma-4-E2B-it --type q4_k_m --tensor-type 'ffn_down=q6_k' --dry-run\n",
    .opts = options, .n_opts = N_ROWS(options), .options_bytes = sizeof(type_options),
    .min_args = 1, .max_args = 1, .run = run,
};
