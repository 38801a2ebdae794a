// hallmark lab: what other caches, and other files, cost a model.
#include "answer.h"
#include "../formats/file_map.h"
#include "../measure/lab.h"
#include "../measure/lab_budget.h"
#include "../measure/lab_report.h"
#include "../measure/state_folder.h"
#include "lab_record_opts.h"
#include "lab_table.h"
#include "progress_bar.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    text_list   kv, texts, reports, merge;
    int64_t     chunk, skip, ctx, samples, threads;
    const char *part, *state, *arith, *device, *budget, *record, *output;
    bool        json, quiet, layers;
} lab_options;

static const opt options[] = {
    { "--kv", NULL, OPT_PATHS, offsetof(lab_options, kv), "SPEC",
      "a cache to measure, as q8_0, k=q8_0,v=q4_0, q4_0:rot or kivi2", false, 0, 0, NULL },
    { "--text", NULL, OPT_PATHS, offsetof(lab_options, texts), "CATEGORY=FILE",
      "a text to run; a pattern stands for all its files as one text", false, 0, 0, NULL },
    { "--chunk", NULL, OPT_INT, offsetof(lab_options, chunk), "N",
      "tokens of a chunk, each run from an empty cache (default: 512)", false, 2, 1 << 26, NULL },
    { "--skip", NULL, OPT_INT, offsetof(lab_options, skip), "N",
      "positions at a chunk's beginning that are run and not compared (default: 0)", false, 0, 1 << 26, NULL },
    { "--ctx", NULL, OPT_INT, offsetof(lab_options, ctx), "N",
      "positions that a cache's bytes are counted for (default: 32768)", false, 1, INT64_C(1) << 40, NULL },
    { "--layers", NULL, OPT_FLAG, offsetof(lab_options, layers), NULL,
      "each cache for the keys, and for the values, of each layer of the base alone, too", false, 0, 0, NULL },
    { "--kv-budget", NULL, OPT_TEXT, offsetof(lab_options, budget), "SIZE",
      "choose for each layer among the caches, within 40% of the base or 1.5GiB@32768, and measure the choice",
      false, 0, 0, NULL },
    { "--samples", NULL, OPT_INT, offsetof(lab_options, samples), "N",
      "run about so many chunks, evenly spread over the texts (default: all; to choose for --kv-budget: 8)",
      false, 1, 1 << 26, NULL },
    { "--state", NULL, OPT_OUTPUT, offsetof(lab_options, state), "DIR",
      "keep what is measured there: a run that was killed goes on", false, 0, 0, NULL },
    { "--part", NULL, OPT_TEXT, offsetof(lab_options, part), "I/N",
      "run the I-th of N parts of the chunks, into --state; no report", false, 0, 0, NULL },
    { "--merge", NULL, OPT_PATHS, offsetof(lab_options, merge), "DIR",
      "join the folders of parts; arguments that follow are folders, too", false, 0, 0, NULL },
    { "--report", NULL, OPT_PATHS, offsetof(lab_options, reports), "FILE",
      "write a report; the suffix says which: .json, .md, .html", false, 0, 0, NULL },
    { "--record", NULL, OPT_PATH, offsetof(lab_options, record), "ART.gguf",
      "write what was measured into this file, which is the base, as hallmark.kv.measured", false, 0, 0, NULL },
    { "--output", "-o", OPT_OUTPUT, offsetof(lab_options, output), "OUT.gguf",
      "where --record puts the file; it may be the same", false, 0, 0, NULL },
    OPT_ARITH(lab_options),
    OPT_DEVICE(lab_options),
    OPT_THREADS(lab_options),
    OPT_ANSWER(lab_options),
};

// ---- the command line -----------------------------------------------------------------------------------------------

typedef struct { int64_t i, of; } part;         // "i/of"

static const part WHOLE = { 1, 1 };

static bool read_part(const char *text, part *p, err *e)
{
    long long i = 0, n = 0;
    char      rest = 0;
    *p = WHOLE;
    if (!text) return true;
    const bool digits = strspn(text, "0123456789/") == strlen(text) && strlen(text) < 20;
    if (!digits || sscanf(text, "%lld/%lld%c", &i, &n, &rest) != 2 || n < 1 || n > 1000000 || i < 1 || i > n)
        return err_set(e, ERR_USAGE, "option --part: found '%s', expected I/N, as 3/16", text);
    *p = (part){ i, n };
    return true;
}

