// hallmark verify: run an artifact against what Transformers said.
#include "answer.h"
#include "../runtime/kv_spec.h"
#include "../formats/file_map.h"
#include "../formats/json.h"
#include "../verify/derivation.h"
#include "../verify/match.h"
#include "fixture_hint.h"
#include "progress_bar.h"
#include "report_table.h"
#include "text_out.h"
#include "verify_url.h"
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

typedef struct {
    text_list   fixtures, reports, calibrate;
    int64_t     tokens, samples, threads;
    const char *from, *revision, *imatrix, *kv, *arith, *device, *gate;
    bool        json, quiet;
    url_options remote;
} verify_options;

static const opt options[] = {
    { "--fixture", NULL, OPT_PATHS, offsetof(verify_options, fixtures), "FIX",
      "what Transformers said, made by hf_fixture.py", true, 0, 0, NULL },
    { "--tokens", NULL, OPT_INT, offsetof(verify_options, tokens), "N",
      "length of the free run (default: 30)", false, 1, 1 << 20, NULL },
    { "--samples", NULL, OPT_INT, offsetof(verify_options, samples), "N",
      "ask about so many cases of each fixture, evenly spread, for a first look: no pass (default: all)",
      false, 1, 1 << 26, NULL },
    { "--from", NULL, OPT_PATH, offsetof(verify_options, from), "HF|FILE.gguf",
      "the source: every tensor must be what it gives, as 'derive' asks", false, 0, 0, NULL },
    OPT_REVISION(verify_options),
    { "--imatrix", NULL, OPT_PATH, offsetof(verify_options, imatrix), "FILE",
      "with --from: the importance matrix that the file was made with", false, 0, 0, NULL },
    { "--calibrate", NULL, OPT_PATHS, offsetof(verify_options, calibrate), "TEXT",
      "with --from: a text that the file was calibrated with, in the same order", false, 0, 0, NULL },
    OPT_KV(verify_options),
    OPT_ARITH(verify_options),
    OPT_DEVICE(verify_options),
    { "--report", NULL, OPT_PATHS, offsetof(verify_options, reports), "FILE",
      "write a report; the suffix says which: .json, .md, .html, .xml (JUnit)", false, 0, 0, NULL },
    { "--gate", NULL, OPT_PATH, offsetof(verify_options, gate), "FILE",
      "limits other than the built-in ones, as JSON", false, 0, 0, NULL },
    OPT_THREADS(verify_options),
    OPT_URL_ROWS(verify_options, remote),
    OPT_ANSWER(verify_options),
};

// Before any work: a report that cannot be written, by its suffix or its place, should not cost a run to find out; nor
// may one take the place of what is read, or of another. out: [reports->n].
static bool check_reports(const text_list *artifacts, const verify_options *o, destination *out, err *e)
{
    const text_list *reports = &o->reports;
    for (int i = 0; i < reports->n; i++) {
        if (!verify_report_suffix_ok(reports->v[i]))
            return err_set(e, ERR_USAGE,
                           "option --report: found '%s', expected a name that ends in " VERIFY_REPORT_SUFFIXES,
                           reports->v[i]);
        if (!output_is_no_input(reports->v[i], NULL, artifacts, e)
            || !output_is_no_input(reports->v[i], o->gate, &o->fixtures, e)) return false;
        if (!destination_file(&out[i], reports->v[i], e)) return false;
        for (int k = 0; k < i; k++)
            if (strcmp(reports->v[i], reports->v[k]) == 0 || same_file(reports->v[i], reports->v[k]))
                return err_set(e, ERR_USAGE, "option --report: found '%s' and '%s', which are one file", reports->v[k],
                               reports->v[i]);
    }
    return true;
}

// ---- one file after the other ---------------------------------------------------------------------------------------

typedef struct {                // of one file, or of a server
    const char   *path;         // or its address
    verify_report report;       // where e says nothing
    err           e;
} answered;

typedef struct {
    const verify_options *o;
    const char   *from;         // where --from's files are; NULL: it was not given
    fixture_refs  refs;         // of --fixture, where there are several files to choose for
    int           n;
    answered     *v;            // [n]
} verification;

