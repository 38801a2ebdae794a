// What a recipe's file will answer to, before it is made: see release_job.h.
#include "release_job.h"
#include "../formats/claims.h"
#include "../formats/text.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

// ---- what is known of a file that is to come -----------------------------------------------------------------------

// Blocks in a file that is called BF16 are computed in float32.
static bool may_have_blocks(const recipe *r)
{
    return r->kind == RECIPE_MIX || r->tensor_types.n > 0 || r->output_type || r->embedding_type;
}

static const char *arithmetic_of(const recipe *r)
{
    const file_type_info *t = may_have_blocks(r) ? NULL : file_type_of(r->type);
    return r->kind == RECIPE_TYPE && t ? claims_required_kv(t->name) : "";
}

bool release_foresee(artifact_ref *a, const recipe *r, err *e)
{
    *a = (artifact_ref){ .lossy = recipe_encodes(r) || r->type == FT_F16 };
    if (r->kind == RECIPE_ARTIFACT) return artifact_ref_read(a, r->artifact, e);
    snprintf(a->arith, sizeof a->arith, "%s", arithmetic_of(r));
    return true;
}

// Its weights are only known once it is made: may they be those of f? A mix takes any type.
static bool may_be_own(const fixture_ref *f, const recipe *r)
{
    const file_type_info *t = r->kind == RECIPE_TYPE ? file_type_of(r->type) : NULL;
    return !t || strcasecmp(f->weights_type, t->name) == 0 || strcasecmp(f->weights_type, t->label) == 0;
}

fixture_use release_use_of(const fixture_ref *f, const artifact_ref *a, const recipe *r, const source_id *source)
{
    if (!source_id_same(&f->source, source) || (a->arith[0] && strcmp(a->arith, f->arith) != 0)) return FIXTURE_UNUSED;
    if (!f->weights[0]) return a->arith[0] ? FIXTURE_USED : FIXTURE_PERHAPS;
    if (r->kind == RECIPE_ARTIFACT) return strcmp(f->weights, a->weights) == 0 ? FIXTURE_USED : FIXTURE_UNUSED;
    return may_be_own(f, r) ? FIXTURE_PERHAPS : FIXTURE_UNUSED;
}

// ---- a fixture that was named is of use to one of them --------------------------------------------------------------

static bool fits_some(const release_job *x, const fixture_ref *f, bool *fits, err *e)
{
    artifact_ref a;
    *fits = f->used;            // by an artifact that stays
    for (int i = 0; i < x->n_items && !*fits; i++) {
        const recipe *r = x->items[i].r;
        if (!release_foresee(&a, r, e)) return false;
        *fits = release_use_of(f, &a, r, &x->source) != FIXTURE_UNUSED;
    }
    return true;
}

// Does the same fit both? The digest of weights is only known of a finished file.
static bool is_alike(const artifact_ref *a, const artifact_ref *b)
{
    return a->lossy == b->lossy && strcmp(fixture_dtype_word(a->arith), fixture_dtype_word(b->arith)) == 0;
}

// "float32 from the source, or from their own weights, for tiny-Q4_K_M.gguf, tiny-Q8_0.gguf": the artifact `first` and
// those behind it that are like it. all: [x->n_items].
static void put_alike(text_buf *t, const release_job *x, const artifact_ref *all, int first)
{
    const artifact_ref *a = &all[first];
    int n = 0;
    for (int i = first; i < x->n_items; i++) n += is_alike(a, &all[i]);
    text_printf(t, "%s from the source", fixture_dtype_word(a->arith));
    if (a->lossy) text_printf(t, ", or from %s own weights", n > 1 ? "their" : "its");
    for (int i = first; i < x->n_items; i++) {
        if (!is_alike(a, &all[i])) continue;
        text_words(t, i == first ? ", for " : ", ");
        text_puts(t, TEXT_PLAIN, x->items[i].name);
        if (a->lossy && all[i].weights[0]) text_printf(t, " (weights' digest %s)", all[i].weights);
    }
}

static bool is_said(const artifact_ref *all, int i)
{
    for (int k = 0; k < i; k++)
        if (is_alike(&all[k], &all[i])) return true;
    return false;
}

static bool put_what_fits(text_buf *t, const release_job *x, err *e)
{
    artifact_ref *all = calloc((size_t)x->n_items + 1, sizeof *all);
    bool ok = all || err_nomem(e, "artifacts", (size_t)x->n_items * sizeof *all);
    for (int i = 0; ok && i < x->n_items; i++) ok = release_foresee(&all[i], x->items[i].r, e);
    for (int i = 0; ok && i < x->n_items; i++) {
        if (is_said(all, i)) continue;
        text_words(t, i == 0 ? "" : "; ");
        put_alike(t, x, all, i);
    }
    free(all);
    return ok;
}

static void put_what_it_holds(text_buf *t, const fixture_ref *f)
{
    text_printf(t, "%s from ", fixture_dtype_word(f->arith));
    if (!f->weights[0]) {
        text_words(t, "the source");
        return;
    }
    text_words(t, "the weights of a ");
    text_puts(t, TEXT_PLAIN, f->weights_type);
    text_printf(t, " file (digest %s)", f->weights);
}

static bool refuse(const release_job *x, const fixture_ref *f, err *e)
{
    text_buf t = { 0 };
    put_what_it_holds(&t, f);
    text_words(&t, ", expected ");
    const bool known = put_what_fits(&t, x, e);
    char *all = text_take(&t);
    if (known && !all) err_nomem(e, "a message", 0);
    if (known && all)
        err_set(e, ERR_INPUT, "%s: the fixture fits no artifact of this release: found %s", f->path, all);
    free(all);
    return false;
}

bool release_fixtures_fit(const release_job *x, err *e)
{
    bool fits;
    for (int i = 0; i < x->fixtures.n; i++) {
        const fixture_ref *f = &x->fixtures.v[i];
        if (!f->asked) continue;
        if (!fits_some(x, f, &fits, e)) return false;
        if (!fits) return refuse(x, f, e);
    }
    return true;
}
