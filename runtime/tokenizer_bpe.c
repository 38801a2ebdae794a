// Byte-pair merging, as Transformers' tokenizers crate does it: among all adjacent pairs that merge, the lowest rank
// goes first, and among equal ranks the leftmost. Characters that are not in the vocabulary become their bytes
// (byte_fallback), or one unknown token for a run of them (fuse_unk).
//
// Gemma has no pre-tokenizer: a whole text is one word. To keep the work near the cache it is cut wherever no merge has
// a left side that ends in the byte before and a right side that begins with the byte after; what lies on the two sides
// of such a place never merges, so the pieces can be merged one by one with the same result. A short piece is merged by
// scanning for the lowest rank, a long one with a heap (n log n); a piece seen lately is copied.
#include "tokenizer_internal.h"

#include "../formats/utf8.h"
#include "tokenizer/nfc.h"
#include "tokenizer/words.h"

#include <stdlib.h>
#include <string.h>

enum {
    SHORT_PIECE = 32,           // symbols; up to here scanning beats the heap
    CACHE_SLOTS = 4096,         // cache_slot gives 12 bits
    CACHE_BYTES = 64,           // longest piece worth remembering
};

typedef struct {
    int32_t id;                 // -1: merged into the one before
    int32_t prev, next;         // -1: none
    int32_t rank;               // of merging with next; INT32_MAX: they do not merge
    int32_t merged;             // the id they would become
} symbol;

typedef struct {
    int64_t text, ids;          // where the piece stands in bpe.text, and its ids in bpe.ids
    int32_t n_text, n_ids;      // n_text 0: empty
} cached;

struct bpe {
    const tokenizer *t;
    int32_t *ids;
    int64_t  n_ids, cap_ids;
    char    *text;              // what was encoded so far, in display spelling
    int64_t  n_text;
    symbol  *symbols;           // grows to the longest piece
    int64_t  cap_symbols;
    uint64_t *heap;             // rank << 32 | position of the left symbol
    int64_t  n_heap, cap_heap;
    cached   cache[CACHE_SLOTS];
    words   *words;             // byte-level: what cuts a text
};

bpe *bpe_new(const tokenizer *t, int64_t n_bytes, err *e)
{
    bpe *b = calloc(1, sizeof *b);
    // NFC may take three bytes for one (Unicode Standard Annex 15); a space may be put before each byte.
    const size_t most = t->nfc ? 3 : t->prefix != SPACE_NONE ? 2 : 1;
    if (b) b->text = malloc((size_t)n_bytes * most + 1);
    if (!b || !b->text) {
        err_nomem(e, "encoding a text", (size_t)n_bytes);
        bpe_free(b);
        return NULL;
    }
    b->t = t;
    if (t->byte_level) b->words = words_new(t->pre, e);
    if (!t->byte_level || b->words) return b;
    bpe_free(b);
    return NULL;
}

void bpe_free(bpe *b)
{
    if (!b) return;
    free(b->ids);
    free(b->text);
    free(b->symbols);
    free(b->heap);
    words_free(b->words);
    free(b);
}

void bpe_take(bpe *b, int32_t **ids, int64_t *n)
{
    *ids = b->ids;
    *n = b->n_ids;
    b->ids = NULL;
    b->n_ids = b->cap_ids = 0;
}

static bool reserve_ids(bpe *b, int64_t more, err *e)
{
    if (b->n_ids + more <= b->cap_ids) return true;
    int64_t  cap = (b->n_ids + more) + (b->n_ids + more) / 2 + 16;
    int32_t *p = realloc(b->ids, (size_t)cap * sizeof *p);
    if (!p) return err_nomem(e, "the ids of a text", (size_t)cap * sizeof *p);
    b->ids = p;
    b->cap_ids = cap;
    return true;
}

bool bpe_push(bpe *b, int32_t id, err *e)
{
    if (!reserve_ids(b, 1, e)) return false;
    b->ids[b->n_ids++] = id;
    return true;
}

// ---- characters to first symbols -----------------------------------------------------------------------------------

static int byte_symbols(const tokenizer *t, int32_t *dst, const char *s, int n)
{
    for (int i = 0; i < n; i++) {
        dst[i] = t->byte_id[(uint8_t)s[i]];
        if (dst[i] < 0) return 0;
    }
    return n;
}

// A vocabulary without U+2581 has three bytes for what is one space here.
static int64_t symbols_room(const tokenizer *t, int64_t n) { return t->has_space || t->byte_level ? n : 3 * n; }

// One symbol a byte. A byte that the vocabulary lacks vanishes, as in Transformers.
static int64_t first_bytes(const tokenizer *t, int32_t *dst, const char *s, int64_t n)
{
    int64_t w = 0;
    for (int64_t i = 0; i < n; i++)
        if (t->byte_id[(uint8_t)s[i]] >= 0) dst[w++] = t->byte_id[(uint8_t)s[i]];
    return w;
}