// Of several files each has fixtures of its own: those that fit it. None does: all, and the report says why not.
static int fitting(const verification *x, const char *path, const char **out, err *e)
{
    artifact_ref a;
    int n = 0;
    if (x->n == 1 || !artifact_ref_read(&a, path, e)) return 0;
    if (x->o->arith) snprintf(a.arith, sizeof a.arith, "%s", x->o->arith);
    for (int i = 0; i < x->refs.n; i++) {
        if (fixture_match(&x->refs.v[i], &a) == MATCH_NONE) continue;
        x->refs.v[i].used = true;
        out[n++] = x->refs.v[i].path;
    }
    return n;
}

static void verify_one(const verification *x, answered *a, progress *p)
{
    const verify_options *o = x->o;
    derivation_opts d = { .from = x->from, .imatrix = o->imatrix, .calibrate = o->calibrate.v,
                          .n_calibrate = o->calibrate.n, .n_threads = (int)o->threads, .progress = p };
    const verify_opts v = {
        .tokens = o->tokens, .samples = o->samples, .gate_path = o->gate, .derive = x->from ? &d : NULL, .progress = p,
        .run = { .device = o->device, .kv = o->kv, .arith = o->arith, .n_threads = (int)o->threads },
    };
    const char **fits = calloc((size_t)o->fixtures.n + 1, sizeof *fits);
    const int n = fits ? fitting(x, a->path, fits, &a->e) : 0;
    if (!fits) err_nomem(&a->e, "fixtures", (size_t)o->fixtures.n * sizeof *fits);
    if (a->e.kind == ERR_NONE)
        verify_artifact(&a->report, a->path, n ? fits : o->fixtures.v, n ? n : o->fixtures.n, &v, &a->e);
    free(fits);
}

static void ask_server(const verification *x, answered *a, progress *p)
{
    const url_asked asked = { .tokens = x->o->tokens, .samples = x->o->samples, .gate_path = x->o->gate,
                              .progress = p };
    verify_url(&a->report, &x->o->remote, &x->o->fixtures, &asked, &a->e);
}

static bool verify_all(verification *x, err *e)
{
    progress_bar bar;
    bool ok = true;
    for (int i = 0; ok && x->n > 1 && i < x->o->fixtures.n; i++)
        ok = fixture_refs_add(&x->refs, x->o->fixtures.v[i], true, e);
    progress *p = progress_bar_begin(&bar);
    if (x->o->remote.url) ask_server(x, &x->v[0], p);
    else for (int i = 0; ok && i < x->n; i++) verify_one(x, &x->v[i], p);
    progress_bar_end(&bar);
    for (int i = 0; ok && i < x->refs.n; i++)
        if (!x->refs.v[i].used) cli_note(&cmd_verify, "%s fits none of the files", x->refs.v[i].path);
    return ok;
}

// ---- what it comes to -----------------------------------------------------------------------------------------------

static int status_of(const answered *a)
{
    if (a->e.kind != ERR_NONE) return (int)a->e.kind;
    return a->report.passed ? 0 : ERR_VERDICT;
}

static int worst_of(const verification *x)
{
    int worst = 0;
    for (int i = 0; i < x->n; i++)
        if (status_of(&x->v[i]) > worst) worst = status_of(&x->v[i]);
    return worst;
}

// "error" where there is no report of one.
static const char *worst_verdict(const verification *x)
{
    const char *worst = "pass";
    for (int i = 0; i < x->n; i++) {
        if (x->v[i].e.kind != ERR_NONE) return "error";
        worst = verify_worse(worst, verify_verdict(&x->v[i].report));
    }
    return worst;
}

static cJSON *answer_of(const answered *a)
{
    if (a->e.kind == ERR_NONE) return verify_report_json(&a->report);
    cJSON *j = cJSON_CreateObject(), *error = answer_error_json(&a->e);
    cJSON_AddStringToObject(j, "artifact", a->path);
    if (error) cJSON_AddItemToObject(j, "error", error);
    return j;
}

// One file's report as it is; of several {"verdict": the worst, "artifacts": [...]}.
static bool print_json(const verification *x, err *e)
{
    cJSON *j = x->n == 1 ? answer_of(&x->v[0]) : cJSON_CreateObject();
    cJSON *list = x->n == 1 ? NULL : cJSON_AddArrayToObject(j, "artifacts");
    for (int i = 0; list && i < x->n; i++) cJSON_AddItemToArray(list, answer_of(&x->v[i]));
    if (list) cJSON_AddStringToObject(j, "verdict", worst_verdict(x));
    char *text = j ? json_print(j) : NULL;
    if (text) fprintf(answer_document(), "%s\n", text);
    free(text);
    cJSON_Delete(j);
    return text || err_nomem(e, "the report", 0);
}

