// lab_record: of a laboratory's result, and as a text. See lab_record.h.
#include "lab_record.h"
#include "lab_record_internal.h"
#include "lab_words.h"
#include "../formats/version.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

// ---- of a result ----------------------------------------------------------------------------------------------------

bool lab_record_keep(char **to, const char *s, err *e)
{
    *to = strdup(s);
    return *to || err_nomem(e, "a record", strlen(s));
}

// As the text has it, so that what is read is what was written.
static double rounded(double v, int digits)
{
    char text[48];
    if (!isfinite(v)) return NAN;
    snprintf(text, sizeof text, "%.*g", digits, v);
    return strtod(text, NULL) + 0.0;                    // + 0.0: no sign before nothing
}

static bool take_cache(lab_record *rec, const lab_result *r, int candidate, err *e)
{
    const lab_candidate *c = &r->plan->candidates[candidate];
    const lab_figures   *f = &r->measured[candidate].all;
    const lab_category  *worst = lab_worst_category(&r->measured[candidate]);
    lab_record_cache    *to = &rec->caches[rec->n_caches];
    const bool interval = lab_has_interval(&f->kl_mean);
    if (rec->n_caches == LAB_RECORD_CACHES)
        return err_set(e, ERR_USAGE, "key '%s': found more than %d caches to record, expected at most those that "
                       "somebody would choose from", KEY_HM_KV_MEASURED, LAB_RECORD_CACHES);
    rec->n_caches++;
    if (candidate == r->best) rec->best = rec->n_caches - 1;
    to->context_bytes = c->context_bytes;
    to->kl_mean = rounded(f->kl_mean.v, LAB_KL_DIGITS);
    to->kl_low  = interval ? rounded(f->kl_mean.low, LAB_KL_DIGITS) : NAN;
    to->kl_high = interval ? rounded(f->kl_mean.high, LAB_KL_DIGITS) : NAN;
    to->kl_p99  = rounded(f->kl_p99.v, LAB_KL_DIGITS);
    to->top1    = rounded(f->top1.v, LAB_SHARE_DIGITS);
    to->top1_worst = rounded(worst->f.top1.v, LAB_SHARE_DIGITS);
    if (c->llama && !lab_record_keep(&to->llama, c->llama, e)) return false;
    return lab_record_keep(&to->kv, c->kv, e) && lab_record_keep(&to->worst, worst->category, e);
}

static bool take_caches(lab_record *rec, const lab_result *r, err *e)
{
    rec->caches = calloc(LAB_RECORD_CACHES, sizeof *rec->caches);
    if (!rec->caches) return err_nomem(e, "a record", LAB_RECORD_CACHES * sizeof *rec->caches);
    for (int i = 0; i < r->plan->n_candidates; i++) {
        const lab_candidate *c = &r->plan->candidates[i];
        if (c->artifact == 0 && c->layer < 0 && !take_cache(rec, r, i, e)) return false;
    }
    return rec->n_caches > 0
        || err_set(e, ERR_USAGE, "key '%s': no cache of the base itself was measured, expected one at least",
                   KEY_HM_KV_MEASURED);
}

static bool take_categories(lab_record *rec, const lab_result *r, err *e)
{
    const lab_measured *m = &r->measured[0];
    rec->categories = calloc((size_t)m->n_categories + 1, sizeof *rec->categories);
    if (!rec->categories) return err_nomem(e, "a record", (size_t)m->n_categories * sizeof *rec->categories);
    for (int i = 0; i < m->n_categories; i++) {
        const char *name = m->categories[i].category;
        if (!lab_record_is_category(name))
            return err_set(e, ERR_INPUT, "category '%s': expected 1 to %d letters, digits, '_' and '-'", name,
                           LAB_RECORD_CATEGORY);
        rec->categories[i].tokens = m->categories[i].f.tokens;
        rec->n_categories = i + 1;
        if (!lab_record_keep(&rec->categories[i].category, name, e)) return false;
    }
    return true;
}

static bool digest_texts(lab_record *rec, const lab_plan *p, err *e)
{
    sha256 *s = sha256_new(e);
    if (!s) return false;
    for (int i = 0; i < p->n_texts; i++) {
        const lab_text *t = &p->texts[i];
        const bool ok = sha256_add(s, t->category, (int64_t)strlen(t->category), e) && sha256_add(s, " ", 1, e)
            && sha256_add(s, t->sha256, SHA256_HEX, e) && sha256_add(s, "\n", 1, e);
        if (ok) continue;
        sha256_free(s);
        return false;
    }
    return sha256_end(s, rec->texts, e);
}

