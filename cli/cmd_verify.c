// hallmark verify: run an artifact against what Transformers said.
#include "cli.h"
#include "../runtime/kv_spec.h"
#include "../formats/file_map.h"
#include "../formats/json.h"
#include "../verify/derivation.h"
#include "progress_bar.h"
#include "report_table.h"
#include "text_out.h"
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef struct {
    text_list   fixtures, reports, calibrate;
    int64_t     tokens, threads;
    const char *from, *revision, *imatrix, *kv, *arith, *device, *gate;
    bool        json;
} verify_options;

static const opt options[] = {
    { "--fixture", NULL, OPT_PATHS, offsetof(verify_options, fixtures), "FIX", "what Transformers said, made by hf_fixture.py", true, 0, 0, NULL },
    { "--tokens", NULL, OPT_INT, offsetof(verify_options, tokens), "N", "length of the free run (default: 30)", false, 1, 1 << 20, NULL },
    { "--from", NULL, OPT_PATH, offsetof(verify_options, from), "HF|FILE.gguf", "the source: every tensor must be what it gives, as 'derive' asks", false, 0, 0, NULL },
    OPT_REVISION(verify_options),
    { "--imatrix", NULL, OPT_PATH, offsetof(verify_options, imatrix), "FILE", "with --from: the importance matrix that the file was made with", false, 0, 0, NULL },
    { "--calibrate", NULL, OPT_PATHS, offsetof(verify_options, calibrate), "TEXT", "with --from: a text that the file was calibrated with, in the same order", false, 0, 0, NULL },
    OPT_KV(verify_options),
    OPT_ARITH(verify_options),
    OPT_DEVICE(verify_options),
    { "--report", NULL, OPT_PATHS, offsetof(verify_options, reports), "FILE", "write a report; the suffix says which: .json, .md, .html, .xml (JUnit)", false, 0, 0, NULL },
    { "--gate", NULL, OPT_PATH, offsetof(verify_options, gate), "FILE", "limits other than the built-in ones, as JSON", false, 0, 0, NULL },
    OPT_THREADS(verify_options),
    OPT_JSON(verify_options),
};

static bool print_result(const verify_report *r, const char *path, bool json, err *e)
{
    struct stat st;
    int64_t bytes = stat(path, &st) == 0 ? st.st_size : 0;
    if (!json) return report_table_print(r, &bytes, 1) || err_nomem(e, "the table", 0);
    cJSON *j = verify_report_json(r);
    char *text = j ? json_print(j) : NULL;
    if (text) puts(text);
    else err_nomem(e, "the report", 0);
    free(text);
    cJSON_Delete(j);
    return text != NULL;
}

// Before any work: a report that cannot be written, by its suffix or its place, should not cost a run to find out; nor
// may one take the place of what is read, or of another. out: [reports->n].
static bool check_reports(const char *artifact, const verify_options *o, destination *out, err *e)
{
    const text_list *reports = &o->reports;
    for (int i = 0; i < reports->n; i++) {
        if (!verify_report_suffix_ok(reports->v[i]))
            return err_set(e, ERR_USAGE,
                           "option --report: found '%s', expected a name that ends in " VERIFY_REPORT_SUFFIXES,
                           reports->v[i]);
        if (!output_is_no_input(reports->v[i], artifact, &o->fixtures, e)
            || !output_is_no_input(reports->v[i], o->gate, NULL, e)) return false;
        if (!destination_file(&out[i], reports->v[i], e)) return false;
        for (int k = 0; k < i; k++)
            if (strcmp(reports->v[i], reports->v[k]) == 0 || same_file(reports->v[i], reports->v[k]))
                return err_set(e, ERR_USAGE, "option --report: found '%s' and '%s', which are one file", reports->v[k],
                               reports->v[i]);
    }
    return true;
}

