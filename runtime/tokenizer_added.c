// Added tokens: found whole in a text, before anything else looks at it. The leftmost first, and of those that begin at
// one place the longest, as Transformers does it.
//
// The text is read backwards through an automaton of the backward spellings (Aho and Corasick, 1975): then it tells at
// each place the longest token that begins there, whatever tokens a file has, in time that grows with the text alone.
#define _GNU_SOURCE     // qsort_r
#include "tokenizer_internal.h"

#include "../formats/claims.h"

#include <stdlib.h>
#include <string.h>

#define KEY_TOKENS "tokenizer.ggml.tokens"

enum {
    // of all added tokens; Gemma's have 0.1 MB. The automaton takes up to forty times as much
    MAX_ADDED_BYTES = 1 << 24,
    NO_TOKEN        = -1,
};

typedef struct { int32_t from, to; uint8_t byte; } arc;     // to 0: free place, as no arc leads to the root

struct added_finder {
    int32_t  root[256];         // arcs from the root, node 0; 0: none
    arc     *arcs;              // all others, hashed by (from, byte); at most half full
    uint32_t mask;
    int32_t *fail;              // node -> node of the longest end of its text that is a beginning of a spelling
    int32_t *longest;           // node -> longest token whose spelling ends there, or NO_TOKEN
    int32_t  n;                 // nodes
};

// ---- the automaton -------------------------------------------------------------------------------------------------

static arc *arc_place(const tokenizer *t, int32_t from, uint8_t byte)
{
    const added_finder *f = t->finder;
    uint32_t i = (uint32_t)hash_place(&t->key, hash_pair(&t->key, (uint32_t)from, byte)) & f->mask;
    while (f->arcs[i].to && (f->arcs[i].from != from || f->arcs[i].byte != byte)) i = (i + 1) & f->mask;
    return &f->arcs[i];
}

// The node behind an arc, 0 if there is none.
static int32_t child(const tokenizer *t, int32_t from, uint8_t byte)
{
    return from ? arc_place(t, from, byte)->to : t->finder->root[byte];
}

static int32_t step(const tokenizer *t, int32_t node, uint8_t byte)
{
    int32_t to;
    while (!(to = child(t, node, byte)) && node) node = t->finder->fail[node];
    return to;
}

typedef struct {
    int32_t  *parent;
    uint8_t  *byte;
    uint16_t *depth;
} node_info;

// The spellings, backwards, become paths.
static void add_paths(tokenizer *t, node_info *info)
{
    added_finder *f = t->finder;
    for (int64_t i = 0; i < t->n_added; i++) {
        const added_token *a = &t->added[i];
        int32_t node = 0;
        for (int k = a->n - 1; k >= 0; k--) {
            const uint8_t byte = (uint8_t)t->added_text[a->off + (uint32_t)k];
            int32_t next = child(t, node, byte);
            if (!next) {
                next = f->n++;
                info->parent[next] = node;
                info->byte[next] = byte;
                info->depth[next] = (uint16_t)(a->n - k);
                f->longest[next] = NO_TOKEN;
                if (node) *arc_place(t, node, byte) = (arc){ node, next, byte };
                else      f->root[byte] = next;
            }
            node = next;
        }
        f->longest[node] = (int32_t)i;
    }
}

// Nearest to the root first, because a node's fail is nearer than itself.
static void add_fails(tokenizer *t, const node_info *info, int32_t *order, int32_t *at_depth, int32_t n_depths)
{
    added_finder *f = t->finder;
    for (int32_t i = 1; i < f->n; i++) at_depth[info->depth[i]]++;
    for (int32_t d = 1; d < n_depths; d++) at_depth[d] += at_depth[d - 1];
    for (int32_t i = f->n - 1; i > 0; i--) order[--at_depth[info->depth[i]]] = i;
    for (int32_t k = 0; k < f->n - 1; k++) {
        const int32_t i = order[k], parent = info->parent[i];
        f->fail[i] = parent ? step(t, f->fail[parent], info->byte[i]) : 0;
        if (f->longest[i] == NO_TOKEN) f->longest[i] = f->longest[f->fail[i]];
    }
}

