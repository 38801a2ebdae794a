// release_card: see release_card.h.
#include "release_card.h"
#include "../formats/file_map.h"
#include "../formats/outfile.h"
#include "../formats/text.h"
#include "../measure/lab_record.h"
#include "../measure/lab_words.h"
#include <stdlib.h>
#include <string.h>

static void put_files(text_buf *t, const release_result *r)
{
    text_words(t, "| file | type | bytes | KV cache that it requires |\n|---|---|---:|---|\n");
    for (int i = 0; i < r->n; i++) {
        const verify_report *v = &r->reports[i];
        text_words(t, "| ");
        text_puts(t, TEXT_MD, v->artifact);
        text_words(t, " | ");
        text_puts(t, TEXT_MD, v->type);
        text_words(t, " | ");
        figure_put_count(t, v->file_bytes);
        text_words(t, " | ");
        text_puts(t, TEXT_MD, v->kv_required);
        text_words(t, " |\n");
    }
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

static bool put_artifact(text_buf *t, const char *dir, const char *artifact, err *e)
{
    lab_record rec = { .best = -1 };
    bool  found = false;
    char *path = path_join(dir, artifact);
    gguf *g = path ? gguf_open(path, e) : NULL;
    bool  ok = path ? g && lab_record_find(&rec, g, &found, e) : err_nomem(e, "a path", strlen(dir));
    if (ok && found) put_record(t, artifact, &rec);
    lab_record_free(&rec);
    gguf_close(g);
    free(path);
    return ok;
}

bool release_card_md(char **text, const char *dir, const release_head *h, const release_result *r, err *e)
{
    text_buf t = { 0 };
    text_words(&t, "# ");
    text_puts(&t, TEXT_MD, h->name);
    text_words(&t, "\n\n");
    put_files(&t, r);
    for (int i = 0; i < r->n; i++) {
        if (put_artifact(&t, dir, r->reports[i].artifact, e)) continue;
        text_drop(&t);
        return false;
    }
    text_words(&t, "\n## To check\n\nWhat each file was held to is in report.md. `hallmark check` of this folder "
                   "proves it again, offline; the figures of caches are proved by measuring again: `hallmark lab` on "
                   "the same texts.\n");
    *text = text_take(&t);
    return *text || err_nomem(e, RELEASE_CARD, 0);
}

bool release_card_write(const char *dir, const release_head *h, const release_result *r, err *e)
{
    char *text = NULL;
    const bool ok = release_card_md(&text, dir, h, r, e) && outfile_write_text(dir, RELEASE_CARD, text, e);
    free(text);
    return ok;
}
