#include "tokenizer_meta.h"

#include "../formats/json.h"
#include "added_flags.h"
#include "merges.h"
#include "special_ids.h"
#include "strmap.h"
#include "template_meta.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SPACE "\xe2\x96\x81"    // U+2581, which stands for a space inside tokens

typedef struct {
    gguf_str s;                 // borrowed from the JSON tree, or from `made`; s.s is NULL for an id without a token
    int32_t  type;
    float    score;
    bool     added;             // named by added_tokens
} token;

typedef struct {
    const tokenizer_source *src;
    char    where[1100];        // "dir/tokenizer.json"
    cJSON  *root;               // owned, without the merges
    merges  merges;
    token  *tok;                // owned: [n_vocab]
    strmap  vocab;              // model.vocab and added_tokens
    char  **made;               // owned: texts that stand in no file ("[PAD7]", spaces put back), [n_made]
    int64_t n_made;
    bool    list_merges;        // they go into the file: always for TOK_GEMMA4, else where scores do not say all of them
    int32_t bos;                // id of the beginning-of-text token, or -1
} vocab_state;

static bool bad(const vocab_state *v, const char *what, err *e)
{
    return err_set(e, ERR_INPUT, "%s: %s", v->where, what);
}

// ---- is it a tokenizer that GGUF can carry? -------------------------------------------------------------------------------

static bool type_is(const cJSON *obj, const char *type)
{
    const char *s = cJSON_GetStringValue(json_get(obj, "type"));
    return s && strcmp(s, type) == 0;
}

static bool is_string(const cJSON *v, const char *want)
{
    const char *s = cJSON_GetStringValue(v);
    return s && strcmp(s, want) == 0;
}

// One step: spaces become U+2581 and nothing else happens to the text.
static bool is_space_step(const cJSON *step)
{
    return type_is(step, "Replace") && is_string(json_get(json_get(step, "pattern"), "String"), " ")
        && is_string(json_get(step, "content"), SPACE);
}

static bool check_normalizer(const vocab_state *v, err *e)
{
    const cJSON *n = json_get(v->root, "normalizer"), *steps = json_get(n, "normalizers");
    const char  *type = cJSON_GetStringValue(json_get(n, "type"));
    if (is_space_step(n)) return true;
    if (type_is(n, "Sequence") && cJSON_GetArraySize(steps) == 1 && is_space_step(steps->child)) return true;
    return err_set(e, ERR_INPUT, "%s: normalizer: found %.40s, expected Replace of ' ' by U+2581 and nothing more", v->where,
                   type ? type : "none");
}

// A split at spaces finds none after the normalizer, so it cuts nothing.
static bool check_pre_tokenizer(const vocab_state *v, err *e)
{
    const cJSON *p = json_get(v->root, "pre_tokenizer");
    const char  *type = cJSON_GetStringValue(json_get(p, "type"));
    if (!p || (type_is(p, "Split") && is_string(json_get(json_get(p, "pattern"), "String"), " "))) return true;
    return err_set(e, ERR_INPUT, "%s: pre_tokenizer: found %.40s, expected none, or a Split at ' '", v->where, type ? type : "no type");
}

static bool check_make(const vocab_state *v, err *e)
{
    const cJSON *model = json_get(v->root, "model");
    const char  *type = cJSON_GetStringValue(json_get(model, "type"));
    bool on;
    if (!cJSON_IsObject(model)) return bad(v, "model: expected an object", e);
    if (!type || strcmp(type, "BPE") != 0)
        return err_set(e, ERR_INPUT, "%s: model.type: found %.40s, expected BPE", v->where, type ? type : "nothing");
    if (!json_bool_or(model, "byte_fallback", false, &on, v->where, e)) return false;
    if (!on) return bad(v, "model.byte_fallback: found false, expected true", e);
    if (!json_bool_or(model, "ignore_merges", false, &on, v->where, e)) return false;
    if (on) return bad(v, "model.ignore_merges: found true, expected false", e);
    if (cJSON_GetArraySize(json_get(model, "merges")) > 0) return bad(v, "model.merges: expected an array, and its name without escapes", e);
    return check_normalizer(v, e) && check_pre_tokenizer(v, e);
}

