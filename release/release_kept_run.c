// The figures of what stays of a release that is added to, measured again: see release_job.h.
//
// A signature says of each figure that its key's owner vouches for it (provenance.h tells the result of each check). In
// a folder that nobody signed anybody may have written them, so before a key is put under them the fixtures that the
// records name are run again. Where the folder was signed by the same key (release_kept_signed), they are its owner's
// already; where nothing is signed, nobody vouches, and check says so.
#include "release_job.h"
#include "check_file.h"
#include "../verify/steps.h"
#include <stdlib.h>
#include <string.h>

static const fixture_ref *find(const release_job *x, const char *digest)
{
    for (int i = 0; i < x->fixtures.n; i++)
        if (strcmp(x->fixtures.v[i].digest, digest) == 0) return &x->fixtures.v[i];
    return NULL;
}

// The fixtures of its record, borrowed.
static bool choose(check_run *run, const release_job *x, const verify_report *v, err *e)
{
    run->fixtures.n = 0;
    for (int64_t k = 0; k < v->n_fixtures; k++) {
        const verify_fixture_result *f = &v->fixtures[k];
        const fixture_ref *there = find(x, f->file_digest);
        if (!there)
            return err_set(e, ERR_USAGE, "%s: its record names the fixture %s (SHA-256 %s), which is not here: give it "
                           "with --fixture", v->artifact, f->name, f->file_digest);
        run->fixtures.v[run->fixtures.n++] = *there;
    }
    return true;
}

// Each was run: one that its record names and that it does not answer to proves nothing of it.
static bool all_ran(const check_run *run, const verify_report *v, err *e)
{
    if (run->undecided[0]) return err_set(e, ERR_VERDICT, "%s", run->undecided);
    if (run->now->n_exact + run->now->n_drift == v->n_fixtures) return true;
    return err_set(e, ERR_VERDICT, "%s: its record names %lld fixtures, found %d that it answers to", v->artifact,
                   (long long)v->n_fixtures, run->now->n_exact + run->now->n_drift);
}

static bool run_one(check_run *run, const release_job *x, const verify_report *v, err *e)
{
    run->none = (check_file_proof){ .lacks = NULL };
    run->now  = &run->none;
    gguf  *g = gguf_open_in(x->old.dir, v->artifact, e);
    cJSON *rec = NULL;
    const bool ok = g && record_read(g, &rec, e) && choose(run, x, v, e) && check_further(run, g, rec, e)
        && all_ran(run, v, e);
    cJSON_Delete(rec);
    gguf_close(g);
    return ok;
}

static int64_t most_fixtures(const old_release *old)
{
    int64_t most = 1;
    for (int i = 0; i < old->n; i++)
        if (old->reports[i].n_fixtures > most) most = old->reports[i].n_fixtures;
    return most;
}

static bool run_all(release_job *x, err *e)
{
    const check_opts o = { .n_threads = x->o->n_threads, .device = x->o->device, .gate_path = x->o->gate_path,
                           .progress = x->o->progress };
    const int64_t most = most_fixtures(&x->old);
    cJSON *steps = steps_json(x->old.reports, x->old.n);       // that its reports show
    check_run run = { .steps = steps, .o = &o, .dir = x->old.dir,
                      .fixtures = { .v = calloc((size_t)most, sizeof(fixture_ref)) } };
    bool ok = (steps && run.fixtures.v) || err_nomem(e, "fixtures", (size_t)most * sizeof(fixture_ref));
    for (int i = 0; ok && i < x->old.n; i++)
        if (!x->old.replaced[i]) ok = run_one(&run, x, &x->old.reports[i], e);
    free(run.fixtures.v);
    cJSON_Delete(steps);
    return ok;
}

bool release_kept_run(release_job *x, err *e)
{
    err  why = { 0 };
    bool is_signed;
    if (!x->key || old_release_n_kept(&x->old) == 0) return true;
    if (!release_is_signed_already(x, &is_signed, e)) return false;
    return is_signed || run_all(x, &why)
        || err_set(e, why.kind, "nothing can be added and signed: the figures of what stays must be what running it "
                   "again gives: %s" OR_REPLACE, why.msg);
}
