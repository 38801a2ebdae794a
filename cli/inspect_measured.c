// inspect: what a laboratory run measured of the file, as it says itself (measure/lab_record.h).
#include "inspect.h"
#include "../measure/lab_record.h"
#include "../measure/lab_words.h"
#include <stdlib.h>
#include <string.h>

// As a cell; words is empty afterwards.
static void put_words(table *t, text_buf *words)
{
    char *text = text_take(words);
    if (text) table_cell(t, "%s", text);
    else      t->failed = true;
    free(text);
}

static void put_row(table *t, const lab_record *rec, const lab_record_cache *c)
{
    text_buf words = { 0 };
    const lab_figure mean = { c->kl_mean, c->kl_low, c->kl_high };
    table_text(t, c->kv, (int64_t)strlen(c->kv), 40);
    figure_put_bytes(&words, (double)c->context_bytes / (double)rec->context);
    put_words(t, &words);
    figure_put_kl(&words, c->kl_mean);
    put_words(t, &words);
    lab_put_interval(&words, &mean, false);
    put_words(t, &words);
    figure_put_kl(&words, c->kl_p99);
    put_words(t, &words);
    figure_put_share(&words, c->top1);
    put_words(t, &words);
    figure_put_share(&words, c->top1_worst);
    text_words(&words, " ");
    text_puts(&words, TEXT_PLAIN, c->worst);
    put_words(t, &words);
}

static bool print_words(const char *before, text_buf *words)
{
    char *text = text_take(words);
    if (text) print_line(stdout, "%s%s", before, text);
    free(text);
    return text != NULL;
}

// Whose figures are they? A file that does not list the digests of its tensors would have to be read whole for it.
typedef enum { OWN, OTHER, NOT_ASKED } binding;
static const char *const BOUND[] = {
    "of this file's tensors and keys", "NOT of this file's tensors and keys: the figures are another file's",
    "whether of this file's tensors was not asked: it does not list their digests",
};

static bool record_text(const lab_record *rec, binding bound)
{
    static const char *const header[] = { "cache", ">bytes/position", ">mean KL", "95 %", ">KL p99", ">top-1",
                                          "lowest top-1", NULL };
    text_buf run = { 0 }, advice = { 0 };
    table t;
    lab_record_put_run(&run, rec);
    if (!print_words("Measured caches: ", &run)) return false;
    table_begin(&t, header);
    for (int i = 0; i < rec->n_caches; i++) put_row(&t, rec, &rec->caches[i]);
    if (!table_print(&t, stdout)) return false;
    lab_record_put_advice(&advice, TEXT_PLAIN, rec);
    if (!print_words("", &advice)) return false;
    print_line(stdout, "Texts %.16s..., by hallmark %s; %s", rec->texts, rec->hallmark, BOUND[bound]);
    return true;
}

static void cache_json(json_out *j, const lab_record *rec, const lab_record_cache *c)
{
    json_open(j, '{');
    json_key_cstr(j, "kv", c->kv);
    json_key_cstr(j, "llama", c->llama);
    json_key_num(j, "bytes_per_position", (double)c->context_bytes / (double)rec->context, 9);
    json_key_int(j, "context_bytes", c->context_bytes);
    json_key_num(j, "kl_mean", c->kl_mean, 6);
    json_key_num(j, "kl_low", c->kl_low, 6);
    json_key_num(j, "kl_high", c->kl_high, 6);
    json_key_num(j, "kl_p99", c->kl_p99, 6);
    json_key_num(j, "top1", c->top1, 9);
    json_key_num(j, "top1_worst", c->top1_worst, 9);
    json_key_cstr(j, "worst", c->worst);
    json_close(j, '}');
}

static void record_json(json_out *j, const lab_record *rec, binding bound)
{
    json_open(j, '{');
    json_key_int(j, "format", LAB_RECORD_FORMAT);
    json_key_cstr(j, "hallmark", rec->hallmark);
    json_key_cstr(j, "tensors", rec->tensors);
    json_key(j, "fits");
    if (bound == NOT_ASKED) json_cstr(j, NULL);
    else                    json_bool(j, bound == OWN);
    json_key_cstr(j, "arith", rec->arith);
    json_key_cstr(j, "base_kv", rec->base_kv);
    json_key_int(j, "base_context_bytes", rec->base_context_bytes);
    json_key_int(j, "context", rec->context);
    json_key_int(j, "chunk", rec->chunk);
    json_key_int(j, "skip", rec->skip);
    json_key_int(j, "samples", rec->samples);
    json_key_int(j, "tokens", rec->tokens);
    json_key_cstr(j, "texts", rec->texts);
    json_key_open(j, "categories", '[');
    for (int i = 0; i < rec->n_categories; i++) {
        json_open(j, '{');
        json_key_cstr(j, "category", rec->categories[i].category);
        json_key_int(j, "tokens", rec->categories[i].tokens);
        json_close(j, '}');
    }
    json_close(j, ']');
    json_key_open(j, "caches", '[');
    for (int i = 0; i < rec->n_caches; i++) cache_json(j, rec, &rec->caches[i]);
    json_close(j, ']');
    json_key_cstr(j, "best", rec->best < 0 ? NULL : rec->caches[rec->best].kv);
    json_close(j, '}');
}

static bool bind(const lab_record *rec, const gguf *g, binding *bound, err *e)
{
    err other = { 0 };
    *bound = NOT_ASKED;
    if (!gguf_find_kv(g, KEY_HM_TENSOR_SHA)) return true;
    *bound = lab_record_fits(rec, g, 0, &other) ? OWN : OTHER;
    return *bound == OWN || other.kind == ERR_VERDICT || err_set(e, other.kind, "%s", other.msg);
}

bool inspect_measured(json_out *j, const gguf *g, err *e)
{
    lab_record rec;
    binding bound = NOT_ASKED;
    bool found;
    bool ok = lab_record_find(&rec, g, &found, e) && (!found || bind(&rec, g, &bound, e));
    if (found && j) {
        json_key(j, "measured");
        if (ok) record_json(j, &rec, bound);
        else    json_cstr(j, NULL);
    } else if (found && ok) {
        ok = record_text(&rec, bound) || err_nomem(e, "the table", 0);
    } else if (found) {
        print_line(stdout, "Measured caches: not shown: %s", e->msg);
    }
    lab_record_free(&rec);
    return ok;
}