// Options that say what to run have no place beside --merge: all of that stands in the folders.
static bool check_merge(const lab_options *o, err *e)
{
    const char *other = o->layers ? "--layers" : o->budget ? "--kv-budget" : o->samples ? "--samples" : o->kv.n ? "--kv"
        : o->texts.n ? "--text" : o->chunk ? "--chunk" : o->skip ? "--skip"
        : o->ctx ? "--ctx" : o->state ? "--state" : o->part ? "--part" : o->arith ? "--arith" : o->device ? "--device"
        : NULL;
    return !other || err_set(e, ERR_USAGE, "option %s: found it with --merge, which runs nothing", other);
}

static bool check_run(const lab_options *o, const text_list *args, err *e)
{
    if (args->n < 1)
        return err_set(e, ERR_USAGE, "an argument is missing: hallmark lab BASE.gguf --kv SPEC --text FILE");
    if (o->texts.n < 1) return err_set(e, ERR_USAGE, "option --text CATEGORY=FILE is missing");
    if (o->budget && args->n > 1)
        return err_set(e, ERR_USAGE, "option --kv-budget: found '%s' beside the base, expected one file", args->v[1]);
    if (o->budget && o->part)
        return err_set(e, ERR_USAGE, "option --part: found it with --kv-budget, which runs twice");
    if (!o->part) return true;
    if (!o->state) return err_set(e, ERR_USAGE, "option --part: expected --state DIR, where the part is kept");
    if (o->reports.n || o->json)
        return err_set(e, ERR_USAGE, "option --part: found %s, expected it with --merge, where all parts are",
                       o->json ? "--json" : "--report");
    return true;
}

// Before any work: reports that cannot be written, or that would take the place of what is read.
static bool check_reports(const lab_options *o, const text_list *args, destination *out, err *e)
{
    for (int i = 0; i < o->reports.n; i++) {
        const char *path = o->reports.v[i];
        if (!lab_report_suffix_ok(path))
            return err_set(e, ERR_USAGE,
                           "option --report: found '%s', expected a name that ends in .json, .md or .html", path);
        if (!output_is_no_input(path, NULL, args, e)) return false;
        for (int t = 0; t < o->texts.n; t++)
            if (lab_text_names(o->texts.v[t], path))
                return err_set(e, ERR_USAGE, "option --report: found '%s', which is a text of '%s'", path,
                               o->texts.v[t]);
        if (!destination_file(&out[i], path, e)) return false;
        for (int k = 0; k < i; k++)
            if (strcmp(path, o->reports.v[k]) == 0 || same_file(path, o->reports.v[k]))
                return err_set(e, ERR_USAGE, "option --report: found '%s' and '%s', which are one file",
                               o->reports.v[k], path);
    }
    return true;
}

// ---- running --------------------------------------------------------------------------------------------------------

static lab_plan_opts plan_opts(const lab_options *o, const text_list *args)
{
    return (lab_plan_opts){ .base = args->v[0], .artifacts = args->v + 1, .n_artifacts = args->n - 1, .kv = o->kv.v,
                            .n_kv = o->kv.n, .texts = o->texts.v, .n_texts = o->texts.n, .chunk = o->chunk,
                            .skip = o->skip, .context = o->ctx, .samples = o->samples, .arith = o->arith,
                            .layers = o->layers, .n_threads = (int)o->threads };
}

// folder: NULL, or what is under --state.
static bool run_plan(const lab_options *o, const lab_plan *p, const char *folder, part mine, lab_cells *c, err *e)
{
    progress_bar bar;
    if (o->record && !lab_record_is_of(o->record, p, (int)o->threads, e)) return false;
    const lab_run_opts ro = { .state = folder, .part = mine.i, .parts = mine.of, .device = o->device,
                              .n_threads = (int)o->threads, .progress = progress_bar_begin(&bar) };
    const bool ok = lab_run(c, p, &ro, e);
    progress_bar_end(&bar);
    return ok;
}

static bool measure(const lab_options *o, const text_list *args, lab_plan *p, lab_cells *c, err *e)
{
    part mine;
    const lab_plan_opts po = plan_opts(o, args);
    return read_part(o->part, &mine, e) && lab_plan_open(p, &po, e) && run_plan(o, p, o->state, mine, c, e);
}

// ---- to order -------------------------------------------------------------------------------------------------------

enum { BUDGET_SAMPLES = 8 };

typedef struct {
    const lab_options *o;
    const text_list   *args;
    const char       **kv;          // what is chosen from: --kv, or types of falling size
    int                n_kv;
    char               chosen[KV_TEXT];
    int64_t            bytes, context;
    double             expected;
} order;

