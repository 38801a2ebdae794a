// release: see release.h. The order of a release reads top to bottom in release_checkpoint.
#define _GNU_SOURCE
#include "release.h"
#include "../verify/derivation.h"
#include "../verify/match.h"
#include "../verify/record.h"
#include "chat_source.h"
#include "hub_files.h"
#include "hub_publish.h"
#include "release_describe.h"
#include "release_dir.h"
#include "release_lab.h"
#include "release_report.h"
#include "release_sign.h"
#include "../verify/gate.h"
#include "../convert/convert.h"
#include "../formats/checked.h"
#include "../formats/claims.h"
#include "../formats/file_map.h"
#include "../formats/hub_cache.h"
#include "../formats/outfile.h"
#include "../formats/source.h"
#include "../formats/text.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const file_type DEFAULT_TYPES[] = { FT_BF16, FT_F32, FT_Q4_K_M };
static const char *const SUFFIXES[] = { "", ".failed", ".unverified" };
typedef enum { TO_PUBLISH, TO_FAILED, TO_UNVERIFIED } outcome;

typedef struct {
    const release_opts *o;
    release_result     *r;
    const char         *hf_dir;
    const file_type    *types;
    int                 n_types;
    char              **artifacts;  // [n_types] names
    record_file        *planned;    // [n_planned] names of what is written beside them; digests of as many digits
    int                 n_planned;
    char               *dest[3];    // by outcome
    char               *name;
    source_id           source;
    char                revision[41];
    fixture_refs        fixtures;
    hub_source          hub;
    gate                limits;     // of o->gate_path
    release_dir         dir;
    signing_key        *key;        // NULL: nothing is signed
    bool                not_run;    // an artifact was refused before its fixtures were looked for
} release;

