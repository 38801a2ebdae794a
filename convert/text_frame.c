#include "text_frame.h"

#include "../formats/json.h"

#include <string.h>

typedef struct {
    text_frame         *f;
    const cJSON        *processor;      // the one that is read
    const known_tokens *k;
    const char         *where;
    err                *e;
} reader;

static const char *piece_special(const cJSON *piece)
{
    return cJSON_GetStringValue(json_get(json_get(piece, "SpecialToken"), "id"));
}

static bool piece_is_text(const cJSON *piece) { return cJSON_IsObject(json_get(piece, "Sequence")); }
static bool same(const char *a, const char *b) { return a && b && strcmp(a, b) == 0; }

// A token that is put before or behind: the named one, if one is named, with a row of its own. The ids that are put
// stand in the processor itself.
static bool check_token(const reader *r, const char *text, const char *named, const char *side)
{
    const cJSON  *ids = json_get(json_get(json_get(r->processor, "special_tokens"), text), "ids");
    const int64_t id = known_tokens_id(r->k, text);
    int64_t       put;
    if (named && strcmp(text, named) != 0)
        return err_set(r->e, ERR_INPUT, "%s: post_processor: found '%.40s' %s the text, expected '%.40s'", r->where,
                       text, side, named);
    if (id < 0 || id >= r->k->s->n_vocab)
        return err_set(r->e, ERR_INPUT, "%s: post_processor: found '%.40s' %s the text, expected a token with an id "
                       "below %lld", r->where, text, side,
                       (long long)r->k->s->n_vocab);
    if (!ids) return true;
    if (cJSON_IsArray(ids) && ids->child && !ids->child->next && json_as_i64(ids->child, id, id, &put)) return true;
    return err_set(r->e, ERR_INPUT, "%s: post_processor: special_tokens: '%.40s': ids: expected %lld alone, its id",
                   r->where, text, (long long)id);
}

// single: [bos?] A [eos?]
static bool read_single(const reader *r, const cJSON *single)
{
    const cJSON *it = cJSON_IsArray(single) ? single->child : NULL;
    text_frame  *f = r->f;
    if ((f->bos_text = piece_special(it))) {
        if (!check_token(r, f->bos_text, r->k->lists->text[NAME_BOS], "before")) return false;
        f->bos = true;
        it = it->next;
    }
    if (!piece_is_text(it))
        return err_set(r->e, ERR_INPUT, "%s: post_processor: single: expected at most one token before the text",
                       r->where);
    it = it->next;
    if ((f->eos_text = piece_special(it))) {
        if (!check_token(r, f->eos_text, r->k->lists->text[NAME_EOS], "after")) return false;
        f->eos = true;
        it = it->next;
    }
    if (!it) return true;
    return err_set(r->e, ERR_INPUT, "%s: post_processor: single: expected at most one token after the text", r->where);
}

// pair: [bos?] A [sep?] ... B. llama.cpp wants to know only whether a separator (or end) token stands in the middle.
static void read_pair(const reader *r, const cJSON *pair)
{
    const cJSON *it = cJSON_IsArray(pair) ? pair->child : NULL;
    while (it && !piece_is_text(it)) it = it->next;
    if (!it || !it->next) return;
    const char *mid = piece_special(it->next);
    if (mid) r->f->sep = same(mid, r->k->lists->text[NAME_SEP]) || same(mid, r->k->lists->text[NAME_EOS]);
}

static bool read_processor(reader *r, const cJSON *p)
{
    const char *type = cJSON_GetStringValue(json_get(p, "type"));
    if (!type) return err_set(r->e, ERR_INPUT, "%s: post_processor: expected a type", r->where);
    if (strcmp(type, "ByteLevel") == 0) return true;        // moves offsets, adds no token
    if (strcmp(type, "TemplateProcessing") != 0)
        return err_set(r->e, ERR_INPUT, "%s: post_processor: found %.40s, expected TemplateProcessing", r->where, type);
    if (r->f->bos || r->f->eos)
        return err_set(r->e, ERR_INPUT, "%s: post_processor: found two that add tokens, expected one", r->where);
    r->processor = p;
    read_pair(r, json_get(p, "pair"));
    return read_single(r, json_get(p, "single"));
}

// The class writes its own, with tokens that have a name.
static bool read_said(const reader *r)
{
    const added_lists *l = r->k->lists;
    text_frame *f = r->f;
    *f = (text_frame){ .bos = l->add_bos && l->text[NAME_BOS], .eos = l->add_eos && l->text[NAME_EOS], .sep = -1,
                       .said = true };
    if (f->bos) f->bos_text = l->text[NAME_BOS];
    if (f->eos) f->eos_text = l->text[NAME_EOS];
    if (f->bos && !check_token(r, f->bos_text, NULL, "before")) return false;
    return !f->eos || check_token(r, f->eos_text, NULL, "after");
}

bool text_frame_read(text_frame *f, const cJSON *tokenizer, const known_tokens *k, const char *where, err *e)
{
    const cJSON *pp = json_get(tokenizer, "post_processor"), *list = json_get(pp, "processors");
    reader r = { .f = f, .k = k, .where = where, .e = e };
    *f = (text_frame){ .sep = -1 };
    if (k->lists->frame_said) return read_said(&r);
    if (!pp) return true;
    if (!cJSON_IsObject(pp)) return err_set(e, ERR_INPUT, "%s: post_processor: expected an object", where);
    if (!cJSON_IsArray(list)) return read_processor(&r, pp);
    for (const cJSON *it = list->child; it; it = it->next)
        if (!read_processor(&r, it)) return false;
    return true;
}

// A leftover that says otherwise than what is done.
static void log_leftover(const tokenizer_source *s, const char *by, const char *key, bool done)
{
    const cJSON *said = json_get(s->tokenizer_config, key);
    if (cJSON_IsBool(said) && cJSON_IsTrue(said) != done)
        progress_logf(s->log, "tokenizer_config.json: %s %s is not used, as in Transformers: %s decides, and adds %s",
                      key, done ? "false" : "true", by,
                      done ? "one" : "none");
}

bool text_frame_plan(gguf_plan *p, const text_frame *f, const tokenizer_source *s, err *e)
{
    const char *by = f->said ? "special_tokens_map.json" : "the post_processor of tokenizer.json";
    log_leftover(s, by, "add_bos_token", f->bos);
    log_leftover(s, by, "add_eos_token", f->eos);
    if (!f->bos && s->kind == TOK_GEMMA4)
        progress_logf(s->log, "no token is put before a text, as in Transformers; llama.cpp puts the BOS there of its "
                      "own accord in every gemma4 file, whatever "
                      "tokenizer.ggml.add_bos_token says");
    return gguf_plan_bool(p, "tokenizer.ggml.add_bos_token", f->bos, e)
        && (f->sep < 0 || gguf_plan_bool(p, "tokenizer.ggml.add_sep_token", f->sep > 0, e))
        && gguf_plan_bool(p, "tokenizer.ggml.add_eos_token", f->eos, e);
}
