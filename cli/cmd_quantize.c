// hallmark quantize: GGUF in, GGUF of another type out, or of a mix made to order.
#include "encoding.h"
#include "answer.h"
#include "text_out.h"
#include "../formats/file_map.h"
#include "../runtime/model.h"
#include "../measure/mix.h"
#include <string.h>

typedef struct {
    type_options t;             // first: the rows that convert has too are offsets into it
    const char  *budget, *max_kl, *state;
    text_list    texts;
    bool         exact;
    int64_t      samples, chunk;
} quantize_options;

static const opt options[] = {
    { "--output", "-o", OPT_OUTPUT, offsetof(type_options, out), "OUT.gguf",
      "the file to write; it appears whole or not at all", false, 0, 0, NULL },
    { "--type", NULL, OPT_TEXT, offsetof(type_options, type), "T", "the type, as llama.cpp names it", false, 0, 0,
      NULL },
    { "--imatrix", NULL, OPT_PATH, offsetof(type_options, imatrix), "FILE",
      "importance matrix, llama.cpp's GGUF or .dat form", false, 0, 0, NULL },
    OPT_EFFORT,
    OPT_TENSOR_TYPES,
    OPT_STRICTNESS,
    { "--budget", NULL, OPT_TEXT, offsetof(quantize_options, budget), "SIZE",
      "instead of --type: a type for each tensor by measured sensitivity, to fit 4.5bpw, 180MiB, or q4_k_m's size",
      false, 0, 0, NULL },
    { "--max-kl", NULL, OPT_TEXT, offsetof(quantize_options, max_kl), "X",
      "the same, the smallest file whose mean KL from the source on the texts is at most X nats", false, 0, 0, NULL },
    { "--text", NULL, OPT_PATHS, offsetof(quantize_options, texts), "FILE",
      "with --budget and --max-kl: a text to measure KL on", false, 0, 0, NULL },
    { "--samples", NULL, OPT_INT, offsetof(quantize_options, samples), "N",
      "chunks of the texts that are run for each tensor (default: 4)", false, 1, 1 << 16, NULL },
    { "--chunk", NULL, OPT_INT, offsetof(quantize_options, chunk), "N", "tokens of a chunk (default: 128)", false, 8,
      1 << 16, NULL },
    { "--exact", NULL, OPT_FLAG, offsetof(quantize_options, exact), NULL,
      "run every type of every tensor, where otherwise one run stands for all: eight times as long", false, 0, 0,
      NULL },
    { "--state", NULL, OPT_OUTPUT, offsetof(quantize_options, state), "DIR",
      "keep what is measured there: a search that was killed goes on, and another budget needs no other", false, 0, 0,
      NULL },
    OPT_ENCODER("where blocks are encoded, to the same bytes, and a --budget's model is run: cpu (default), cuda, "
                "auto"),
    OPT_THREADS(type_options),
    OPT_ANSWER(type_options),
};

static bool quantize(const char *in, const type_options *o, const type_choice *t, err *e)
{
    encoding x;
    if (!encoding_plan(&x, &cmd_quantize, o, e)) return false;
    quantize_opts q = { .type = t->type->id, .imatrix = o->imatrix, .n_threads = (int)o->threads, .overrides = &t->over,
                        .effort = x.effort,
                        .allow_nonfinite = o->allow_nonfinite, .strict_types = o->strict_types, .judge = model_check };
    if (o->dry_run) {
        quantize_preview v;
        return quantize_preview_file(&v, in, &q, e) && type_plan_print(&v, e);
    }
    // What can be refused is refused before the calibration, which takes long.
    if (x.texts.n_texts && !quantize_check(in, o->out, &q, e)) return false;
    if (!encoding_begin(&x, e)) return false;
    bool ok = !x.texts.n_texts || encoding_calibrated(&x, calibration_compute(in, &x.texts, e));
    q.effort   = x.effort;
    q.encoder  = x.encoder;
    q.progress = x.progress;
    ok = ok && quantize_file(in, o->out, &q, e);
    return encoding_end(&x, ok, t->type->label);
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
        text_fit(name, sizeof name, row->name, strlen(row->name), 0);
        table_cell(&t, "%s", name);
        table_cell(&t, "%s", dtype_name(row->from));
        table_cell(&t, "%s", d->name);
        table_cell(&t, "%.4g", 8.0 * d->block_bytes / d->block_weights);
        table_cell(&t, "%.3g", row->kl);
    }
    const bool ok = table_print(&t, stdout);
    printf("%lld tensors, %lld weights: %s, %.4f bits a weight\n", (long long)r->n, (long long)r->n_elems,
           human_bytes(r->bytes, size), r->bits);
    printf("mean KL on %lld positions: %.5g predicted, %.5g measured; top-1 equal at %lld\n",
           (long long)r->measured.tokens, r->kl_predicted, r->measured.kl_mean, (long long)r->measured.top1_equal);
    return ok || err_set(e, ERR_SYSTEM, "out of memory for the table");
}