// A part of a layer is chosen by itself: positions that are whole on both sides have no place in it.
static bool check_order(const order *r, err *e)
{
    for (int i = 0; i < r->n_kv; i++) {
        kv_spec s;
        if (!kv_spec_parse(&s, r->kv[i], e)) return false;
        for (int k = 0; k < s.n; k++)
            if (s.rules[k].choice.sink || s.rules[k].choice.recent)
                return err_set(e, ERR_USAGE,
                               "option --kv-budget: found '%s', expected caches without +sink and +recent", r->kv[i]);
    }
    return true;
}

// What each layer's keys, and values, lose alone; and the choice.
static bool choose(order *r, const lab_budget *b, err *e)
{
    lab_plan   p = { 0 };
    lab_cells  c = { 0 };
    lab_result res = { 0 };
    kv_spec    spec;
    char      *folder = NULL;
    lab_plan_opts po = plan_opts(r->o, r->args);
    po.kv = r->kv;
    po.n_kv = r->n_kv;
    po.layers_only = true;
    po.context = r->context;
    if (!po.samples) po.samples = BUDGET_SAMPLES;
    bool ok = state_folder_below(r->o->state, "layers", &folder, e) && lab_plan_open(&p, &po, e);
    if (ok) r->bytes = lab_budget_bytes(b, &p);
    ok = ok && lab_budget_check(&p, r->bytes, e);       // before it is run
    ok = ok && run_plan(r->o, &p, folder, WHOLE, &c, e) && lab_result_of(&res, &p, &c, (int)r->o->threads, e);
    ok = ok && lab_budget_choose(&spec, &r->expected, &res, r->bytes, e);
    if (ok && !kv_spec_text(&spec, r->chosen)) ok = err_set(e, ERR_USAGE, "option --kv-budget: the choice is too long");
    lab_result_free(&res);
    lab_cells_free(&c);
    lab_plan_free(&p);
    free(folder);
    return ok;
}

// The choice, beside every cache of one kind that it was chosen from.
static bool measure_choice(const order *r, lab_plan *p, lab_cells *c, err *e)
{
    lab_plan_opts po = plan_opts(r->o, r->args);
    char *folder = NULL;
    const char **kv = malloc(((size_t)r->n_kv + 1) * sizeof *kv);
    if (!kv) return err_nomem(e, "caches", (size_t)r->n_kv * sizeof *kv);
    kv[po.n_kv = 0] = r->chosen;
    po.n_kv++;
    for (int i = 0; i < r->n_kv; i++) {
        kv_spec s;
        char    text[KV_TEXT];
        if (kv_spec_parse(&s, r->kv[i], e) && kv_spec_text(&s, text) && strcmp(text, r->chosen) != 0)
            kv[po.n_kv++] = r->kv[i];
    }
    po.kv = kv;
    po.context = r->context;
    po.budget = r->bytes;
    const bool ok = state_folder_below(r->o->state, "choice", &folder, e) && lab_plan_open(p, &po, e)
        && run_plan(r->o, p, folder, WHOLE, c, e);
    free(folder);
    free(kv);
    return ok;
}