static bool build(tokenizer *t, int64_t bytes, err *e)
{
    enum { N_DEPTHS = 3 * TOKEN_MAX_BYTES + 2 };
    const size_t n = (size_t)bytes + 1;
    added_finder *f = t->finder = calloc(1, sizeof *f);
    node_info info = { malloc(n * sizeof *info.parent), malloc(n), malloc(n * sizeof *info.depth) };
    int32_t  *order = malloc(n * sizeof *order), *at_depth = calloc(N_DEPTHS, sizeof *at_depth);
    uint32_t  slots = 16;
    while (slots < 2 * n) slots *= 2;
    bool ok = f != NULL;
    if (ok) {
        f->arcs = calloc(slots, sizeof *f->arcs);
        f->mask = slots - 1;
        f->fail = calloc(n, sizeof *f->fail);
        f->longest = malloc(n * sizeof *f->longest);
        ok = f->arcs && f->fail && f->longest && info.parent && info.byte && info.depth && order && at_depth;
    }
    if (ok) {
        f->n = 1;
        f->longest[0] = NO_TOKEN;
        add_paths(t, &info);
        add_fails(t, &info, order, at_depth, N_DEPTHS);
    }
    free(info.parent);
    free(info.byte);
    free(info.depth);
    free(order);
    free(at_depth);
    return ok || err_nomem(e, "the added tokens", n * 40);
}

// ---- reading them --------------------------------------------------------------------------------------------------

static int by_spelling(const void *pa, const void *pb, void *text)
{
    const added_token *a = pa, *b = pb;
    int c = memcmp((char *)text + a->off, (char *)text + b->off, a->n < b->n ? a->n : b->n);
    return c ? c : (a->n > b->n) - (a->n < b->n);
}

// Added tokens are looked for in the text as it was written, so these keep the file's spelling; respelled ones get
// theirs back.
static int64_t spell_added(const tokenizer *t, char *dst, gguf_str s)
{
    const bool back = vocab_is_respelled(t, s);
    for (int64_t i = 0; back && i < s.n; i++) memcpy(dst + 3 * i, "\xe2\x96\x81", 3);
    if (back) return 3 * s.n;
    memcpy(dst, s.s, (size_t)s.n);
    return s.n;
}

static void put_added(tokenizer *t, gguf_str s, int32_t id, uint32_t *off)
{
    const int64_t n = spell_added(t, t->added_text + *off, s);
    t->added[t->n_added++] = (added_token){ .off = *off, .n = (uint16_t)n, .id = id };
    *off += (uint32_t)n;
}

// Texts that the tokenizer knows and the embedding has no row for (hallmark.tokens_beyond); n 0 where the file lists
// none.
static bool find_beyond(const gguf *g, const gguf_kv **kv, err *e)
{
    *kv = gguf_find_kv(g, KEY_HM_BEYOND);
    if (!*kv || ((*kv)->type == GGUF_ARRAY && (*kv)->elem == GGUF_STRING)) return true;
    return tokenizer_bad_key(g, KEY_HM_BEYOND, e, "found another type, expected an array of strings");
}