// One symbol a character; dst holds symbols_room(n). An unknown run is written when a known character follows or the
// text ends, so that byte tokens in its midst come before it: so does the reference.
static int64_t first_symbols(const tokenizer *t, int32_t *dst, const char *s, int64_t n)
{
    int64_t w = 0;
    bool    unknown = false;
    for (int64_t i = 0; i < n;) {
        int     len = utf8_len((const uint8_t *)s + i, n - i);
        int32_t id = vocab_find(t, s + i, len);
        int k = id >= 0       ? 0
                : s[i] == ' ' ? byte_symbols(t, dst + w, "\xe2\x96\x81", 3)
                              : byte_symbols(t, dst + w, s + i, len);
        if (id >= 0) {
            if (unknown) dst[w++] = t->unk;
            unknown = false;
            dst[w++] = id;
        } else if (k > 0) {
            w += k;
        } else {
            unknown = true;
        }
        i += len;
    }
    if (unknown) dst[w++] = t->unk;
    return w;
}

// ---- merging -------------------------------------------------------------------------------------------------------

// ids: [n], merged in place. Returns how many are left.
static int merge_short(const tokenizer *t, int32_t *ids, int n)
{
    int32_t rank[SHORT_PIECE], merged[SHORT_PIECE];
    for (int i = 0; i + 1 < n; i++) rank[i] = merges_find(t, ids[i], ids[i + 1], &merged[i]);
    while (n > 1) {
        int best = 0;
        for (int i = 1; i + 1 < n; i++)
            if (rank[i] < rank[best]) best = i;
        if (rank[best] == INT32_MAX) break;
        ids[best] = merged[best];
        n--;
        memmove(ids + best + 1, ids + best + 2, (size_t)(n - best - 1) * sizeof *ids);
        memmove(rank + best, rank + best + 1, (size_t)(n - best - 1) * sizeof *rank);
        memmove(merged + best, merged + best + 1, (size_t)(n - best - 1) * sizeof *merged);
        if (best > 0) rank[best - 1] = merges_find(t, ids[best - 1], ids[best], &merged[best - 1]);
        if (best + 1 < n) rank[best] = merges_find(t, ids[best], ids[best + 1], &merged[best]);
    }
    return n;
}

static void sift_down(uint64_t *h, int64_t n, int64_t i)
{
    uint64_t x = h[i];
    for (int64_t c; (c = 2 * i + 1) < n; i = c) {
        if (c + 1 < n && h[c + 1] < h[c]) c++;
        if (x <= h[c]) break;
        h[i] = h[c];
    }
    h[i] = x;
}

static void heap_push(bpe *b, uint64_t x)
{
    int64_t i = b->n_heap++;
    for (; i > 0 && x < b->heap[(i - 1) / 2]; i = (i - 1) / 2) b->heap[i] = b->heap[(i - 1) / 2];
    b->heap[i] = x;
}

static uint64_t heap_pop(bpe *b)
{
    uint64_t top = b->heap[0];
    b->heap[0] = b->heap[--b->n_heap];
    if (b->n_heap) sift_down(b->heap, b->n_heap, 0);
    return top;
}

static uint64_t heap_key(const symbol *s, int64_t i) { return (uint64_t)(uint32_t)s[i].rank << 32 | (uint64_t)i; }

static void pair_up(bpe *b, int64_t i)
{
    symbol *s = b->symbols;
    s[i].rank = s[i].next < 0 ? INT32_MAX : merges_find(b->t, s[i].id, s[s[i].next].id, &s[i].merged);
}

// Each merge takes one entry off the heap and puts at most two on, so 2n entries are room enough.
static bool reserve_symbols(bpe *b, int64_t n, err *e)
{
    if (n <= b->cap_symbols) return true;
    free(b->symbols);
    free(b->heap);
    b->cap_symbols = 0;
    b->symbols = malloc((size_t)n * sizeof *b->symbols);
    b->heap = malloc((size_t)n * 2 * sizeof *b->heap);
    if (!b->symbols || !b->heap)
        return err_nomem(e, "merging a text", (size_t)n * (sizeof *b->symbols + 2 * sizeof *b->heap));
    b->cap_symbols = n;
    return true;
}