// The reports that there are, one after the other, and of which file each is. Freed by the caller.
static verify_report *gather(const verification *x, int *n, int64_t **bytes)
{
    struct stat st;
    verify_report *all = calloc((size_t)x->n, sizeof *all);
    *bytes = calloc((size_t)x->n, sizeof **bytes);
    *n = 0;
    for (int i = 0; all && *bytes && i < x->n; i++) {
        if (x->v[i].e.kind != ERR_NONE) continue;
        (*bytes)[*n] = stat(x->v[i].path, &st) == 0 ? st.st_size : 0;
        all[(*n)++] = x->v[i].report;               // borrows what the report owns
    }
    if (all && *bytes) return all;
    free(all);
    return NULL;
}

static bool write_reports(const verification *x, const verify_report *all, int n, const destination *out, err *e)
{
    const text_list *reports = &x->o->reports;
    const verify_report **each = calloc((size_t)n + 1, sizeof *each);
    bool ok = each || err_nomem(e, "the reports", (size_t)n * sizeof *each);
    for (int i = 0; ok && i < n; i++) each[i] = &all[i];
    for (int i = 0; ok && n > 0 && i < reports->n; i++) {
        ok = verify_report_write(each, n, reports->v[i], e);
        if (ok) destination_note_replaced(&cmd_verify, &out[i]);
    }
    free(each);
    return ok;
}

// It was held to the source alone, and its own weights are not the source's.
static bool drifts_alone(const verify_report *r)
{
    for (int64_t i = 0; i < r->n_fixtures; i++)
        if (r->fixtures[i].kind != CHECK_DRIFT) return false;
    return true;
}

// Where more could be asked of a file than was, or it does not hold to what was asked.
static void hint(verification *x)
{
    text_list of = { .v = x->o->remote.url ? NULL : calloc((size_t)x->n, sizeof *of.v) };
    for (int i = 0; of.v && i < x->n; i++) {
        const answered *a = &x->v[i];
        const bool open = a->e.kind == ERR_INPUT || (a->e.kind == ERR_NONE && !a->report.passed);
        if (open || (a->e.kind == ERR_NONE && drifts_alone(&a->report))) of.v[of.n++] = a->path;
    }
    fixture_hint(&cmd_verify, &x->refs, &of, &x->o->fixtures);
    free(of.v);
}

// An error of one file beside others is told at once, and stands in the document.
static bool tell(const verification *x, const destination *out, err *e)
{
    int n;
    int64_t *bytes;
    if (x->n == 1 && x->v[0].e.kind != ERR_NONE) return err_set(e, x->v[0].e.kind, "%s", x->v[0].e.msg);
    verify_report *all = gather(x, &n, &bytes);
    bool ok = all || err_nomem(e, "the reports", (size_t)x->n * sizeof *all);
    if (ok && x->o->json) ok = print_json(x, e);
    else if (ok && n > 0) ok = report_table_print(all, bytes, n) || err_nomem(e, "the table", 0);
    for (int i = 0; ok && i < x->n; i++)
        if (x->v[i].e.kind != ERR_NONE) cli_tell(&cmd_verify, &x->v[i].e);
    ok = ok && write_reports(x, all, n, out, e);
    free(all);
    free(bytes);
    return ok;
}

// ---- the command ----------------------------------------------------------------------------------------------------

// A server is what runs: nothing of how this program would run a file applies.
static bool check_url(const verify_options *o, const text_list *args, err *e)
{
    if (!o->remote.url && args->n < 1)
        return err_set(e, ERR_USAGE,
                       "an argument is missing: hallmark verify ART.gguf --fixture FIX, or --url and a running server");
    if (!o->remote.url) return url_options_alone(&o->remote, e);
    const char *with = args->n > 0 ? args->v[0] : o->from ? "--from" : o->imatrix ? "--imatrix"
                     : o->calibrate.n ? "--calibrate" : o->kv ? "--kv" : o->arith ? "--arith" : o->device ? "--device"
                     : o->threads ? "--threads" : NULL;
    return !with || err_set(e, ERR_USAGE, "option --url: found it with %s, expected a server alone", with);
}