// ---- the tokens -----------------------------------------------------------------------------------------------------------

static bool is_byte_token(const char *s, int64_t n)
{
    static const char hex[] = "0123456789abcdefABCDEF";
    return n == 6 && memcmp(s, "<0x", 3) == 0 && strchr(hex, s[3]) && s[3] && strchr(hex, s[4]) && s[4] && s[5] == '>';
}

static bool take_id(const vocab_state *v, const cJSON *id, const char *text, int64_t *out, err *e)
{
    if (json_as_i64(id, 0, v->src->n_vocab - 1, out)) return true;
    return err_set(e, ERR_INPUT, "%s: token '%.80s': found id %.17g, expected one below %lld, the rows of the embedding", v->where, text,
                   cJSON_IsNumber(id) ? id->valuedouble : -1.0, (long long)v->src->n_vocab);
}

static bool put_token(vocab_state *v, int64_t id, const char *text, err *e)
{
    token  *t = &v->tok[id];
    int32_t old;
    if (t->s.s)
        return err_set(e, ERR_INPUT, "%s: id %lld: found tokens '%.80s' and '%.80s', expected one", v->where, (long long)id, t->s.s, text);
    t->s = (gguf_str){ text, (int64_t)strlen(text) };
    if (t->s.n > LIMIT_TOKEN_BYTES)
        return err_set(e, ERR_INPUT, "%s: token '%.40s...': found %lld bytes, expected at most %d", v->where, text, (long long)t->s.n, LIMIT_TOKEN_BYTES);
    if (!strmap_put(&v->vocab, text, t->s.n, (int32_t)id, &old)) return bad(v, "vocabulary: too many tokens collide", e);
    if (old < 0) return true;
    return err_set(e, ERR_INPUT, "%s: token '%.80s': found ids %d and %lld, expected one", v->where, text, old, (long long)id);
}

// Types and scores as if there were no added tokens; those follow.
static bool read_vocab(vocab_state *v, err *e)
{
    const cJSON *model = json_get(v->root, "model"), *vocab = json_get(model, "vocab");
    const char  *unk = cJSON_GetStringValue(json_get(model, "unk_token"));
    if (!cJSON_IsObject(vocab) || !vocab->child) return bad(v, "model.vocab: expected an object of tokens and ids", e);
    for (const cJSON *it = vocab->child; it; it = it->next) {
        int64_t id;
        if (!take_id(v, it, it->string, &id, e) || !put_token(v, id, it->string, e)) return false;
        token *t = &v->tok[id];
        t->type = is_byte_token(t->s.s, t->s.n) ? TOKEN_BYTE : unk && strcmp(unk, it->string) == 0 ? TOKEN_UNKNOWN : TOKEN_NORMAL;
    }
    return true;
}

static bool surrounded(const char *s, const char *open, const char *close)
{
    size_t n = strlen(s), a = strlen(open), b = strlen(close);
    return n >= a + b && memcmp(s, open, a) == 0 && memcmp(s + n - b, close, b) == 0;
}

// Gemma 3 marks <unused7> and the like as ordinary; in the published files they are control tokens (llama.cpp's
// does_token_look_special).
static bool looks_special(const char *s)
{
    static const char *const names[] = { "<pad>", "<mask>", "<2mass>", "[@BOS@]" };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(s, names[i]) == 0) return true;
    return surrounded(s, "<|", "|>") || surrounded(s, "<\xef\xbd\x9c", "\xef\xbd\x9c>") || surrounded(s, "<unused", ">");
}

