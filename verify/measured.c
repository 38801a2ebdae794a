// measured: see measured.h.
#include "measured.h"
#include "../measure/lab_words.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool cite(const lab_record *rec, const char *arith, const char *kv, char note[MEASURED_NOTE], err *e)
{
    const int cache = strcmp(rec->arith, arith) == 0 ? lab_record_cache_of(rec, kv) : -1;
    text_buf  t = { 0 };
    if (cache < 0) return true;
    text_words(&t, "measured: ");
    lab_record_put_cache(&t, rec, cache);
    text_printf(&t, " (texts %.8s...)", rec->texts);
    char *text = text_take(&t);
    if (!text) return err_nomem(e, "a note", MEASURED_NOTE);
    snprintf(note, MEASURED_NOTE, "%s", text);
    free(text);
    return true;
}

bool measured_cite(const gguf *g, const char *arith, const char *kv, int n_threads, char note[MEASURED_NOTE], err *e)
{
    lab_record rec;
    bool found = false;
    err  why = { 0 };
    note[0] = '\0';
    bool ok = lab_record_find(&rec, g, &found, &why) && (!found || lab_record_fits(&rec, g, n_threads, &why));
    if (ok && found) {
        ok = cite(&rec, arith, kv, note, e);
    } else if (!ok && why.kind != ERR_SYSTEM) {
        snprintf(note, MEASURED_NOTE, "what '%s' says is not cited: it %s", KEY_HM_KV_MEASURED,
                 why.kind == ERR_VERDICT ? "was measured on another file's tensors or keys" : "cannot be read");
        ok = true;
    } else if (!ok) {
        err_set(e, why.kind, "%s", why.msg);
    }
    lab_record_free(&rec);
    return ok;
}

static char *claim_of(const lab_record *rec)
{
    text_buf t = { 0 };
    text_printf(&t, "%d %s measured by hallmark ", rec->n_caches, rec->n_caches == 1 ? "cache" : "caches");
    text_puts(&t, TEXT_PLAIN, rec->hallmark);
    text_words(&t, " on ");
    lab_record_put_run(&t, rec);
    text_words(&t, ". ");
    lab_record_put_advice(&t, TEXT_PLAIN, rec);
    return text_take(&t);
}

bool measured_check(const gguf *g, int n_threads, char **claim, err *e)
{
    lab_record rec;
    bool found = false;
    err  why = { 0 };
    *claim = NULL;
    bool ok = lab_record_find(&rec, g, &found, &why) && (!found || lab_record_fits(&rec, g, n_threads, &why));
    if (!ok) err_as_verdict(e, &why);
    if (ok && !(*claim = found ? claim_of(&rec) : strdup(""))) ok = err_nomem(e, "a claim", 0);
    lab_record_free(&rec);
    return ok;
}
