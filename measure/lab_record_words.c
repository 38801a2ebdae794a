// lab_record: what a record says, in words. Its texts are of a closed set of characters (lab_record.h).
#include "lab_record.h"
#include "lab_words.h"

// "0.00123 (0.0011 to 0.0013)"
static void put_mean(text_buf *t, const lab_record_cache *c)
{
    const lab_figure f = { c->kl_mean, c->kl_low, c->kl_high };
    figure_put_kl(t, f.v);
    if (!lab_has_interval(&f)) return;
    text_words(t, " (");
    lab_put_interval(t, &f, false);
    text_words(t, ")");
}

void lab_record_put_cache(text_buf *t, const lab_record *rec, int cache)
{
    const lab_record_cache *c = &rec->caches[cache];
    text_words(t, "KL ");
    put_mean(t, c);
    text_words(t, ", top-1 ");
    figure_put_share(t, c->top1);
    text_words(t, " (");
    lab_put_share_in(t, TEXT_PLAIN, c->top1_worst, c->worst);
    text_words(t, ") over ");
    figure_put_number_of(t, rec->tokens, "token", "tokens");
}

void lab_record_put_run(text_buf *t, const lab_record *rec)
{
    figure_put_number_of(t, rec->tokens, "token", "tokens");
    text_words(t, " of ");
    figure_put_number_of(t, rec->n_categories, "category", "categories");
    text_words(t, " (");
    for (int i = 0; i < rec->n_categories; i++) {
        if (i) text_words(t, ", ");
        text_puts(t, TEXT_PLAIN, rec->categories[i].category);
    }
    text_words(t, "), in chunks of ");
    figure_put_count(t, rec->chunk);
    if (rec->skip > 0) {
        text_words(t, " of which the first ");
        figure_put_count(t, rec->skip);
        text_words(t, " are not compared");
    }
    text_words(t, ", against its cache in ");
    text_puts(t, TEXT_PLAIN, rec->base_kv);
}

static void put_bytes_each(text_buf *t, const lab_record *rec, int64_t bytes)
{
    figure_put_bytes(t, (double)bytes / (double)rec->context);
}

void lab_record_put_advice(text_buf *t, text_sink sink, const lab_record *rec)
{
    if (rec->best < 0) {
        text_printf(t, "No smaller cache that was measured has a top-1 agreement of at least %.0f %% in every "
                    "category.", 100 * LAB_ENOUGH);
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
    lab_put_cache(t, TEXT_MD, c->kv);
    text_words(t, " | ");
    if (c->llama) text_puts(t, TEXT_MD_CODE, c->llama);
    else          text_words(t, "-");
    text_words(t, " | ");
    put_bytes_each(t, rec, c->context_bytes);
    text_words(t, " | ");
    put_mean(t, c);
    text_words(t, " | ");
    figure_put_kl(t, c->kl_p99);
    text_words(t, " | ");
    figure_put_share(t, c->top1);
    text_words(t, " | ");
    lab_put_share_in(t, TEXT_MD, c->top1_worst, c->worst);
    text_words(t, " |\n");
}

void lab_record_put_table(text_buf *t, const lab_record *rec)
{
    text_words(t, "| KV cache | llama.cpp | bytes a position | mean KL (95 %) | KL, 99th percentile | top-1 "
                  "| lowest top-1 |\n|---|---|---:|---:|---:|---:|---|\n");
    for (int i = 0; i < rec->n_caches; i++) put_row(t, rec, &rec->caches[i]);
}