static void mix_row_json(json_out *j, const mix_row *row)
{
    json_open(j, '{');
    json_key_cstr(j, "name", row->name);
    json_key_cstr(j, "from", dtype_name(row->from));
    json_key_cstr(j, "to", dtype_name(row->to));
    json_key_int(j, "bytes", row->bytes);
    json_key_num(j, "kl_alone", row->kl, 6);
    json_close(j, '}');
}

// out NULL: nothing was written.
static void mix_json(const mix_result *r, const destination *out)
{
    json_out j;
    json_begin(&j, answer_document());
    json_open(&j, '{');
    if (out) destination_members(&j, out, "mix");
    json_key_bool(&j, "dry_run", !out);
    json_key_int(&j, "weights", r->n_elems);
    json_key_int(&j, "tensor_bytes", r->bytes);
    json_key_num(&j, "bits_per_weight", r->bits, 9);
    json_key_num(&j, "kl_predicted", r->kl_predicted, 9);
    json_key_num(&j, "kl_measured", r->measured.kl_mean, 9);
    json_key_int(&j, "positions", r->measured.tokens);
    json_key_int(&j, "top1_equal", r->measured.top1_equal);
    json_key_open(&j, "tensors", '[');
    for (int64_t i = 0; i < r->n; i++)
        if (r->rows[i].chosen) mix_row_json(&j, &r->rows[i]);
    json_close(&j, ']');
    json_close(&j, '}');
}

// out NULL: a dry run.
static bool tell_of_mix(const mix_result *r, const destination *out, err *e)
{
    if (answer_is_json()) {
        mix_json(r, out);
        if (out) destination_note_replaced(&cmd_quantize, out);
        return true;
    }
    if (!print_mix(r, e)) return false;
    if (out) destination_done(&cmd_quantize, out, "mix");
    return true;
}

static bool state_is_no_output(const quantize_options *q, err *e)
{
    bool lies;
    if (!q->t.out || !q->state) return true;
    if (!path_lies_in(&lies, q->state, q->t.out, e)) return false;
    return !lies || err_set(e, ERR_USAGE, "option --state: found '%s', which is the file to write, %s, or would lie in "
                            "it: expected another folder", q->state, q->t.out);
}

