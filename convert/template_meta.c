#include "template_meta.h"

#include "../formats/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- what stands around a text ----------------------------------------------------------------------------------------------

typedef struct { int bos, sep, eos; } frame;        // -1: not said

static const char *piece_special(const cJSON *piece) { return cJSON_GetStringValue(json_get(json_get(piece, "SpecialToken"), "id")); }
static bool        piece_is_text(const cJSON *piece) { return cJSON_IsObject(json_get(piece, "Sequence")); }

static const char *token_text(const cJSON *tokenizer_config, const char *key)
{
    const cJSON *v = json_get(tokenizer_config, key);
    return cJSON_GetStringValue(cJSON_IsObject(v) ? json_get(v, "content") : v);
}

// single: [bos?] A [eos?]
static bool read_single(const cJSON *single, const char *bos, const char *eos, frame *f, const char *where, err *e)
{
    const cJSON *it = cJSON_IsArray(single) ? single->child : NULL;
    const char  *first = piece_special(it);
    f->bos = 0;
    if (first) {
        if (bos && strcmp(first, bos) != 0)
            return err_set(e, ERR_INPUT, "%s: post_processor: found '%.40s' before the text, expected '%.40s'", where, first, bos);
        f->bos = 1;
        it = it->next;
    }
    if (!piece_is_text(it)) return err_set(e, ERR_INPUT, "%s: post_processor: single: expected at most one token before the text", where);
    it = it->next;
    const char *last = piece_special(it);
    if (last) {
        if (!eos || strcmp(last, eos) != 0)
            return err_set(e, ERR_INPUT, "%s: post_processor: found '%.40s' after the text, expected '%.40s'", where, last, eos ? eos : "nothing");
        f->eos = 1;
        it = it->next;
    }
    return !it || err_set(e, ERR_INPUT, "%s: post_processor: single: expected at most one token after the text", where);
}

// pair: [bos?] A [sep?] ... B. llama.cpp wants to know only whether a separator (or end) token stands in the middle.
static void read_pair(const cJSON *pair, const char *sep, const char *eos, frame *f)
{
    const cJSON *it = cJSON_IsArray(pair) ? pair->child : NULL;
    while (it && !piece_is_text(it)) it = it->next;
    if (!it || !it->next) return;
    const char *mid = piece_special(it->next);
    if (mid) f->sep = (sep && strcmp(mid, sep) == 0) || (eos && strcmp(mid, eos) == 0);
}

static bool read_processor(const cJSON *p, const cJSON *tokenizer_config, const char *bos, frame *f, const char *where, err *e)
{
    const char *type = cJSON_GetStringValue(json_get(p, "type")), *eos = token_text(tokenizer_config, "eos_token");
    if (!type) return err_set(e, ERR_INPUT, "%s: post_processor: expected a type", where);
    if (strcmp(type, "ByteLevel") == 0) return true;        // moves offsets, adds no token
    if (strcmp(type, "TemplateProcessing") != 0)
        return err_set(e, ERR_INPUT, "%s: post_processor: found %.40s, expected TemplateProcessing", where, type);
    read_pair(json_get(p, "pair"), token_text(tokenizer_config, "sep_token"), eos, f);
    return read_single(json_get(p, "single"), bos, eos, f, where, e);
}

// tokenizer_config.json's add_<name>_token where the post-processor is silent; Transformers' Gemma classes add BOS by default.
static bool complete(frame *f, const cJSON *tc, const char *where, err *e)
{
    struct { const char *key; int *said; } rows[] = { { "add_bos_token", &f->bos }, { "add_eos_token", &f->eos }, { "add_sep_token", &f->sep } };
    for (int i = 0; i < 3; i++) {
        bool on;
        if (!json_bool_or(tc, rows[i].key, false, &on, where, e)) return false;
        if (*rows[i].said < 0 && json_get(tc, rows[i].key)) *rows[i].said = on;
    }
    const char *class = cJSON_GetStringValue(json_get(tc, "tokenizer_class"));
    if (f->bos < 0) f->bos = class && strncmp(class, "Gemma", 5) == 0;
    return true;
}

bool template_meta_frame(gguf_plan *p, const cJSON *tokenizer, const cJSON *tokenizer_config, const char *bos, const char *where, err *e)
{
    const cJSON *pp = json_get(tokenizer, "post_processor"), *list = json_get(pp, "processors");
    frame f = { -1, -1, -1 };
    if (pp && !cJSON_IsObject(pp)) return err_set(e, ERR_INPUT, "%s: post_processor: expected an object", where);
    if (cJSON_IsArray(list)) {
        for (const cJSON *it = list->child; it; it = it->next)
            if (!read_processor(it, tokenizer_config, bos, &f, where, e)) return false;
    } else if (pp && !read_processor(pp, tokenizer_config, bos, &f, where, e)) {
        return false;
    }
    return complete(&f, tokenizer_config, where, e)
        && gguf_plan_bool(p, "tokenizer.ggml.add_bos_token", f.bos > 0, e)
        && (f.sep < 0 || gguf_plan_bool(p, "tokenizer.ggml.add_sep_token", f.sep > 0, e))
        && (f.eos < 0 || gguf_plan_bool(p, "tokenizer.ggml.add_eos_token", f.eos > 0, e));
}
