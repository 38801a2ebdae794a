// hallmark convert: a Hugging Face folder becomes one GGUF file.
#include "cli.h"
#include "type_options.h"
#include "../convert/convert.h"
#include "../verify/calibrate.h"
#include "progress_bar.h"

typedef struct {
    const char *out, *type, *imatrix, *output_type, *embedding_type, *device;
    text_list   tensor_types, calibrate;
    bool        pure, dry_run;
    int64_t     threads, effort;
} convert_options;

static const opt options[] = {
    { "--output", "-o", OPT_OUTPUT, offsetof(convert_options, out), "OUT.gguf", "the file to write; it appears whole or not at all", false, 0, 0, NULL },
    { "--type", NULL, OPT_TEXT, offsetof(convert_options, type), "T", "the type, as llama.cpp names it (default: bf16)", false, 0, 0, NULL },
    { "--imatrix", NULL, OPT_PATH, offsetof(convert_options, imatrix), "FILE", "importance matrix for quantized types, llama.cpp's GGUF or .dat form", false, 0, 0, NULL },
    OPT_EFFORT(convert_options),
    OPT_TENSOR_TYPES(convert_options),
    OPT_ENCODER(convert_options, "where blocks are encoded: cpu (default), cuda or auto; the bytes are the same"),
    OPT_THREADS(convert_options),
};

static bool preview(const char *hf_dir, const convert_opts *c, err *e)
{
    quantize_preview v;
    if (!convert_preview(&v, hf_dir, c, e)) return false;
    bool ok = type_plan_print(&v, e);
    quantize_preview_free(&v);
    return ok;
}

static bool convert(const char *hf_dir, const convert_options *o, const file_type_info *t, const policy_overrides *over, err *e)
{
    progress_bar bar;
    destination out;
    if (!o->out && !o->dry_run) return err_set(e, ERR_USAGE, "option -o OUT.gguf is missing");
    if (!output_is_no_input(o->out, o->imatrix, &o->calibrate, e)) return false;
    if (o->out && !destination_file(&out, o->out, e)) return false;
    convert_opts c = { .type = t->id, .imatrix = o->imatrix, .n_threads = (int)o->threads, .overrides = over };
    calibration_opts co = { .texts = o->calibrate.v, .n_texts = o->calibrate.n, .n_threads = c.n_threads };
    // What can be refused is refused before the calibration, which takes long.
    c.effort.level = co.n_texts && o->effort < 1 ? 1 : (int)o->effort;
    if (!calibration_check_texts(&co, e)) return false;
    if (o->dry_run) return preview(hf_dir, &c, e);
    if (co.n_texts && !convert_check(hf_dir, o->out, &c, e)) return false;
    if (!encoder_of_device(&cmd_convert, &c.encoder, o->device, e)) return false;
    co.progress = c.progress = progress_bar_begin(&bar);
    calibration *cal = co.n_texts ? calibration_compute_hf(hf_dir, &co, e) : NULL;
    c.effort = calibration_effort(cal, (int)o->effort);
    bool ok = (cal || !co.n_texts) && convert_checkpoint(hf_dir, o->out, &c, e);
    calibration_free(cal);
    encoder_close(c.encoder);
    progress_bar_end(&bar);
    if (ok) destination_done(&cmd_convert, &out, t->label);
    return ok;
}

static int run(const void *opts, const text_list *args)
{
    const convert_options *o = opts;
    err e = { 0 };
    type_choice choice = { .rules = NULL };
    const file_type_info *t = file_type_arg(o->type ? o->type : "bf16", &e);
    bool ok = t && type_choice_make(&choice, &o->tensor_types, o->output_type, o->embedding_type, o->pure, &e)
           && convert(args->v[0], o, t, &choice.over, &e);
    type_choice_free(&choice);
    return ok ? 0 : cli_fail(&cmd_convert, &e);
}

const command cmd_convert = {
    .name = "convert",
    .summary = "a Hugging Face folder becomes one GGUF file",
    .synopsis = "HF_DIR (-o OUT.gguf | --dry-run) [--type T] [--imatrix FILE] [--effort N] [--calibrate TEXT]...\n"
                "       [--tensor-type PATTERN=TYPE]...",
    .about = "Converts a checkpoint (safetensors, config.json, tokenizer.json) straight to the type asked for, in one pass\n"
             "and without a file between. What is left out on purpose (vision and audio towers, a tied lm_head) is logged;\n"
             "a tensor that nobody maps, is missing, or does not fit the config is an error by name.\n",
    .examples = "  hallmark convert ~/models/gemma-4-E2B-it -o gemma-4-E2B-it-BF16.gguf\n"
                "  hallmark convert ~/models/gemma-4-E2B-it -o gemma-4-E2B-it-Q4_K_M.gguf --type q4_k_m\n"
                "  hallmark convert ~/models/gemma-4-E2B-it --type q4_k_m --tensor-type 'ffn_down=q6_k' --dry-run\n",
    .opts = options, .n_opts = N_ROWS(options), .options_bytes = sizeof(convert_options),
    .min_args = 1, .max_args = 1, .run = run,
};
