// hallmark quantize: GGUF in, GGUF of another type out.
#include "cli.h"
#include "../quant/codec.h"
#include "../quant/quantize.h"
#include "../verify/calibrate.h"
#include "progress_bar.h"
#include "text_out.h"
#include "../formats/dtype.h"
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef struct {
    const char *out, *type, *imatrix, *output_type, *embedding_type;
    text_list   tensor_types, calibrate;
    bool        pure, dry_run;
    int64_t     threads, effort;
} quantize_options;

static const opt options[] = {
    { "--output", "-o", OPT_PATH, offsetof(quantize_options, out), "OUT.gguf", "the file to write; it appears whole or not at all", false, 0, 0, NULL },
    { "--type", NULL, OPT_TEXT, offsetof(quantize_options, type), "T", "f32, bf16, f16, q8_0, q4_k_m, ... as llama.cpp names them", true, 0, 0, NULL },
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

static int run(const void *opts, const text_list *args)
{
    const quantize_options *o = opts;
    err e = { 0 };
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
    .synopsis = "IN.gguf -o OUT.gguf --type T [--imatrix FILE] [--effort N] [--calibrate TEXT]... [--tensor-type PATTERN=TYPE]... [--dry-run] [--threads N]",
    .about = "Each tensor gets the type that llama-quantize would give it, and the same bytes. An input that is already\n"
             "quantized is refused: what was lost cannot come back. --effort and --calibrate keep types and sizes and lose less; the\n"
             "metadata says so, and derive proves it.\n",
    .examples = "  hallmark quantize gemma-4-E2B-it-BF16.gguf -o gemma-4-E2B-it-Q4_K_M.gguf --type q4_k_m\n"
                "  hallmark quantize gemma-4-E2B-it-BF16.gguf --type q4_k_m --tensor-type 'blk\\.[0-3]\\..*=q8_0' --dry-run\n",
    .opts = options, .n_opts = N_ROWS(options), .options_bytes = sizeof(quantize_options),
    .min_args = 1, .max_args = 1, .run = run,
};