static bool add_line(char ***list, int *n, err *e, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
static bool add_line(char ***list, int *n, err *e, const char *fmt, ...)
{
    va_list ap;
    char   *text = NULL;
    char  **grown = realloc(*list, ((size_t)*n + 1) * sizeof *grown);
    if (!grown) return err_nomem(e, "a line of the report", 0);
    *list = grown;
    va_start(ap, fmt);
    int len = vasprintf(&text, fmt, ap);
    va_end(ap);
    if (len < 0) return err_nomem(e, "a line of the report", 0);
    for (int i = 0; i < *n; i++)
        if (strcmp((*list)[i], text) == 0) { free(text); return true; }
    (*list)[(*n)++] = text;
    return true;
}

// ---- names ---------------------------------------------------------------------------------------------------------

// The model's name: "name" of .../models--org--name/snapshots/<commit>, else the folder's own.
static char *name_of(const char *hf_dir)
{
    char *real = realpath(hf_dir, NULL), *name = NULL;
    if (!real) return NULL;
    char *hub = strstr(real, "/models--"), *end = hub ? strstr(hub, "/snapshots/") : NULL;
    if (end) {
        *end = '\0';
        char *org = strstr(hub + 9, "--");
        name = strdup(org ? org + 2 : hub + 9);
    } else {
        name = strdup(strrchr(real, '/') + 1);
    }
    free(real);
    return name;
}

static bool name_everything(release *x, const char *out_dir, err *e)
{
    size_t n = strlen(out_dir);
    while (n > 1 && out_dir[n - 1] == '/') n--;
    for (int i = 0; i < 3; i++)
        if (asprintf(&x->dest[i], "%.*s%s", (int)n, out_dir, SUFFIXES[i]) < 0) {
            x->dest[i] = NULL;
            return err_nomem(e, "a path", n);
        }
    if (n >= sizeof x->r->where - 16) return err_set(e, ERR_USAGE, "%.200s...: the name is too long", out_dir);
    if (!dir_exists(x->hf_dir))
        return err_set(e, ERR_INPUT, "%s: not a folder; expected a Hugging Face checkpoint", x->hf_dir);
    x->name = x->o->name ? strdup(x->o->name) : name_of(x->hf_dir);
    if (!x->name) return err_nomem(e, "the name", 0);
    if (!x->name[0] || strchr(x->name, '/') || x->name[0] == '.' || !text_is_plain(x->name, strlen(x->name)))
        return err_set(e, ERR_USAGE, "name '%s': expected a file name's beginning; choose one with --name", x->name);
    return true;
}

// ---- fixtures ------------------------------------------------------------------------------------------------------

static bool find_fixtures(release *x, err *e)
{
    char *sub = path_join(x->hf_dir, "fixtures");
    bool  ok = sub || err_nomem(e, "a path", 0);
    for (int i = 0; ok && i < x->o->n_fixtures; i++) ok = fixture_refs_add(&x->fixtures, x->o->fixtures[i], true, e);
    ok = ok && fixture_refs_add_dir(&x->fixtures, sub, e) && fixture_refs_add_dir(&x->fixtures, x->hf_dir, e);
    free(sub);
    for (int i = 0; ok && i < x->fixtures.n; i++) {
        const fixture_ref *f = &x->fixtures.v[i];
        ok = !f->asked || fixture_ref_is_of(f, &x->source, x->hf_dir, e);
    }
    return ok;
}

static const char *gate_name(const release_opts *o)
{
    return o->gate_path ? path_base(o->gate_path) : "built-in";
}

// Freed by the caller; NULL when out of memory.
static char *shell_word(const char *word)
{
    text_buf t = { 0 };
    text_puts(&t, TEXT_SHELL, word);
    return text_take(&t);
}

// The command that makes what is missing. weights: where the artifact will lie for the user, NULL: from the source.
static bool add_missing(release *x, const char *stem, const char *type, const char *weights, err *e)
{
    char *script = shell_word(x->o->fixture_script ? x->o->fixture_script : "/path/to/hallmark/fixtures/hf_fixture.py");
    char *fix = NULL, *w_dir = shell_word(x->hf_dir), *w_fix = NULL, *w_art = weights ? shell_word(weights) : NULL;
    bool  ok = script && asprintf(&fix, "%s/%s-%s.json.gz", x->hf_dir, x->name, stem) >= 0 && (w_fix = shell_word(fix))
        && w_dir && (!weights || w_art);
    ok = ok ? add_line(&x->r->missing, &x->r->n_missing, e, "python3 %s %s -o %s --dtype %s%s%s", script, w_dir, w_fix,
                       type, weights ? " --weights " : "", weights ? w_art : "")
            : err_nomem(e, "a command", 0);
    free(script);
    free(w_art);
    free(w_fix);
    free(w_dir);
    free(fix);
    return ok;
}

// A record that overflows is found before anything is converted. Counted as if one artifact answered to every fixture:
// those it does not answer to take a note, which is shorter.
static bool records_will_fit(release *x, err *e)
{
    record_template longest = { .there = true, .bytes = INT64_C(1) << 53 };
    memset(longest.sha256, 'f', SHA256_HEX);
    const record_release all = { .name = x->name, .gate = gate_name(x->o),
                                 .limits = x->o->gate_path ? &x->limits : NULL,
                                 .artifacts = (const char *const *)x->artifacts, .n_artifacts = x->n_types,
                                 .files = x->planned, .n_files = x->n_planned, .chat_template = &longest };
    return record_fits(&all, x->fixtures.v, x->fixtures.n, e);
}

// What the folder will hold beside its reports.
static bool name_files(release *x, err *e)
{
    x->artifacts = calloc((size_t)x->n_types, sizeof *x->artifacts);
    if (!x->artifacts) return err_nomem(e, "names", 0);
    for (int i = 0; i < x->n_types; i++) {
        const file_type_info *t = file_type_of(x->types[i]);
        if (!t) return err_set(e, ERR_USAGE, "type %d is not one we write", (int)x->types[i]);
        if (asprintf(&x->artifacts[i], "%s-%s.gguf", x->name, t->label) >= 0) continue;
        x->artifacts[i] = NULL;
        return err_nomem(e, "a name", strlen(x->name));
    }
    if (x->o->n_lab > 0
        && !release_lab_plan(&x->planned, &x->n_planned, (const char *const *)x->artifacts, x->n_types, e)) return false;
    return hub_plan(&x->planned, &x->n_planned, &x->hub, e);
}

// Adds the bytes of an artifact's tensors to *sum.
static bool artifact_bytes(const release *x, int i, int64_t *bytes, int64_t *sum, err *e)
{
    quantize_preview v;
    const convert_opts co = { .type = x->types[i], .n_threads = x->o->n_threads, .strict_types = x->o->strict_types,
                              .no_mtp = x->o->no_mtp };
    if (!convert_preview(&v, x->hf_dir, &co, e)) return false;
    *bytes = v.to_bytes;
    quantize_preview_free(&v);
    return add_i64(*sum, *bytes, sum)
        || err_set(e, ERR_INPUT, "%s: the artifacts are larger than 63 bits can say", x->hf_dir);
}

// The folder to work in, whose first report lists the files that are to come.
static bool begin_folder(release *x, err *e)
{
    const char **files = calloc((size_t)x->n_planned + 1, sizeof *files);
    if (!files) return err_nomem(e, "names", 0);
    for (int i = 0; i < x->n_planned; i++) files[i] = x->planned[i].name;
    const release_names names = { .artifacts = (const char *const *)x->artifacts, .n_artifacts = x->n_types,
                                  .files = files, .n_files = x->n_planned };
    const bool ok = release_dir_begin(&x->dir, x->dest[TO_PUBLISH], &names, e);
    free(files);
    return ok;
}

// The artifacts lie beside each other before any is published: room for all of them is asked for at once, before hours
// of work on the first.
static bool all_will_fit(const release *x, err *e)
{
    outfile **files = calloc((size_t)x->n_types, sizeof *files);
    int64_t  *bytes = calloc((size_t)x->n_types, sizeof *bytes), sum = 0;
    bool ok = (files && bytes) || err_nomem(e, "names", 0);
    for (int i = 0; ok && i < x->n_types; i++) ok = artifact_bytes(x, i, &bytes[i], &sum, e);
    for (int i = 0; ok && i < x->n_types; i++) {
        char *path = path_join(x->dir.path, x->artifacts[i]);
        err   bad = { 0 };
        ok = path ? (files[i] = outfile_open(path, bytes[i], &bad)) != NULL : err_nomem(&bad, "a path", 0);
        if (!ok)
            err_set(e, bad.kind, x->n_types > 1 ? "%s; the %d artifacts take %lld bytes together" : "%s", bad.msg,
                    x->n_types, (long long)sum);
        free(path);
    }
    for (int i = 0; files && i < x->n_types; i++) outfile_abort(files[i]);
    free(bytes);
    free(files);
    return ok;
}

// ---- one artifact --------------------------------------------------------------------------------------------------

// Adds the fixtures that match a in the given way to paths; how many there are now.
static int add_matching(release *x, const artifact_ref *a, match how, const char **paths, int n)
{
    for (int i = 0; i < x->fixtures.n; i++) {
        fixture_ref *f = &x->fixtures.v[i];
        if (fixture_match(f, a) != how) continue;
        f->used = true;
        paths[n++] = f->path;
    }
    return n;
}

// The fixtures that a answers to, those of its own weights first; *need_source, *need_weights: one of that kind is
// missing. paths: [fixtures.n].
static int choose(release *x, const artifact_ref *a, const char **paths, bool *need_source, bool *need_weights)
{
    int own = add_matching(x, a, MATCH_WEIGHTS, paths, 0), n = add_matching(x, a, MATCH_SOURCE, paths, own);
    *need_weights = a->lossy && own == 0;
    *need_source  = n == own;
    return n;
}

// path: of the artifact, which will lie under the same name where it is published.
static bool list_missing(release *x, const artifact_ref *a, const char *path, const char *label, bool source,
                         bool weights, err *e)
{
    const char *dtype_word = strcmp(a->arith, "bf16") == 0 ? "bfloat16" : "float32";
    if (source && !add_missing(x, dtype_word, dtype_word, NULL, e)) return false;
    if (!weights) return true;
    char *later = path_join(x->dest[TO_UNVERIFIED], path_base(path));
    bool  ok = later ? add_missing(x, label, dtype_word, later, e) : err_nomem(e, "a path", 0);
    free(later);
    return ok;
}

// A folder of the Hub's cache tells which repository it is of, which the file does not say.
static void name_source(const release *x, verify_report *v)
{
    if (v->source.repository[0] || !v->program.version[0]) return;
    char *real = realpath(x->hf_dir, NULL), *id = real ? hub_id_of(real) : NULL;
    if (id) text_fit(v->source.repository, sizeof v->source.repository, id, strlen(id), 0);
    free(id);
    free(real);
}

static bool verify_one(release *x, verify_report *v, const char *path, const char *label,
                       const verify_derivation *derived, err *e)
{
    artifact_ref a;
    bool need_source, need_weights;
    if (!derived->passed) {
        x->not_run = true;
        return release_describe_not_derived(v, path, label, derived, e);
    }
    if (!artifact_ref_read(&a, path, e)) return false;
    const char **paths = calloc((size_t)x->fixtures.n + 1, sizeof *paths);
    if (!paths) return err_nomem(e, "fixtures", 0);
    int  n = choose(x, &a, paths, &need_source, &need_weights);
    bool ok = list_missing(x, &a, path, label, need_source, need_weights, e);
    verify_opts vo = { .tokens = x->o->tokens, .gate_path = x->o->gate_path, .derived = derived,
                       .progress = x->o->progress, .run = { .device = x->o->device, .n_threads = x->o->n_threads } };
    if (ok) ok = n > 0 ? verify_artifact(v, path, paths, n, &vo, e) : release_describe_unverified(v, path, &a, e);
    free(paths);
    v->derivation = *derived;
    if (ok) name_source(x, v);
    if (ok && (need_source || need_weights)) {
        v->incomplete = true;
        v->passed = false;
    }
    return ok;
}

static bool make_artifact(release *x, int i, err *e)
{
    const file_type_info *t = file_type_of(x->types[i]);
    char *path = path_join(x->dir.path, x->artifacts[i]);
    if (!path) return err_nomem(e, "a path", 0);
    convert_opts co = { .type = t->id, .n_threads = x->o->n_threads, .strict_types = x->o->strict_types,
                        .no_mtp = x->o->no_mtp, .progress = x->o->progress, .judge = model_check };
    verify_report *v = &x->r->reports[i];
    verify_derivation derived;
    bool ok = convert_checkpoint(x->hf_dir, path, &co, e) && derivation_of_converted(&derived, path, x->hf_dir, &co, e)
           && verify_one(x, v, path, t->label, &derived, e);
    // What is published tells what its record does, so that check can write it again.
    if (ok && strcmp(verify_verdict(v), "pass") == 0) verify_report_forget_cases(v);
    if (ok) {
        x->r->file_bytes[i] = v->file_bytes;
        x->r->n++;
        progress_logf(x->o->progress, "%s: %s", v->artifact, verify_verdict(v));
    }
    free(path);
    return ok;
}

// ---- the whole -----------------------------------------------------------------------------------------------------

// The worst of all; nothing made is no release.
static const char *judge(const release_result *r)
{
    const char *worst = r->n > 0 ? "pass" : "fail";
    for (int i = 0; i < r->n; i++) worst = verify_worse(worst, verify_verdict(&r->reports[i]));
    return worst;
}

static outcome outcome_of(const char *verdict)
{
    if (strcmp(verdict, "fail") == 0) return TO_FAILED;
    return strcmp(verdict, "pass") == 0 ? TO_PUBLISH : TO_UNVERIFIED;
}

// Of the whole files, as they are published.
static bool digest_all(release *x, err *e)
{
    bool ok = true;
    for (int i = 0; ok && i < x->r->n; i++) {
        char *path = path_join(x->dir.path, x->artifacts[i]);
        ok = path ? sha256_file(path, x->r->reports[i].file_sha256, e) : err_nomem(e, "a path", 0);
        free(path);
    }
    return ok;
}

static bool note_unused(release *x, err *e)
{
    for (int i = 0; i < x->fixtures.n && !x->not_run; i++) {
        const fixture_ref *f = &x->fixtures.v[i];
        if (f->used) continue;
        const char *why = !source_id_same(&f->source, &x->source) ? "it was made from another source"
                        : f->weights[0] ? "no artifact of this release has the weights that it was made from"
                            : "no artifact of this release computes in its dtype";
        if (!add_line(&x->r->notes, &x->r->n_notes, e, "fixture %s was not used: %s", f->name, why)) return false;
    }
    return true;
}

// Only now, when every artifact passed: a file that carries a record is a published one.
static bool record_all(release *x, const release_head *h, err *e)
{
    const record_release all = { .name = x->name, .gate = gate_name(x->o),
                                 .artifacts = (const char *const *)x->artifacts, .n_artifacts = x->r->n,
                                 .notes = (const char *const *)x->r->notes, .n_notes = x->r->n_notes,
                                 .files = x->r->files, .n_files = x->r->n_files,
                                 .chat_template = h->chat_template };
    bool ok = true;
    for (int i = 0; ok && i < x->r->n; i++) {
        char  *path = path_join(x->dir.path, x->artifacts[i]);
        gguf  *g = NULL;
        cJSON *rec = NULL;
        ok = path ? record_write(path, &x->r->reports[i], &all, e) : err_nomem(e, "a path", 0);
        ok = ok && (g = gguf_open(path, e)) != NULL && record_read(g, &rec, e);
        ok = ok && (rec ? record_check(g, rec, e) : err_set(e, ERR_SYSTEM, "%s: the record just written is not there", path));
        cJSON_Delete(rec);
        gguf_close(g);
        free(path);
    }
    return ok;
}

static bool measure_caches(release *x, outcome to, err *e)
{
    if (x->o->n_lab == 0) return true;
    if (to == TO_PUBLISH) return release_lab_all(x->r, x->dir.path, x->o, e);
    return add_line(&x->r->notes, &x->r->n_notes, e, "caches were not measured, as nothing is published");
}

// The last thing that is written: over all the rest, the report too.
static bool sign_folder(release *x, err *e)
{
    const release_sign_opts so = { .key = x->key, .subject = path_base(x->dest[TO_PUBLISH]),
                                   .command = x->o->command, .n_command = x->o->n_command,
                                   .n_threads = x->o->n_threads, .progress = x->o->progress };
    snprintf(x->r->signed_by, sizeof x->r->signed_by, "%s, %s", signing_key_curve(x->key), signing_key_hint(x->key));
    return release_sign(x->dir.path, &so, e);
}

static bool note_unsigned(release *x, err *e)
{
    return add_line(&x->r->notes, &x->r->n_notes, e, "nothing was signed, as nothing is published");
}

// A file that was not made here may have another template: it is a verdict on nothing that was run, but said.
static bool compare_templates(release *x, record_template *t, err *e)
{
    bool *differs = calloc((size_t)x->r->n + 1, sizeof *differs);
    bool  ok = differs || err_nomem(e, "names", 0);
    ok = ok && chat_compare(t, differs, x->dir.path, (const char *const *)x->artifacts, x->r->n, x->hf_dir, e);
    for (int i = 0; ok && i < x->r->n; i++)
        if (differs[i])
            ok = add_line(&x->r->notes, &x->r->n_notes, e, "%s: its chat template is not the source's", x->artifacts[i]);
    free(differs);
    return ok;
}

// What the Hub wants, the records over it, and the reports over those.
static bool publish_all(release *x, const release_head *h, err *e)
{
    const char *hint = h->is_signed ? signing_key_hint(x->key) : NULL;
    if (!hub_publish(x->r, x->dir.path, h, &x->hub, hint, e) || !record_all(x, h, e)) return false;
    if (!digest_all(x, e) || !release_report_write(x->dir.path, h, x->r, e)) return false;
    char *sums = hub_sums_of(x->dir.path, x->r, x->o->n_threads, x->o->progress, e);
    const bool ok = sums && outfile_write_text(x->dir.path, HUB_SUMS, sums, e);
    free(sums);
    return ok && (!h->is_signed || sign_folder(x, e));
}

static bool finish(release *x, err *e)
{
    const char  *verdict = judge(x->r);
    outcome      to = outcome_of(verdict);
    record_template chat;
    release_head h = { .name = x->name, .source_digest = x->source.v2, .revision = x->revision, .gate = gate_name(x->o),
                       .verdict = verdict, .is_signed = x->key && to == TO_PUBLISH, .chat_template = &chat };
    if (x->key && !h.is_signed && !note_unsigned(x, e)) return false;
    if (!note_unused(x, e) || !compare_templates(x, &chat, e) || !measure_caches(x, to, e)) return false;
    if (to != TO_PUBLISH && (!digest_all(x, e) || !release_report_write(x->dir.path, &h, x->r, e))) return false;
    if (to == TO_PUBLISH && !publish_all(x, &h, e)) return false;
    release_before before;
    if (!release_dir_publish(&x->dir, x->dest[to], &before, e)) return false;
    x->r->replaced = before.replaced;
    x->r->left     = before.left;
    snprintf(x->r->where, sizeof x->r->where, "%s", x->dest[to]);
    x->r->published = to == TO_PUBLISH;
    return true;
}

static bool prepare(release *x, const char *out_dir, err *e)
{
    const release_opts *o = x->o;
    x->types = o->types ? o->types : DEFAULT_TYPES;
    const int n = x->n_types = o->types ? o->n_types : (int)(sizeof DEFAULT_TYPES / sizeof *DEFAULT_TYPES);
    if (n < 1) return err_set(e, ERR_USAGE, "a release needs at least one type");
    if (!name_everything(x, out_dir, e)) return false;
    if (o->sign_key && !(x->key = release_sign_key(o->sign_key, o->progress, e))) return false;
    for (int i = 0; i < 3; i++)
        if (!release_dir_free_to_use(x->dest[i], e)) return false;
    if (o->gate_path && !gate_read(&x->limits, o->gate_path, e)) return false;
    x->r->reports    = calloc((size_t)n, sizeof *x->r->reports);
    x->r->file_bytes = calloc((size_t)n, sizeof *x->r->file_bytes);
    if (!x->r->reports || !x->r->file_bytes) return err_nomem(e, "reports", (size_t)n * sizeof *x->r->reports);
    if (!session_device_there(o->device, e)) return false;
    source_revision(x->hf_dir, x->revision);
    if (!hub_source_read(&x->hub, x->hf_dir, o->base_model, o->quantized_by, o->progress, e)) return false;
    if (!name_files(x, e) || (o->n_lab > 0 && !release_lab_check(x->hf_dir, o, e))) return false;
    return source_digest(x->hf_dir, o->n_threads, o->progress, &x->source, e) && find_fixtures(x, e)
        && records_will_fit(x, e)
        && begin_folder(x, e) && all_will_fit(x, e);
}

bool release_checkpoint(release_result *r, const char *hf_dir, const char *out_dir, const release_opts *o, err *e)
{
    release x = { .o = o, .r = r, .hf_dir = hf_dir, .dir = { .fd = -1, .at = { .fd = -1 } } };
    memset(r, 0, sizeof *r);
    bool ok = prepare(&x, out_dir, e);
    for (int i = 0; ok && i < x.n_types; i++) ok = make_artifact(&x, i, e);
    ok = ok && finish(&x, e);
    release_dir_abort(&x.dir);
    for (int i = 0; i < 3; i++) free(x.dest[i]);
    for (int i = 0; x.artifacts && i < x.n_types; i++) free(x.artifacts[i]);
    free(x.artifacts);
    record_files_free(x.planned, x.n_planned);
    hub_source_free(&x.hub);
    free(x.name);
    signing_key_free(x.key);
    fixture_refs_free(&x.fixtures);
    if (!ok) release_result_free(r);
    return ok;
}

void release_result_free(release_result *r)
{
    for (int i = 0; i < r->n; i++) verify_report_free(&r->reports[i]);
    for (int i = 0; i < r->n_missing; i++) free(r->missing[i]);
    for (int i = 0; i < r->n_notes; i++) free(r->notes[i]);
    record_files_free(r->files, r->n_files);
    free(r->reports);
    free(r->file_bytes);
    free(r->left);
    free(r->missing);
    free(r->notes);
    memset(r, 0, sizeof *r);
}