bool lab_record_of(lab_record *rec, const lab_result *r, err *e)
{
    const lab_plan *p = r->plan;
    *rec = (lab_record){ .base_context_bytes = p->base_context_bytes,
                         .context = p->context, .chunk = p->chunk, .skip = p->skip, .samples = p->samples, .best = -1 };
    snprintf(rec->hallmark, sizeof rec->hallmark, "%s", hallmark_version());
    strcpy(rec->arith, p->arith);
    strcpy(rec->base_kv, p->base_kv);
    strcpy(rec->tensors, p->artifacts[0].digest);
    if (!take_caches(rec, r, e) || !take_categories(rec, r, e)) return false;
    rec->tokens = r->measured[0].all.tokens;
    return digest_texts(rec, p, e);
}

void lab_record_free(lab_record *rec)
{
    for (int i = 0; rec->caches && i < rec->n_caches; i++) {
        free(rec->caches[i].kv);
        free(rec->caches[i].llama);
        free(rec->caches[i].worst);
    }
    for (int i = 0; rec->categories && i < rec->n_categories; i++) free(rec->categories[i].category);
    free(rec->caches);
    free(rec->categories);
    *rec = (lab_record){ .best = -1 };
}

int lab_record_cache_of(const lab_record *rec, const char *kv)
{
    int i = 0;
    while (i < rec->n_caches && strcmp(rec->caches[i].kv, kv) != 0) i++;
    return i < rec->n_caches ? i : -1;
}

// ---- as a text ------------------------------------------------------------------------------------------------------

static void put_key(text_buf *t, const char *key)
{
    if (t->failed) return;
    text_printf(t, "%s\"%s\":", t->s[t->n - 1] == '{' ? "" : ",", key);
}

static void put_text(text_buf *t, const char *key, const char *s)
{
    put_key(t, key);
    if (!s) {
        text_words(t, "null");
        return;
    }
    text_words(t, "\"");
    text_puts(t, TEXT_JSON, s);
    text_words(t, "\"");
}

static void put_int(text_buf *t, const char *key, int64_t v)
{
    put_key(t, key);
    text_printf(t, "%lld", (long long)v);
}

static void put_number(text_buf *t, const char *key, double v, int digits)
{
    put_key(t, key);
    if (isfinite(v)) text_printf(t, "%.*g", digits, v);
    else             text_words(t, "null");
}

static void put_list(text_buf *t, const char *key)
{
    put_key(t, key);
    text_words(t, "[");
}

static void put_categories(text_buf *t, const lab_record *rec)
{
    put_list(t, "categories");
    for (int i = 0; i < rec->n_categories; i++) {
        text_words(t, i ? ",{" : "{");
        put_text(t, "category", rec->categories[i].category);
        put_int(t, "tokens", rec->categories[i].tokens);
        text_words(t, "}");
    }
    text_words(t, "]");
}

static void put_caches(text_buf *t, const lab_record *rec)
{
    put_list(t, "caches");
    for (int i = 0; i < rec->n_caches; i++) {
        const lab_record_cache *c = &rec->caches[i];
        text_words(t, i ? ",{" : "{");
        put_text(t, "kv", c->kv);
        put_text(t, "llama", c->llama);
        put_number(t, "bytes_per_position", (double)c->context_bytes / (double)rec->context, LAB_SHARE_DIGITS);
        put_int(t, "context_bytes", c->context_bytes);
        put_number(t, "kl_mean", c->kl_mean, LAB_KL_DIGITS);
        put_number(t, "kl_low", c->kl_low, LAB_KL_DIGITS);
        put_number(t, "kl_high", c->kl_high, LAB_KL_DIGITS);
        put_number(t, "kl_p99", c->kl_p99, LAB_KL_DIGITS);
        put_number(t, "top1", c->top1, LAB_SHARE_DIGITS);
        put_number(t, "top1_worst", c->top1_worst, LAB_SHARE_DIGITS);
        put_text(t, "worst", c->worst);
        text_words(t, "}");
    }
    text_words(t, "]");
}

char *lab_record_text(const lab_record *rec)
{
    text_buf t = { 0 };
    text_words(&t, "{");
    put_int(&t, "format", LAB_RECORD_FORMAT);
    put_text(&t, "hallmark", rec->hallmark);
    put_text(&t, "tensors", rec->tensors);
    put_text(&t, "arith", rec->arith);
    put_text(&t, "base_kv", rec->base_kv);
    put_int(&t, "base_context_bytes", rec->base_context_bytes);
    put_int(&t, "context", rec->context);
    put_int(&t, "chunk", rec->chunk);
    put_int(&t, "skip", rec->skip);
    put_int(&t, "samples", rec->samples);
    put_int(&t, "tokens", rec->tokens);
    put_text(&t, "texts", rec->texts);
    put_categories(&t, rec);
    put_caches(&t, rec);
    put_text(&t, "best", rec->best < 0 ? NULL : rec->caches[rec->best].kv);
    text_words(&t, "}");
    return text_take(&t);
}