// --budget or --max-kl: everything that can be wrong with the command line is said before the search, which takes long.
static bool mix_to_order(const char *in, const quantize_options *q, err *e)
{
    const type_options *o = &q->t;
    progress_bar bar;
    mix_target target;
    mix_result r;
    if (o->type || o->tensor_types.n || o->output_type || o->embedding_type || o->pure)
        return err_set(e, ERR_USAGE,
                       "--budget and --max-kl choose every type: they take no --type, --tensor-type, --output-type, "
                       "--embedding-type or --pure");
    if (q->budget && q->max_kl) return err_set(e, ERR_USAGE, "--budget and --max-kl exclude each other");
    if (o->effort.v || o->calibrate.n)
        return err_set(e, ERR_USAGE, "--effort and --calibrate belong to --type: the search measures plain blocks");
    if (!q->texts.n)
        return err_set(e, ERR_USAGE, "option --text FILE is missing: %s needs a text to measure KL on",
                       q->budget ? "--budget" : "--max-kl");
    destination out = { 0 };
    if (!o->out && !o->dry_run) return err_set(e, ERR_USAGE, "option -o OUT.gguf is missing");
    if (o->out && same_file(in, o->out)) return err_set(e, ERR_USAGE, "%s: the output is the input", o->out);
    if (!output_is_no_input(o->out, o->imatrix, &q->texts, e)) return false;
    if (!state_is_no_output(q, e)) return false;
    if (q->budget ? !mix_parse_budget(&target, q->budget, e) : !mix_parse_kl(&target, q->max_kl, e)) return false;
    if (o->out && !destination_file(&out, o->out, e)) return false;
    const sensitivity_opts s = { .texts = q->texts.v, .n_texts = q->texts.n, .chunk = q->chunk, .samples = q->samples,
                                 .exact = q->exact, .imatrix = o->imatrix, .state = q->state,
                                 .run = { .device = o->device ? o->device : "cpu", .n_threads = (int)o->threads },
                                 .progress = progress_bar_begin(&bar) };
    bool ok = mix_find(&r, in, &target, &s, e);
    if (ok && !o->dry_run) {
        quantize_opts make = { .type = r.type, .imatrix = o->imatrix, .n_threads = (int)o->threads,
                               .progress = s.progress, .types = r.types, .mix = r.record,
                               .allow_nonfinite = o->allow_nonfinite, .judge = model_check };
        ok = encoder_of_device(&cmd_quantize, &make.encoder, o->device, e) && quantize_file(in, o->out, &make, e);
        encoder_close(make.encoder);
    }
    progress_bar_end(&bar);
    ok = ok && tell_of_mix(&r, o->dry_run ? NULL : &out, e);
    mix_free(&r);
    return ok;
}

static int run(const void *opts, const text_list *args)
{
    const quantize_options *o = opts;
    err e = { 0 };
    if (o->budget || o->max_kl) return mix_to_order(args->v[0], o, &e) ? 0 : cli_fail(&cmd_quantize, &e);
    if (!o->t.type) err_set(&e, ERR_USAGE, "option --type T is missing (or --budget, or --max-kl)");
    if (o->texts.n || o->samples || o->chunk || o->exact || o->state)
        err_set(&e, ERR_USAGE, "--text, --samples, --chunk, --exact and --state belong to --budget and --max-kl");
    if (e.kind != ERR_NONE) return cli_fail(&cmd_quantize, &e);
    type_choice t;
    const bool ok = type_choice_make(&t, o->t.type, &o->t, &e) && quantize(args->v[0], &o->t, &t, &e);
    type_choice_free(&t);
    return ok ? 0 : cli_fail(&cmd_quantize, &e);
}

const command cmd_quantize = {
    .name = "quantize",
    .summary = "a GGUF file becomes one of another type",
    .synopsis = "IN.gguf (-o OUT.gguf | --dry-run)\n"
                "       (--type T | --budget SIZE --text FILE | --max-kl X --text FILE)\n"
                "       [--imatrix FILE] [--effort N] [--calibrate TEXT]...",
    .about = "Each tensor gets the type that llama-quantize would give it, and the same bytes. An input that is\n"
             "already quantized is refused: what was lost cannot come back. --effort and --calibrate keep types and\n"
             "sizes and lose less; the metadata says so, and derive proves it.\n"
             "With --budget or --max-kl the model itself is run on the texts, one tensor quantized at a time, and\n"
             "each tensor gets the type that the KL so measured is best spent on. The choice is printed, and\n"
             "recorded in the file as hallmark.quantize.mix. It says first how long that takes; with --state a\n"
             "search that was killed goes on where it ended, to the same bytes.\n",
    .examples = "  hallmark quantize gemma-4-E2B-it-BF16.gguf -o gemma-4-E2B-it-Q4_K_M.gguf --type q4_k_m\n"
                "  hallmark quantize gemma-4-E2B-it-BF16.gguf --type q4_k_m --tensor-type 'blk\\.[0-3]\\..*=q8_0' "
                "--dry-run\n"
                "  hallmark quantize gemma-4-E2B-it-BF16.gguf -o mix.gguf --budget 4.5bpw --text calibration.txt\n"
                "  hallmark quantize gemma-4-E2B-it-BF16.gguf -o mix.gguf --budget 180MiB --text book.txt --state "
                "cells\n",
    .opts = options,
    .n_opts = N_ROWS(options),
    .options_bytes = sizeof(quantize_options),
    .min_args = 1,
    .max_args = 1,
    .run = run,
};