static bool count_added(const tokenizer *t, const gguf *g, const gguf_kv *beyond, int64_t *n, int64_t *bytes, err *e)
{
    gguf_str_iter it = gguf_strs(gguf_find_kv(g, KEY_TOKENS));
    gguf_str      s;
    *n = *bytes = 0;
    for (int32_t id = 0; gguf_next_str(&it, &s); id++)
        if (t->tokens[id].flags & TOK_ADDED) {
            ++*n;
            *bytes += vocab_is_respelled(t, s) ? 3 * s.n : s.n;
        }
    if (beyond) it = gguf_strs(beyond);
    for (int64_t i = 0; beyond && gguf_next_str(&it, &s); i++) {
        if (s.n < 1 || s.n > TOKEN_MAX_BYTES)
            return tokenizer_bad_key(g, KEY_HM_BEYOND, e, "[%lld]: found %lld bytes, expected 1 to %d", (long long)i,
                                     (long long)s.n, TOKEN_MAX_BYTES);
        ++*n;
        *bytes += 3 * s.n;
    }
    if (*bytes <= MAX_ADDED_BYTES) return true;
    return tokenizer_bad_key(g, KEY_TOKENS, e, "found %lld bytes of tokens that are found whole in a text, expected at "
                             "most %d", (long long)*bytes, MAX_ADDED_BYTES);
}

static bool check_added(const tokenizer *t, const gguf *g, err *e)
{
    for (int64_t i = 1; i < t->n_added; i++) {
        const added_token *a = &t->added[i - 1], *b = &t->added[i];
        if (by_spelling(a, b, t->added_text) != 0) continue;
        if (a->id < 0 || b->id < 0)
            return tokenizer_bad_key(g, KEY_HM_BEYOND, e, "found '%.*s', which is another token too", (int)b->n,
                                     t->added_text + b->off);
        return tokenizer_bad_key(g, KEY_TOKENS, e, "[%d]: found the text of [%d] again", b->id, a->id);
    }
    return true;
}

bool added_load(tokenizer *t, const gguf *g, err *e)
{
    const gguf_kv *texts = gguf_find_kv(g, KEY_TOKENS), *beyond;
    int64_t        n, bytes;
    uint32_t       off = 0;
    gguf_str       s;
    if (!find_beyond(g, &beyond, e) || !count_added(t, g, beyond, &n, &bytes, e)) return false;
    t->added = malloc((size_t)(n + 1) * sizeof *t->added);
    t->added_text = malloc((size_t)bytes + 1);
    if (!t->added || !t->added_text) return err_nomem(e, "the added tokens", (size_t)bytes);
    gguf_str_iter it = gguf_strs(texts);
    for (int32_t id = 0; gguf_next_str(&it, &s); id++)
        if (t->tokens[id].flags & TOK_ADDED) put_added(t, s, id, &off);
    if (beyond) it = gguf_strs(beyond);
    while (beyond && gguf_next_str(&it, &s)) put_added(t, s, NO_TOKEN, &off);
    qsort_r(t->added, (size_t)t->n_added, sizeof *t->added, by_spelling, t->added_text);
    return check_added(t, g, e) && build(t, off, e);
}

void added_free(tokenizer *t)
{
    if (t->finder) {
        free(t->finder->arcs);
        free(t->finder->fail);
        free(t->finder->longest);
    }
    free(t->finder);
    free(t->added);
    free(t->added_text);
}

// ---- finding them --------------------------------------------------------------------------------------------------

static bool push(added_match **m, int64_t *n, int64_t *cap, const added_match *x, err *e)
{
    if (*n == *cap) {
        const int64_t want = *cap ? 2 * *cap : 64;
        added_match  *p = realloc(*m, (size_t)want * sizeof *p);
        if (!p) return err_nomem(e, "the added tokens of a text", (size_t)want * sizeof *p);
        *m = p;
        *cap = want;
    }
    (*m)[(*n)++] = *x;
    return true;
}

bool added_find(const tokenizer *t, const char *s, int64_t n, added_match **m, int64_t *n_matches, err *e)
{
    int64_t cap = 0;
    int32_t node = 0;
    *m = NULL;
    *n_matches = 0;
    for (int64_t i = n - 1; i >= 0; i--) {
        node = step(t, node, (uint8_t)s[i]);
        const int32_t found = t->finder->longest[node];
        if (found == NO_TOKEN) continue;
        if (!push(m, n_matches, &cap, &(added_match){ .at = i, .token = &t->added[found] }, e)) return false;
    }
    return true;
}