// Special, but always shown: a reader of the chat needs to see them (llama.cpp's Gemma4Model.set_vocab).
static bool is_visible(const char *s)
{
    static const char *const names[] = { "<|channel>", "<channel|>", "<|tool_call>", "<tool_call|>", "<|tool_response>",
                                         "<tool_response|>", "<|\"|>" };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(s, names[i]) == 0) return true;
    return false;
}

static char *keep_made(vocab_state *v, char *s)
{
    if (s) v->made[v->n_made++] = s;
    return s;
}

// Gemma 3's runs of spaces are user-defined tokens, which readers look for in the text as it is, before spaces are replaced.
static bool put_spaces_back(vocab_state *v, token *t, err *e)
{
    if (!strstr(t->s.s, SPACE)) return true;
    char *s = keep_made(v, malloc((size_t)t->s.n + 1));
    int64_t n = 0;
    if (!s) return err_nomem(e, "a token", (size_t)t->s.n);
    for (int64_t i = 0; i < t->s.n; ) {
        bool sp = strncmp(t->s.s + i, SPACE, 3) == 0;
        s[n++] = sp ? ' ' : t->s.s[i];
        i += sp ? 3 : 1;
    }
    s[n] = 0;
    t->s = (gguf_str){ s, n };
    return true;
}

static bool read_added_one(vocab_state *v, const cJSON *a, err *e)
{
    const char *text;
    int64_t     id;
    bool        special;
    if (!json_str(a, "content", &text, v->where, e)) return false;
    if (!take_id(v, json_get(a, "id"), text, &id, e)) return false;
    if (!json_bool_or(a, "special", false, &special, v->where, e)) return false;
    token *t = &v->tok[id];
    if (!(t->s.s && strcmp(t->s.s, text) == 0) && !put_token(v, id, text, e)) return false;
    if (t->added) return err_set(e, ERR_INPUT, "%s: added_tokens: found '%.80s' twice", v->where, text);
    t->added = true;
    if (v->src->kind == TOK_LLAMA) special = special || looks_special(text);
    else                           special = special && !is_visible(text);
    t->type = special ? TOKEN_CONTROL : TOKEN_USER_DEFINED;
    return v->src->kind != TOK_LLAMA || special || put_spaces_back(v, t, e);
}

static bool read_added(vocab_state *v, err *e)
{
    const cJSON *list = json_get(v->root, "added_tokens");
    if (list && !cJSON_IsArray(list)) return bad(v, "added_tokens: expected an array", e);
    for (const cJSON *a = list ? list->child : NULL; a; a = a->next) {
        if (!cJSON_IsObject(a)) return bad(v, "added_tokens: expected objects", e);
        if (!read_added_one(v, a, e)) return false;
    }
    return added_flags_check(list, v->where, e);
}

// Ids that no token has, up to the rows of the embedding.
static bool pad(vocab_state *v, err *e)
{
    int64_t n_pad = 0, rank = 0;
    for (int64_t i = 0; i < v->src->n_vocab; i++) {
        token *t = &v->tok[i];
        if (!t->s.s) {
            char *s = keep_made(v, malloc(32));
            if (!s) return err_nomem(e, "a token", 32);
            t->s = (gguf_str){ s, snprintf(s, 32, "[PAD%lld]", (long long)i) };
            t->type = TOKEN_UNUSED;
            n_pad++;
        }
        if (v->src->kind == TOK_GEMMA4) t->score = -1000;
        else if (t->type == TOKEN_NORMAL) t->score = -(float)rank++;
        else if (t->type == TOKEN_UNUSED) t->score = -10000;
        else t->score = t->added ? -1000 : 0;
    }
    if (n_pad) progress_logf(v->src->log, "padded: %lld ids of %lld have no token and become [PAD<id>]", (long long)n_pad,
                             (long long)v->src->n_vocab);
    return true;
}

// ---- merges ---------------------------------------------------------------------------------------------------------------

typedef struct { char *buf; int64_t n; } join_buf;

