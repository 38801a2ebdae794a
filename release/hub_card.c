#include "hub_card.h"
#include "hub_modelfile.h"
#include "../formats/file_map.h"
#include "../measure/lab_record.h"
#include "../measure/lab_words.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

// What an artifact says of itself.
typedef struct {
    double     bits;            // of a weight, on average
    bool       measured;        // rec holds what its caches cost
    lab_record rec;
} facts;

static void free_facts(facts *f, int n)
{
    for (int i = 0; f && i < n; i++) lab_record_free(&f[i].rec);
    free(f);
}

static double bits_per_weight(const gguf *g)
{
    double bytes = 0, weights = 0;
    for (int64_t i = 0; i < gguf_n_tensors(g); i++) {
        bytes += (double)gguf_tensor_at(g, i)->n_bytes;
        weights += (double)gguf_tensor_at(g, i)->n_elems;
    }
    return weights > 0 ? 8 * bytes / weights : 0;
}

static bool read_facts(facts *f, const char *dir, const char *artifact, err *e)
{
    gguf *g = gguf_open_in(dir, artifact, e);
    f->rec.best = -1;
    const bool ok = g && lab_record_find(&f->rec, g, &f->measured, e);
    if (ok) f->bits = bits_per_weight(g);
    gguf_close(g);
    return ok;
}

// ---- what was proved -----------------------------------------------------------------------------------------------

static void put_base(text_buf *t, const hub_front *f, const release_head *h)
{
    if (!f->base_model) {
        text_words(t, "a checkpoint whose files have the digest ");
        text_puts(t, TEXT_MD_CODE, h->source_digest);
        return;
    }
    text_words(t, "[");
    text_puts(t, TEXT_MD, f->base_model);
    text_printf(t, "](https://huggingface.co/%s)", f->base_model);
    if (h->revision[0]) text_words(t, ", commit ");
    if (h->revision[0]) text_puts(t, TEXT_MD_CODE, h->revision);
}

static bool all_derived(const release_result *r)
{
    for (int i = 0; i < r->n; i++)
        if (!r->reports[i].derivation.made || !r->reports[i].derivation.passed) return false;
    return true;
}

static void put_proved(text_buf *t, const hub_front *f, const release_head *h, const release_result *r)
{
    text_words(t, "GGUF files of ");
    put_base(t, f, h);
    text_words(t, ", proved by hallmark");
    if (r->reports[0].program.version[0]) text_words(t, " ");
    text_puts(t, TEXT_MD, r->reports[0].program.version);
    text_words(t, ". ");
    if (all_derived(r))
        text_words(t, "Every tensor was encoded again from the source and is the same bytes. ");
    text_words(t, "Each file was run against what Transformers says of the same prompts: free runs token for token, "
                  "the best token of each step, and the distance (KL) of all log-probabilities, within limits that "
                  "were set before. Each comparison, with its limits, is in report.md.\n\n");
}

// ---- the files -----------------------------------------------------------------------------------------------------

// What it cost to leave the source's precision; for weights that keep it, how close the run is to the source's.
static const verify_fixture_result *against_source(const verify_report *v)
{
    const verify_fixture_result *found = NULL;
    for (int64_t i = 0; i < v->n_fixtures; i++) {
        const verify_fixture_result *f = &v->fixtures[i];
        if (f->ran && (!found || (f->kind == CHECK_DRIFT && found->kind != CHECK_DRIFT))) found = f;
    }
    return found;
}

static void put_distance(text_buf *t, const verify_report *v)
{
    const verify_fixture_result *f = against_source(v);
    if (!f || f->steps < 1) { text_words(t, "- | -"); return; }
    figure_put_kl(t, f->kl_mean);
    text_words(t, " | ");
    figure_put_share(t, (double)f->teacher_forced_equal / (double)f->steps);
}

static void put_row(text_buf *t, const verify_report *v, const facts *f)
{
    text_words(t, "| ");
    text_puts(t, TEXT_MD, v->artifact);
    text_words(t, " | ");
    text_puts(t, TEXT_MD, v->type);
    text_words(t, " | ");
    figure_put_count(t, v->file_bytes);
    text_printf(t, " | %.2f | ", f->bits);
    put_distance(t, v);
    text_words(t, " | ");
    text_puts(t, TEXT_MD, v->kv_required);
    text_words(t, " | ");
    if (f->measured) text_printf(t, "%d, see below", f->rec.n_caches);
    else             text_words(t, "none");
    text_words(t, " |\n");
}

static void put_files(text_buf *t, const release_result *r, const facts *f)
{
    text_words(t, "| file | type | bytes | bits per weight | mean KL | top-1 | KV cache that it requires | caches "
                  "measured |\n|---|---|---:|---:|---:|---:|---|---|\n");
    for (int i = 0; i < r->n; i++) put_row(t, &r->reports[i], &f[i]);
    text_words(t, "\nKL is in nats over the whole vocabulary, from what Transformers computes with the source's "
                  "weights; top-1 is how often both have the same best token. SHA-256 of all files: SHA256SUMS "
                  "(`sha256sum -c SHA256SUMS`).\n");
}

