// What each step gave, published beside the reports: see release_job.h and verify/steps.h.
#include "release_job.h"
#include "../formats/file_map.h"
#include "../formats/json.h"
#include "../formats/outfile.h"
#include "../verify/steps.h"
#include <stdlib.h>

static bool write_steps(const release_job *x, err *e)
{
    cJSON *doc  = steps_json(x->r->reports, x->r->n);
    char  *text = doc ? json_print_short(doc) : NULL;
    const bool ok = text ? outfile_write_text(x->dir.path, STEPS_FILE, text, e) : err_nomem(e, STEPS_FILE, 0);
    free(text);
    cJSON_Delete(doc);
    return ok;
}

static void forget(release_result *r)
{
    for (int i = 0; i < r->n; i++) verify_report_forget_cases(&r->reports[i]);
}

// With the digits that the file keeps.
static bool read_back(release_result *r, const char *path, err *e)
{
    char   hex[SHA256_HEX + 1];
    cJSON *doc = steps_read_file(path, NULL, e);
    forget(r);
    const bool ok = doc && steps_attach(r->reports, r->n, doc, path, e) && sha256_file(path, hex, e)
        && record_files_push(&r->files, &r->n_files, STEPS_FILE, hex, e);
    cJSON_Delete(doc);
    return ok;
}

bool release_steps_publish(release_job *x, err *e)
{
    if (!steps_there(x->r->reports, x->r->n)) {
        forget(x->r);
        return true;
    }
    char *path = path_join(x->dir.path, STEPS_FILE);
    const bool ok = path ? write_steps(x, e) && read_back(x->r, path, e) : err_nomem(e, STEPS_FILE, 0);
    free(path);
    return ok;
}