static bool measure_order(const lab_options *o, const text_list *args, lab_plan *p, lab_cells *c, err *e)
{
    static const char *types[] = { "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "kivi2" };
    lab_budget b;
    // The last keeps 128 positions whole: in short chunks there is nothing to see of it.
    const int n_types = o->chunk && o->chunk < 512 ? N_ROWS(types) - 1 : N_ROWS(types);
    order r = { .o = o, .args = args, .kv = o->kv.n ? o->kv.v : types, .n_kv = o->kv.n ? o->kv.n : n_types,
                .context = o->ctx };
    if (!lab_budget_parse(&b, &r.context, o->budget, e) || !check_order(&r, e)) return false;
    if (!choose(&r, &b, e)) return false;
    cli_note(&cmd_lab, "chosen within %lld bytes, for a KL of about %.3g: %s", (long long)r.bytes, r.expected,
             r.chosen);
    return measure_choice(&r, p, c, e);
}

static bool merge(const lab_options *o, const text_list *args, lab_plan *p, lab_cells *c, err *e)
{
    const int n = o->merge.n + args->n;
    const char **folders = malloc((size_t)n * sizeof *folders);
    if (!folders) return err_nomem(e, "folders", (size_t)n * sizeof *folders);
    for (int i = 0; i < n; i++) folders[i] = i < o->merge.n ? o->merge.v[i] : args->v[i - o->merge.n];
    const bool ok = check_merge(o, e) && lab_merge(c, p, folders, n, e);
    free(folders);
    return ok;
}

static void print_order(const lab_result *r)
{
    const lab_plan *p = r->plan;
    const int rival = lab_budget_rival(r);
    printf("Made to order, within %lld bytes for %lld positions: --kv '%s'\n", (long long)p->budget,
           (long long)p->context, p->candidates[0].kv);
    if (rival < 0) puts("No cache of one kind that was measured is as small.");
    else           printf("The best of one kind within them: %s, mean KL %.3g beside %.3g\n", p->candidates[rival].kv,
                          r->measured[rival].all.kl_mean.v, r->measured[0].all.kl_mean.v);
}

// out: the reports', then that of --record.
static bool report(const lab_options *o, const lab_plan *p, const lab_cells *c, const destination *out, err *e)
{
    lab_result r;
    bool ok = lab_result_of(&r, p, c, (int)o->threads, e);
    char *text = ok && o->json ? lab_report_json(&r) : NULL;
    if (ok && o->json) ok = text || err_nomem(e, "the report", 0);
    if (text) fputs(text, answer_document());
    if (ok && !o->json) ok = lab_table_print(&r, stdout) || err_nomem(e, "the table", 0);
    if (ok && !o->json && p->budget > 0) print_order(&r);
    for (int i = 0; ok && i < o->reports.n; i++) {
        ok = lab_report_write(&r, o->reports.v[i], e);
        if (ok) destination_note_replaced(&cmd_lab, &out[i]);
    }
    ok = ok && (!o->record || lab_record_put(o->record, &out[o->reports.n], &r, (int)o->threads, o->json, e));
    free(text);
    lab_result_free(&r);
    return ok;
}

static bool run_lab(const lab_options *o, const text_list *args, destination *out, err *e)
{
    lab_plan  p = { 0 };
    lab_cells c = { 0 };
    const bool merges = o->merge.n > 0;
    bool ok = merges || check_run(o, args, e);
    ok = ok && check_reports(o, args, out, e);
    ok = ok && lab_record_place(&out[o->reports.n], &(lab_record_opts){ o->record, o->output, o->part, args, &o->texts,
                                                                        &o->reports }, e);
    ok = ok && (merges ? merge(o, args, &p, &c, e)
                : o->budget ? measure_order(o, args, &p, &c, e) : measure(o, args, &p, &c, e));
    if (ok && !o->part) ok = report(o, &p, &c, out, e);
    lab_cells_free(&c);
    lab_plan_free(&p);
    return ok;
}

static int run(const void *opts, const text_list *args)
{
    const lab_options *o = opts;
    err e = { 0 };
    destination *out = calloc((size_t)o->reports.n + 1, sizeof *out);
    const bool ok = out ? run_lab(o, args, out, &e) : err_nomem(&e, "the reports", (size_t)o->reports.n * sizeof *out);
    free(out);
    return ok ? 0 : cli_fail(&cmd_lab, &e);
}

const command cmd_lab = {
    .name = "lab",
    .summary = "measure what quantized caches, and quantized weights, cost a model",
    .synopsis = "BASE.gguf [ART.gguf...] --kv SPEC... --text CATEGORY=FILE... [--chunk N] [--report FILE]\n"
                "       hallmark lab --merge DIR... [--report FILE]",
    .about = "Runs texts through the base, with the cache that it requires, and through each candidate: every file\n"
             "with every cache. Each compared position gives the divergence of the candidate's distribution from\n"
             "the base's, over the whole vocabulary (KL, nats), and whether both have the same best id (top-1;\n"
             "top-5: the share of the base's five best ids that are among the candidate's). Figures are given over\n"
             "all, by category of text and by position, with 95 % intervals from a bootstrap over chunks, and with\n"
             "the worst places.\n"
             "--kv-budget runs each layer's keys and values alone in each of the caches, chooses the cheapest sum\n"
             "within that memory, measures the choice beside the caches it was chosen from, and prints it as a SPEC\n"
             "for run, verify and lab. --record writes the figures of the base's caches into the file itself, where\n"
             "inspect and verify --kv read them. --state and --part let a long run be killed, spread over machines,\n"
             "and joined by --merge: the same bytes.\n",
    .examples = "  hallmark lab base-BF16.gguf --kv q8_0 --kv k=q8_0,v=q4_0:rot --text coding=src/*.py "
                "--text book=book.txt\n"
                "  hallmark lab base-BF16.gguf base-Q4_K_M.gguf --kv bf16 --kv q8_0 --text chat=chat.txt --report "
                "lab.html\n"
                "  hallmark lab base-BF16.gguf --kv q4_0 --text book.txt --chunk 32768 --part 3/16 --state part3\n"
                "  hallmark lab base-BF16.gguf --kv q8_0 --kv q4_0 --text chat=chat.txt --record base-BF16.gguf -o "
                "measured-BF16.gguf\n",
    .opts = options,
    .n_opts = N_ROWS(options),
    .options_bytes = sizeof(lab_options),
    .min_args = 0,
    .max_args = -1,
    .run = run,
};