static bool check_merge(const vocab_state *v, const merge *m, int64_t i, join_buf *b, int32_t *result, err *e)
{
    const char *s = v->merges.joined + m->off;
    int64_t n = (int64_t)m->n_left + m->n_right;
    if (b->n < n) {
        char *buf = realloc(b->buf, (size_t)n);
        if (!buf) return err_nomem(e, "a merge", (size_t)n);
        *b = (join_buf){ buf, n };
    }
    memcpy(b->buf, s, (size_t)m->n_left);
    memcpy(b->buf + m->n_left, s + m->n_left + 1, (size_t)m->n_right);
    *result = strmap_get(&v->vocab, b->buf, n);
    bool known = strmap_get(&v->vocab, s, m->n_left) >= 0 && strmap_get(&v->vocab, s + m->n_left + 1, m->n_right) >= 0;
    if (known && *result >= 0) return true;
    return err_set(e, ERR_INPUT, "%s: merges: element %lld '%.*s' + '%.*s': not in the vocabulary", v->where, (long long)i,
                   m->n_left < 80 ? m->n_left : 80, s, m->n_right < 80 ? m->n_right : 80, s + m->n_left + 1);
}

// Ways to split a token's text in two tokens, over all tokens that tokenizer.json names.
static int64_t count_splits(const vocab_state *v)
{
    int64_t n = 0;
    for (const cJSON *it = json_get(json_get(v->root, "model"), "vocab")->child; it; it = it->next) {
        const char *s = it->string;
        int64_t len = (int64_t)strlen(s);
        for (int64_t k = 1; k < len; k++)
            if (((uint8_t)s[k] & 0xc0) != 0x80 && strmap_get(&v->vocab, s, k) >= 0) n += strmap_get(&v->vocab, s + k, len - k) >= 0;
    }
    return n;
}

// Scores say which merge goes first by the id of what it makes, and that every pair that makes a token is a merge. Readers of such
// files (Transformers' generate_merges; runtime/tokenizer_merges.c) try the longer left side first. `usual`: the merges are exactly
// those, in that order.
static bool check_merges(vocab_state *v, err *e)
{
    join_buf b = { 0 };
    int32_t  last = -1, last_normal = -1, last_left = 0;
    bool     ok = true, llama = v->src->kind == TOK_LLAMA, usual = true;
    if (v->merges.n == 0) return bad(v, "model.merges: found none", e);
    for (int64_t i = 0; ok && i < v->merges.n; i++) {
        const merge *m = &v->merges.m[i];
        int32_t id = -1;
        ok = check_merge(v, m, i, &b, &id, e);
        usual = usual && (id > last || (id == last && m->n_left < last_left));
        last = id;
        last_left = m->n_left;
        // Added tokens are cut out of a text before any merge; among all others the order must be that of the scores.
        if (!ok || !llama || v->tok[id].type != TOKEN_NORMAL) continue;
        if (id < last_normal)
            ok = err_set(e, ERR_INPUT, "%s: merges: element %lld makes id %d after id %d: scores cannot say that order", v->where,
                         (long long)i, id, last_normal);
        last_normal = id;
    }
    free(b.buf);
    v->list_merges = !llama || !usual || (ok && count_splits(v) != v->merges.n);
    if (ok && llama && v->list_merges)
        progress_logf(v->src->log, "merges: not all that scores would say, or in another order: they are listed beside the scores");
    return ok;
}