static bool write_reports(const verify_report *r, const text_list *reports, const destination *out, err *e)
{
    for (int i = 0; i < reports->n; i++) {
        if (!verify_report_write(&r, 1, reports->v[i], e)) return false;
        destination_note_replaced(&cmd_verify, &out[i]);
    }
    return true;
}

static int verify(const char *path, const verify_options *o, destination *out, err *e)
{
    verify_report r = { 0 };
    progress_bar bar;
    if (!o->from && (o->imatrix || o->calibrate.n || o->revision)) {
        const char *name = o->imatrix ? "--imatrix" : o->calibrate.n ? "--calibrate" : "--revision";
        err_set(e, ERR_USAGE, "option %s: found it without --from, expected a source that it belongs to", name);
        return cli_fail(&cmd_verify, e);
    }
    if (!check_reports(path, o, out, e)) return cli_fail(&cmd_verify, e);
    char *from = NULL;
    if (o->from && !(from = hf_source(&cmd_verify, o->from, o->revision, e))) return cli_fail(&cmd_verify, e);
    derivation_opts d = { .from = from, .imatrix = o->imatrix, .calibrate = o->calibrate.v,
                          .n_calibrate = o->calibrate.n, .n_threads = (int)o->threads };
    d.progress = progress_bar_begin(&bar);
    verify_opts v = {
        .tokens = o->tokens, .gate_path = o->gate, .derive = from ? &d : NULL, .progress = d.progress,
        .run = { .device = o->device, .kv = o->kv, .arith = o->arith, .n_threads = (int)o->threads },
    };
    bool ok = verify_artifact(&r, path, o->fixtures.v, o->fixtures.n, &v, e);
    progress_bar_end(&bar);
    free(from);
    ok = ok && print_result(&r, path, o->json, e) && write_reports(&r, &o->reports, out, e);
    int status = !ok ? cli_fail(&cmd_verify, e) : r.passed ? 0 : ERR_VERDICT;
    verify_report_free(&r);
    return status;
}

static int run(const void *opts, const text_list *args)
{
    const verify_options *o = opts;
    err e = { 0 };
    kv_spec kv;
    if (o->kv && !kv_spec_parse(&kv, o->kv, &e)) return cli_fail(&cmd_verify, &e);
    destination *out = calloc((size_t)o->reports.n + 1, sizeof *out);
    if (!out) {
        err_nomem(&e, "the reports", (size_t)o->reports.n * sizeof *out);
        return cli_fail(&cmd_verify, &e);
    }
    int status = verify(args->v[0], o, out, &e);
    free(out);
    return status;
}

const command cmd_verify = {
    .name = "verify",
    .summary = "run an artifact, token for token, against what Transformers said",
    .synopsis = "ART.gguf --fixture FIX [--tokens 30] [--kv SPEC] [--arith A] [--device D] [--from HF] [--report FILE]",
    .about = "Runs the artifact on the fixture's prompts and compares: the tokenizer's ids, the greedy continuation, the best id\n"
             "at every step of the fixture's own text, and the distance of the distributions. The file is never changed.\n"
             "With --from, every tensor is compared with what the source gives, too: drift from the source's fixture alone cannot see\n"
             "a single damaged tensor of quantized weights.\n"
             "Exit status 0: everything holds. 1: something does not, and the case, the step and the first layer are named; or nothing\n"
             "is wrong and the fixture cannot decide (inconclusive), and what would do is said. 3: it is a fixture of another source,\n"
             "of other weights, or needs --arith.\n",
    .examples = "  hallmark verify gemma-BF16.gguf --fixture gemma.bfloat16.json.gz\n"
                "  hallmark verify gemma-F32.gguf --fixture gemma.float32.json.gz --report report.html --report junit.xml\n"
                "  hallmark verify gemma-F32.gguf --fixture gemma.float32.json.gz --kv q8_0      what another cache would cost\n",
    .opts = options, .n_opts = N_ROWS(options), .options_bytes = sizeof(verify_options),
    .min_args = 1, .max_args = 1, .run = run,
};