// ids: [n], merged in place. An entry of the heap is stale when its symbol is gone or its pair's rank is another by
// now.
static bool merge_long(bpe *b, int32_t *ids, int64_t *n, err *e)
{
    if (!reserve_symbols(b, *n, e)) return false;
    symbol *s = b->symbols;
    for (int64_t i = 0; i < *n; i++)
        s[i] = (symbol){ .id = ids[i], .prev = (int32_t)i - 1, .next = i + 1 < *n ? (int32_t)i + 1 : -1 };
    b->n_heap = 0;
    for (int64_t i = 0; i < *n; i++) {
        pair_up(b, i);
        if (s[i].rank != INT32_MAX) b->heap[b->n_heap++] = heap_key(s, i);
    }
    for (int64_t i = b->n_heap / 2; i-- > 0;) sift_down(b->heap, b->n_heap, i);
    while (b->n_heap) {
        uint64_t top = heap_pop(b);
        int64_t  i = (int64_t)(top & UINT32_MAX);
        if (s[i].id < 0 || heap_key(s, i) != top) continue;
        int64_t gone = s[i].next, prev = s[i].prev;
        s[i].id = s[i].merged;
        s[i].next = s[gone].next;
        s[gone].id = -1;
        if (s[i].next >= 0) s[s[i].next].prev = (int32_t)i;
        pair_up(b, i);
        if (s[i].rank != INT32_MAX) heap_push(b, heap_key(s, i));
        if (prev < 0) continue;
        pair_up(b, prev);
        if (s[prev].rank != INT32_MAX) heap_push(b, heap_key(s, prev));
    }
    int64_t w = 0;
    for (int64_t i = 0; i < *n; i++)
        if (s[i].id >= 0) ids[w++] = s[i].id;
    *n = w;
    return true;
}

// ---- pieces --------------------------------------------------------------------------------------------------------

// Without a secret: a slot holds one piece, so pieces that were made to meet there only put each other out.
static uint32_t cache_slot(const char *s, int64_t n)
{
    uint64_t h = 0;
    for (int64_t i = 0; i < n; i++) h = h * 0x9e3779b97f4a7c15ull + (uint8_t)s[i] + 1;
    return (uint32_t)(h >> 52);
}

static bool bpe_piece(bpe *b, const char *s, int64_t n, err *e)
{
    if (!reserve_ids(b, symbols_room(b->t, n), e)) return false;
    cached *c = NULL;
    if (n <= CACHE_BYTES) {
        c = &b->cache[cache_slot(s, n)];
        if (c->n_text == n && memcmp(b->text + c->text, s, (size_t)n) == 0) {
            memcpy(b->ids + b->n_ids, b->ids + c->ids, (size_t)c->n_ids * sizeof *b->ids);
            b->n_ids += c->n_ids;
            return true;
        }
    }
    int32_t *ids = b->ids + b->n_ids;
    const int32_t whole = b->t->ignore_merges ? vocab_find(b->t, s, n) : -1;
    int64_t  k = b->t->byte_level ? first_bytes(b->t, ids, s, n) : first_symbols(b->t, ids, s, n);
    if (whole >= 0) {
        ids[0] = whole;
        k = 1;
    } else if (k <= SHORT_PIECE) k = merge_short(b->t, ids, (int)k);
    else if (!merge_long(b, ids, &k, e)) return false;
    if (c) *c = (cached){ .text = s - b->text, .ids = b->n_ids, .n_text = (int32_t)n, .n_ids = (int32_t)k };
    b->n_ids += k;
    return true;
}

static bool bpe_word(void *ctx, const char *s, int64_t n, err *e) { return bpe_piece(ctx, s, n, e); }

// Normalized, cut into words, each merged by itself.
static bool byte_level_text(bpe *b, const char *src, int64_t n, err *e)
{
    char   *s = b->text + b->n_text, *normal = NULL;
    int64_t n_normal = n;
    if (b->t->nfc && !nfc_text(src, n, &normal, &n_normal, e)) return false;
    memcpy(s, normal ? normal : src, (size_t)n_normal);
    free(normal);
    b->n_text += n_normal;
    return words_cut(b->words, s, n_normal, bpe_word, b, e);
}

// Is a space put before s, which is in display spelling?
static bool wants_space(const tokenizer *t, const char *s, int64_t n, bool first)
{
    const bool missing = n > 0 && s[0] != ' ';
    switch (t->prefix) {
    case SPACE_EACH:    return n > 0;
    case SPACE_MISSING: return missing;
    case SPACE_FIRST:   return missing && first;
    default:            return false;
    }
}

bool bpe_text(bpe *b, const char *src, int64_t n, bool first, err *e)
{
    const tokenizer *t = b->t;
    if (t->byte_level) return byte_level_text(b, src, n, e);
    char   *s = b->text + b->n_text;
    int64_t begin = 0;
    n = vocab_spell(s, src, n);
    if (wants_space(t, s, n, first)) {
        memmove(s + 1, s, (size_t)n++);
        s[0] = ' ';
    }
    b->n_text += n;
    for (int64_t i = 1; i < n; i++) {
        bool boundary = ((uint8_t)s[i] & 0xc0) != 0x80;     // between two characters
        if (!boundary || !t->may_cut || joins(t, (uint8_t)s[i - 1], (uint8_t)s[i])) continue;
        if (!bpe_piece(b, s + begin, i - begin, e)) return false;
        begin = i;
    }
    return n == begin || bpe_piece(b, s + begin, n - begin, e);
}