// "left right". No token of a merge holds a space, because the space is what parts the two.
static bool plan_merges(gguf_plan *p, const vocab_state *v, err *e)
{
    int64_t   n = v->merges.n;
    gguf_str *s = malloc((size_t)n * sizeof *s);
    if (!s) return err_nomem(e, "merges", (size_t)n * sizeof *s);
    bool ok = true;
    for (int64_t i = 0; ok && i < n; i++) {
        const merge *m = &v->merges.m[i];
        const char  *at = v->merges.joined + m->off;
        s[i] = (gguf_str){ at, (int64_t)m->n_left + 1 + m->n_right };
        if (memchr(at, ' ', (size_t)m->n_left) || memchr(at + m->n_left + 1, ' ', (size_t)m->n_right))
            ok = err_set(e, ERR_INPUT, "%s: merges: element %lld '%.*s': a token holds a space", v->where, (long long)i,
                         s[i].n < 80 ? (int)s[i].n : 80, at);
    }
    ok = ok && gguf_plan_arr_str(p, "tokenizer.ggml.merges", s, n, e);
    free(s);
    return ok;
}

// ---- keys -----------------------------------------------------------------------------------------------------------------

static bool plan_tokens(gguf_plan *p, const vocab_state *v, err *e)
{
    size_t    n = (size_t)v->src->n_vocab;
    gguf_str *s = malloc(n * sizeof *s);
    float    *score = malloc(n * sizeof *score);
    int32_t  *type  = malloc(n * sizeof *type);
    bool      ok = s && score && type;
    if (!ok) err_nomem(e, "tokens", n * sizeof *s);
    for (size_t i = 0; ok && i < n; i++) {
        s[i]     = v->tok[i].s;
        score[i] = v->tok[i].score;
        type[i]  = v->tok[i].type;
    }
    ok = ok && gguf_plan_arr_str(p, "tokenizer.ggml.tokens", s, (int64_t)n, e)
            && gguf_plan_arr(p, "tokenizer.ggml.scores", GGUF_F32, score, (int64_t)n, e)
            && gguf_plan_arr(p, "tokenizer.ggml.token_type", GGUF_I32, type, (int64_t)n, e);
    free(s);
    free(score);
    free(type);
    return ok;
}

static bool plan_all(gguf_plan *p, vocab_state *v, err *e)
{
    bool llama = v->src->kind == TOK_LLAMA;
    if (!gguf_plan_str(p, "tokenizer.ggml.model", llama ? "llama" : "gemma4", e)) return false;
    if (llama && !gguf_plan_str(p, "tokenizer.ggml.pre", "default", e)) return false;
    if (!plan_tokens(p, v, e) || (v->list_merges && !plan_merges(p, v, e)) || !special_ids_plan(p, v->src, &v->vocab, &v->bos, e)) return false;
    const char *bos = v->bos >= 0 ? v->tok[v->bos].s.s : NULL;
    return template_meta_frame(p, v->root, v->src->tokenizer_config, bos, v->where, e)
        && gguf_plan_bool(p, "tokenizer.ggml.add_space_prefix", false, e)
        && special_ids_plan_suppressed(p, v->src, e);
}

bool tokenizer_meta_plan(gguf_plan *p, const tokenizer_source *s, err *e)
{
    vocab_state v = { .src = s };
    bool ok = false;
    snprintf(v.where, sizeof v.where, "%s/tokenizer.json", s->dir);
    if (!merges_take(&v.merges, s->text, s->n_text, v.where, e)) goto out;
    v.root = json_parse(s->text, s->n_text, v.where, e);
    if (!v.root || !check_make(&v, e)) goto out;
    v.tok  = calloc((size_t)s->n_vocab, sizeof *v.tok);
    v.made = calloc((size_t)s->n_vocab * 2, sizeof *v.made);
    if (!v.tok || !v.made) { err_nomem(e, "the vocabulary", (size_t)s->n_vocab * sizeof *v.tok); goto out; }
    if (!strmap_init(&v.vocab, s->n_vocab, e)) goto out;
    ok = read_vocab(&v, e) && read_added(&v, e) && pad(&v, e) && check_merges(&v, e) && plan_all(p, &v, e);
out:
    for (int64_t i = 0; i < v.n_made; i++) free(v.made[i]);
    free(v.made);
    free(v.tok);
    strmap_free(&v.vocab);
    cJSON_Delete(v.root);
    merges_free(&v.merges);
    return ok;
}