static bool check_options(const verify_options *o, const text_list *args, err *e)
{
    kv_spec kv;
    if (!check_url(o, args, e)) return false;
    if (o->kv && !kv_spec_parse(&kv, o->kv, e)) return false;
    if (o->from || !(o->imatrix || o->calibrate.n || o->revision)) return true;
    const char *name = o->imatrix ? "--imatrix" : o->calibrate.n ? "--calibrate" : "--revision";
    return err_set(e, ERR_USAGE, "option %s: found it without --from, expected a source that it belongs to", name);
}

static int verify(const text_list *args, const verify_options *o, destination *out, err *e)
{
    const int    n = o->remote.url ? 1 : args->n;
    verification x = { .o = o, .n = n, .v = calloc((size_t)n, sizeof *x.v) };
    char *from = NULL;
    bool ok = x.v || err_nomem(e, "the reports", (size_t)n * sizeof *x.v);
    for (int i = 0; ok && i < n; i++) x.v[i].path = o->remote.url ? o->remote.url : args->v[i];
    ok = ok && (!o->from || (from = hf_source(&cmd_verify, o->from, o->revision, e)) != NULL);
    x.from = from;
    ok = ok && verify_all(&x, e);
    const bool ran = ok;
    ok = ok && tell(&x, out, e);
    const int status = ok ? worst_of(&x) : cli_fail(&cmd_verify, e);
    if (ran) hint(&x);
    for (int i = 0; x.v && i < x.n; i++)
        if (x.v[i].e.kind == ERR_NONE) verify_report_free(&x.v[i].report);
    fixture_refs_free(&x.refs);
    free(x.v);
    free(from);
    return status;
}

static int run(const void *opts, const text_list *args)
{
    const verify_options *o = opts;
    err e = { 0 };
    if (!check_options(o, args, &e)) return cli_fail(&cmd_verify, &e);
    destination *out = calloc((size_t)o->reports.n + 1, sizeof *out);
    if (!out) err_nomem(&e, "the reports", (size_t)o->reports.n * sizeof *out);
    const bool ok = out && check_reports(args, o, out, &e);
    const int status = ok ? verify(args, o, out, &e) : cli_fail(&cmd_verify, &e);
    free(out);
    return status;
}

const command cmd_verify = {
    .name = "verify",
    .summary = "run an artifact, token for token, against what Transformers said",
    .synopsis = "ART.gguf... --fixture FIX... [--tokens 30] [--kv SPEC] [--arith A] [--device D] [--from HF]\n"
                "       [--report FILE]",
    .about = "Runs the artifact on the fixture's prompts and compares: the tokenizer's ids, the greedy\n"
             "continuation, the best id at every step of the fixture's own text, and the distance of the\n"
             "distributions. The file is never changed.\n"
             "With --from, every tensor is compared with what the source gives, too: drift from the source's\n"
             "fixture alone cannot see a single damaged tensor of quantized weights.\n"
             "With --url a running server is asked instead: llama.cpp's, vLLM, SGLang or Ollama. Its answers are\n"
             "held to the fixture's own noise and to what float32 costs in another runtime, or with --drift to the\n"
             "budget of a type. A key in HALLMARK_API_KEY is sent over https, or to this machine, and shown\n"
             "nowhere.\n"
             "With --samples a part of each fixture's cases is asked: a step or a case that differs there fails.\n"
             "What is judged over all cases together (drift, mean KL, the number of ties) is left open, and where\n"
             "nothing fails the verdict is inconclusive, never a pass.\n"
             "Several files are each held to the fixtures that fit them; the exit status is that of the worst.\n"
             "Exit status 0: everything holds. 1: something does not, and the case, the step and the first layer\n"
             "are named; or nothing is wrong and the fixture cannot decide (inconclusive), and what would do is\n"
             "said. 3: it is a fixture of another source, of other weights, or needs --arith.\n",
    .examples = "  hallmark verify gemma-BF16.gguf --fixture gemma.bfloat16.json.gz\n"
                "  hallmark verify gemma-F32.gguf --fixture gemma.float32.json.gz --report report.html --report "
                "junit.xml\n"
                "  hallmark verify gemma-F32.gguf --fixture gemma.float32.json.gz --kv q8_0      what another cache "
                "would cost\n"
                "  hallmark verify --url http://localhost:8080 --fixture gemma.float32.json.gz      what a server "
                "answers\n",
    .opts = options,
    .n_opts = N_ROWS(options),
    .options_bytes = sizeof(verify_options),
    .min_args = 0,
    .max_args = -1,
    .run = run,
};