static void put_record(text_buf *t, const char *artifact, const lab_record *rec)
{
    text_words(t, "\n## Caches of ");
    text_puts(t, TEXT_MD, artifact);
    text_words(t, "\n\n");
    lab_record_put_advice(t, TEXT_MD, rec);
    text_words(t, "\n\nMeasured on ");
    lab_record_put_run(t, rec);
    text_words(t, "; texts SHA-256 ");
    text_puts(t, TEXT_MD_CODE, rec->texts);
    text_words(t, ". KL is KL(its own cache to the other) in nats over the whole vocabulary, top-1 how often both have "
                  "the same best token.\n\n");
    lab_record_put_table(t, rec);
}

// ---- to check it, and to run it -------------------------------------------------------------------------------------

static void put_check(text_buf *t, const hub_card *c, const release_head *h)
{
    const char *key = c->key_hint ? " --key PUBLIC.pem" : "";
    text_printf(t, "\n## To check it again\n\nIn this folder, offline; the second derives every tensor and every key "
                   "from the source again:\n\n    hallmark check .%s\n    hallmark check .%s --from SOURCE\n\n", key,
                key);
    if (c->key_hint) {
        text_words(t, "The folder is signed (model.sig, in the format of OpenSSF Model Signing) with the key whose "
                      "public half has the SHA-256 ");
        text_puts(t, TEXT_MD_CODE, c->key_hint);
        text_words(t, " (`openssl pkey -pubin -in PUBLIC.pem | sha256sum`). Take the key from where its owner "
                      "publishes it, not from here. A signature covers every file of the folder: what a download adds "
                      "to it (.cache) has to go first.\n\n");
    }
    if (!c->front->base_model) return;
    text_printf(t, "SOURCE is the folder that this prints:\n\n    hf download %s", c->front->base_model);
    if (h->revision[0]) text_words(t, " --revision ");
    if (h->revision[0]) text_puts(t, TEXT_SHELL, h->revision);
    text_words(t, "\n");
}

static void put_llama(text_buf *t, const verify_report *v)
{
    const bool bf16 = strcmp(v->kv_required, "bf16") == 0;
    text_words(t, "    llama-cli -m ");
    text_puts(t, TEXT_SHELL, v->artifact);
    text_printf(t, "%s\n", bf16 ? " -fa off -ctk bf16 -ctv bf16" : " -fa off -ctk f32 -ctv f32");
}

static void put_run(text_buf *t, const release_result *r)
{
    text_words(t, "\n## To run\n\nWith llama.cpp, in the cache that each file requires (its flash attention would "
                  "round an F32 cache; its default is F16):\n\n");
    for (int i = 0; i < r->n; i++) put_llama(t, &r->reports[i]);
    text_words(t, "\nWith Ollama: `ollama create NAME -f Modelfile`, which takes ");
    text_puts(t, TEXT_MD, r->reports[hub_modelfile_choice(r->reports, r->n)].artifact);
    text_words(t, ".\n");
}

static void put_template(text_buf *t, const record_template *c)
{
    if (!c || !c->there) return;
    text_words(t, "\nThe chat template in the files ");
    release_put_template(t, c);
    text_words(t, "\n");
}

static void put_not_proved(text_buf *t, const hub_card *c, bool measured)
{
    text_words(t, "\n## What this does not prove\n\n");
    if (!c->key_hint)
        text_words(t, "- Who made these files: they are not signed, and anybody can compute digests that agree.\n");
    text_words(t, "- Anything of prompts other than those of the fixtures, or of texts longer than theirs.\n"
                  "- How another program computes: figures are of hallmark's own runtime, in the arithmetic and with "
                  "the cache that each file names.\n"
                  "- That the source itself is good, safe, or what its authors say.\n");
    if (measured)
        text_words(t, "- The figures of caches: they are proved by measuring again, `hallmark lab` on the same "
                      "texts.\n");
}

// ---- the whole -----------------------------------------------------------------------------------------------------

static void put_all(text_buf *t, const release_head *h, const release_result *r, const hub_card *c, const facts *f)
{
    bool measured = false;
    hub_front_put(t, c->front);
    text_words(t, "\n# ");
    text_puts(t, TEXT_MD, h->name);
    text_words(t, "\n\n");
    put_proved(t, c->front, h, r);
    put_files(t, r, f);
    for (int i = 0; i < r->n; i++) {
        if (f[i].measured) put_record(t, r->reports[i].artifact, &f[i].rec);
        measured |= f[i].measured;
    }
    put_check(t, c, h);
    put_run(t, r);
    put_template(t, h->chat_template);
    put_not_proved(t, c, measured);
}

bool hub_card_md(char **text, const char *dir, const release_head *h, const release_result *r, const hub_card *c,
                 err *e)
{
    text_buf t = { 0 };
    facts   *f = calloc((size_t)r->n + 1, sizeof *f);
    bool     ok = f || err_nomem(e, HUB_CARD, (size_t)r->n * sizeof *f);
    for (int i = 0; ok && i < r->n; i++) ok = read_facts(&f[i], dir, r->reports[i].artifact, e);
    if (ok) put_all(&t, h, r, c, f);
    free_facts(f, r->n);
    *text = ok ? text_take(&t) : NULL;
    text_drop(&t);
    return *text || (ok && err_nomem(e, HUB_CARD, 0));
}
