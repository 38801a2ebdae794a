// Byte-level BPE ("gpt2" files: Llama 3, Qwen, SmolLM): the vocabulary spells each byte as a character of its own, a
// text is cut into words (tokenizer/words.h) and each word's bytes are merged. Here a token's text is its bytes; so
// comparing, merging and decoding work on bytes.
#include "tokenizer_internal.h"

#include "../formats/utf8.h"

#include <string.h>

#define KEY_PRE "tokenizer.ggml.pre"

// The character that stands for byte b: itself where it can be printed and is no space, else one of U+0100 to U+0143,
// in order (bytes_to_unicode in Transformers' GPT-2 tokenizer).
static bool is_itself(int c) { return (c >= '!' && c <= '~') || (c >= 0xa1 && c <= 0xac) || (c >= 0xae && c <= 0xff); }

// The byte that character c stands for, -1: it stands for none.
static int byte_for(uint32_t c)
{
    int b = 0;
    if (c < 256) return is_itself((int)c) ? (int)c : -1;
    for (uint32_t other = 256; b < 256; b++) {
        if (is_itself(b)) continue;
        if (other++ == c) return b;
    }
    return -1;
}

int64_t bytes_spell(uint8_t *dst, const char *s, int64_t n)
{
    int64_t w = 0;
    for (int64_t i = 0; i < n;) {
        const uint8_t *p = (const uint8_t *)s + i;
        const int len = utf8_len(p, n - i);
        const uint32_t c = len == 1 ? p[0] : len == 2 ? (uint32_t)(p[0] & 0x1f) << 6 | (p[1] & 0x3f) : UINT32_MAX;
        const int b = len > 0 && c < 0x200 ? byte_for(c) : -1;
        if (b < 0) return -1;
        dst[w++] = (uint8_t)b;
        i += len;
    }
    return w;
}

bool bytes_open(tokenizer *t, const gguf *g, err *e)
{
    gguf_str pre = { "gpt-2", 5 };
    char     name[64];
    if (gguf_find_kv(g, KEY_PRE) && !gguf_get_str(g, KEY_PRE, &pre, e)) return false;
    const int n = (int)(pre.n < (int64_t)sizeof name - 1 ? pre.n : (int64_t)sizeof name - 1);
    memcpy(name, pre.s, (size_t)n);
    name[n] = 0;
    t->pre = pretok_find(name);
    if (!t->pre || pre.n != n)
        return tokenizer_bad_key(g, KEY_PRE, e, "found '%s': how such texts are cut into words is not known", name);
    t->ignore_merges = t->pre->ignore_merges;
    t->nfc = t->pre->nfc;
    return gguf_get_bool_or(g, KEY_HM_IGNORE_MERGES, t->ignore_merges, &t->ignore_merges, e)
        && gguf_get_bool_or(g, KEY_HM_NFC, t->nfc, &t->nfc, e);
}

void bytes_index(tokenizer *t)
{
    for (int b = 0; b < 256; b++) {
        const char c = (char)(uint8_t)b;
        t->byte_id[b] = vocab_find(t, &c, 1);
    }
}

int64_t bytes_decode(char *dst, const uint8_t *src, int64_t n)
{
    int64_t w = 0;
    for (int64_t i = 0; i < n;) {
        int k = utf8_len(src + i, n - i);
        if (k > 0) {
            memcpy(dst + w, src + i, (size_t)k);
            w += k;
        } else {
            k = tokenizer_bad_len(src + i, n - i);
            memcpy(dst + w, "\xef\xbf\xbd", 3);
            w += 3;
        }
        i += k;
    }
    return w;
}
