// lab_record: what a record says, in words. Its texts are of a closed set of characters (lab_record.h).
#include "lab_record.h"
#include "lab_words.h"
#include <math.h>
#include <string.h>

static void put_interval(text_buf *t, const lab_record_cache *c, const char *open, const char *close)
{
    const lab_figure f = { c->kl_mean, c->kl_low, c->kl_high };
    if (!isfinite(f.low)) return;
    text_words(t, open);
    lab_put_interval(t, &f, false);
    text_words(t, close);
}

static void put_tokens(text_buf *t, int64_t n)
{
    lab_put_count(t, n);
    text_words(t, n == 1 ? " token" : " tokens");
}

static double each_bytes(const lab_record *rec, int64_t bytes) { return (double)bytes / (double)rec->context; }

void lab_record_put_cache(text_buf *t, const lab_record *rec, int cache)
{
    const lab_record_cache *c = &rec->caches[cache];
    text_words(t, "KL ");
    lab_put_kl(t, c->kl_mean);
    put_interval(t, c, " (", ")");
    text_words(t, ", top-1 ");
    lab_put_share(t, c->top1);
    text_words(t, " (");
    lab_put_share(t, c->top1_worst);
    text_words(t, " in ");
    text_puts(t, TEXT_PLAIN, c->worst);
    text_words(t, ") over ");
    put_tokens(t, rec->tokens);
}

void lab_record_put_run(text_buf *t, const lab_record *rec)
{
    put_tokens(t, rec->tokens);
    text_printf(t, " of %d %s (", rec->n_categories, rec->n_categories == 1 ? "category" : "categories");
    for (int i = 0; i < rec->n_categories; i++) {
        if (i) text_words(t, ", ");
        text_puts(t, TEXT_PLAIN, rec->categories[i].category);
    }
    text_words(t, "), in chunks of ");
    lab_put_count(t, rec->chunk);
    if (rec->skip > 0) {
        text_words(t, " of which the first ");
        lab_put_count(t, rec->skip);
        text_words(t, " are not compared");
    }
    text_words(t, ", against its cache in ");
    text_puts(t, TEXT_PLAIN, rec->base_kv);
}

static void put_bytes_each(text_buf *t, const lab_record *rec, int64_t bytes)
{
    lab_put_bytes(t, each_bytes(rec, bytes));
}

void lab_record_put_advice(text_buf *t, text_sink sink, const lab_record *rec)
{
    if (rec->best < 0) {
        text_printf(t, "No smaller cache that was measured has a top-1 agreement of at least %.0f %% in every category.",
                    100 * LAB_ENOUGH);
        return;
    }
    const lab_record_cache *c = &rec->caches[rec->best];
    text_printf(t, "The smallest cache measured whose top-1 agreement is at least %.0f %% in every category is ",
                100 * LAB_ENOUGH);
    lab_put_cache(t, sink, c->kv);
    text_words(t, ": ");
    put_bytes_each(t, rec, c->context_bytes);
    text_words(t, " bytes a position, where ");
    lab_put_cache(t, sink, rec->base_kv);
    text_words(t, " takes ");
    put_bytes_each(t, rec, rec->base_context_bytes);
    text_words(t, ".");
}

static void put_row(text_buf *t, const lab_record *rec, const lab_record_cache *c)
{
    text_words(t, "| ");
    text_puts(t, TEXT_MD_CODE, c->kv);
    text_words(t, " | ");
    if (c->llama) text_puts(t, TEXT_MD_CODE, c->llama);
    else          text_words(t, "-");
    text_words(t, " | ");
    put_bytes_each(t, rec, c->context_bytes);
    text_words(t, " | ");
    lab_put_kl(t, c->kl_mean);
    put_interval(t, c, " (", ")");
    text_words(t, " | ");
    lab_put_kl(t, c->kl_p99);
    text_words(t, " | ");
    lab_put_share(t, c->top1);
    text_words(t, " | ");
    lab_put_share(t, c->top1_worst);
    text_words(t, " in ");
    text_puts(t, TEXT_MD, c->worst);
    text_words(t, " |\n");
}

void lab_record_put_table(text_buf *t, const lab_record *rec)
{
    text_words(t, "| KV cache | llama.cpp | bytes a position | mean KL (95 %) | KL, 99th percentile | top-1 "
                  "| lowest top-1 |\n|---|---|---:|---:|---:|---:|---|\n");
    for (int i = 0; i < rec->n_caches; i++) put_row(t, rec, &rec->caches[i]);
}
