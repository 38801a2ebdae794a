// release_lab: see release_lab.h.
#define _GNU_SOURCE
#include "release_lab.h"
#include "../convert/convert.h"
#include "../formats/file_map.h"
#include "../measure/lab.h"
#include "../measure/lab_record.h"
#include "../measure/lab_report.h"
#include "../runtime/kv_spec.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// What is measured where nothing else is asked for: of these what the model's heads take.
static const char *const CACHES[] = { "f16", "q8_0", "q8_0:rot", "q5_1", "q5_1:rot", "q4_0", "q4_0:rot" };
static const char *const SUFFIXES[] = { ".json", ".md", ".html" };
enum { N_CACHES = sizeof CACHES / sizeof CACHES[0], N_REPORTS = sizeof SUFFIXES / sizeof SUFFIXES[0] };

// "x-BF16.gguf" gives "x-BF16-lab.json" and so on; malloc'd.
static char *report_name(const char *artifact, int i, err *e)
{
    const int stem = (int)strlen(artifact) - (int)strlen(".gguf");
    char *name = NULL;
    if (asprintf(&name, "%.*s-lab%s", stem, artifact, SUFFIXES[i]) >= 0) return name;
    err_nomem(e, "a name", (size_t)stem);
    return NULL;
}

static bool plan_report(record_file **files, int *n, const char *artifact, int i, err *e)
{
    char *name = report_name(artifact, i, e);
    const bool ok = name && record_files_plan(files, n, name, e);
    free(name);
    return ok;
}

bool release_lab_plan(record_file **files, int *n, const char *const *artifacts, int n_artifacts, err *e)
{
    for (int i = 0; i < n_artifacts; i++)
        for (int k = 0; k < N_REPORTS; k++)
            if (!plan_report(files, n, artifacts[i], k, e)) return false;
    return true;
}

// ---- before ---------------------------------------------------------------------------------------------------------

static bool suits(const char *kv, const hparams *h, err *e)
{
    kv_spec s;
    return kv_spec_parse(&s, kv, e) && kv_spec_check(&s, h, e);
}

// A default that the heads do not take is no mistake of anybody's.
static int default_caches(const char **kv, const hparams *h)
{
    int n = 0;
    for (int i = 0; i < N_CACHES; i++) {
        err ignored = { 0 };
        if (suits(CACHES[i], h, &ignored)) kv[n++] = CACHES[i];
    }
    return n;
}

static bool check_against(const gguf *g, const release_opts *o, err *e)
{
    hparams    h = { 0 };
    tokenizer *words = NULL;
    bool ok = hparams_read(&h, g, e);
    // In F32, the widest that an artifact of any type is measured in.
    for (int i = 0; ok && i < o->n_lab_kv; i++) ok = lab_plan_check_kv(&h, o->lab_kv[i], "f32", o->lab_chunk, e);
    ok = ok && (words = tokenizer_new(g, e)) != NULL;
    ok = ok && lab_texts_check(words, o->lab, o->n_lab, o->lab_chunk, e);
    tokenizer_free(words);
    hparams_free(&h);
    return ok;
}

bool release_lab_check(const char *hf_dir, const release_opts *o, err *e)
{
    const convert_opts co = { .type = FT_F32, .no_mtp = o->no_mtp };
    uint8_t   *bytes = NULL;
    gguf_plan *p = convert_plan_of_folder(hf_dir, &co, e);
    gguf      *g = p ? gguf_plan_open(p, &bytes, hf_dir, e) : NULL;
    const bool ok = g && check_against(g, o, e);
    gguf_close(g);
    gguf_plan_free(p);
    free(bytes);
    return ok;
}

// ---- measuring ------------------------------------------------------------------------------------------------------

static bool default_caches_of(const char *path, const char **kv, int *n, err *e)
{
    hparams h = { 0 };
    gguf   *g = gguf_open(path, e);
    const bool ok = g && hparams_read(&h, g, e);
    if (ok) *n = default_caches(kv, &h);
    hparams_free(&h);
    gguf_close(g);
    return ok;
}

// The digest of the file that r lists last.
static bool digest_last(release_result *r, const char *dir, err *e)
{
    record_file *f = &r->files[r->n_files - 1];
    char *path = path_join(dir, f->name);
    const bool ok = path ? sha256_file(path, f->sha256, e) : err_nomem(e, "a path", strlen(dir));
    free(path);
    return ok;
}

static bool write_reports(release_result *r, const char *dir, const char *artifact, const lab_result *res, err *e)
{
    for (int i = 0; i < N_REPORTS; i++) {
        char *name = report_name(artifact, i, e);
        char *path = name ? path_join(dir, name) : NULL;
        bool  ok = name && record_files_push(&r->files, &r->n_files, name, "", e);
        ok = ok && (path ? lab_report_write(res, path, e) : err_nomem(e, "a path", strlen(dir)));
        free(path);
        free(name);
        if (!ok || !digest_last(r, dir, e)) return false;
    }
    return true;
}

// What was copied is read once more: the file that is published is not the one that was proved byte for byte.
static bool read_back(const char *path, const release_opts *o, int64_t *bytes, err *e)
{
    gguf *g = gguf_open(path, e);
    const bool ok = g && claims_check_gaps(g, e) && claims_check_tensors(g, o->n_threads, o->progress, e);
    if (ok) *bytes = gguf_file_bytes(g);
    gguf_close(g);
    return ok;
}

// The reports, and the record that is to go into the file.
static bool run(lab_record *rec, release_result *r, const char *dir, const char *artifact, const lab_plan_opts *po,
                const release_opts *o, err *e)
{
    lab_plan   p = { 0 };
    lab_cells  c = { 0 };
    lab_result res = { 0 };
    const lab_run_opts ro = { .device = o->device, .n_threads = o->n_threads, .progress = o->progress };
    const bool ok = lab_plan_open(&p, po, e) && lab_run(&c, &p, &ro, e) && lab_result_of(&res, &p, &c, e)
        && lab_record_of(rec, &res, e) && write_reports(r, dir, artifact, &res, e);
    lab_result_free(&res);
    lab_cells_free(&c);
    lab_plan_free(&p);
    return ok;
}

static bool measure(release_result *r, int i, const char *dir, const release_opts *o, err *e)
{
    const char   *kv[N_CACHES], *artifact = r->reports[i].artifact;
    lab_plan_opts po = { .kv = o->lab_kv, .n_kv = o->n_lab_kv, .texts = o->lab, .n_texts = o->n_lab,
                         .chunk = o->lab_chunk };
    lab_record    rec = { .best = -1 };
    bool  ok = true;
    char *path = path_join(dir, artifact);
    if (!path) return err_nomem(e, "a path", strlen(dir));
    po.base = path;
    if (o->n_lab_kv == 0) {
        po.kv = kv;
        ok = default_caches_of(path, kv, &po.n_kv, e);
    }
    ok = ok && run(&rec, r, dir, artifact, &po, o, e) && lab_record_write(path, path, &rec, NULL, e);
    ok = ok && read_back(path, o, &r->file_bytes[i], e);
    if (ok) r->reports[i].file_bytes = r->file_bytes[i];
    lab_record_free(&rec);
    free(path);
    return ok;
}

bool release_lab_all(release_result *r, const char *dir, const release_opts *o, err *e)
{
    for (int i = 0; i < r->n; i++)
        if (!measure(r, i, dir, o, e)) return false;
    return true;
}
