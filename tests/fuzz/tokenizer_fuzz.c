// Any bytes as a GGUF file with a tokenizer: refused in one line, or every text becomes ids of the vocabulary, and ids
// become text. The texts are a few of our own, and the file's own bytes.
#include "fuzz.h"
#include "runtime/tokenizer.h"

#include <string.h>

enum { OWN_BYTES = 1 << 16 };       // of the file's, as text

static void check_ids(const tokenizer *t, const int32_t *ids, int64_t n)
{
    char   *text;
    int64_t n_text;
    err     e = { 0 };
    for (int64_t i = 0; i < n; i++) {
        const char *s;
        int64_t n_piece;
        MUST(ids[i] >= 0 && ids[i] < tokenizer_n_vocab(t));
        MUST(tokenizer_piece(t, ids[i], &s, &n_piece) && n_piece >= 0);
        use(touch(s, n_piece) + tokenizer_is_end(t, ids[i]) + tokenizer_is_special(t, ids[i]));
    }
    for (int skip = 0; skip < 2; skip++) {
        MUST(tokenizer_decode(t, ids, n, skip, &text, &n_text, &e));
        MUST(text[n_text] == '\0');
        use(touch(text, n_text));
        free(text);
    }
}

static void encode(const tokenizer *t, const char *text, int64_t n)
{
    for (int how = 0; how < 4; how++) {
        int32_t *ids = NULL;
        int64_t  n_ids = 0;
        err      e = { 0 };
        if (!tokenizer_encode(t, text, n, how & 1, how & 2, &ids, &n_ids, &e)) {
            must_be_refusal(&e);
            continue;
        }
        // No more than an id for each byte, or three where an invalid one becomes U+FFFD, and the two ends.
        MUST(n_ids >= 0 && n_ids <= 3 * n + 2);
        check_ids(t, ids, n_ids);
        free(ids);
    }
}

int fuzz_one(const uint8_t *data, size_t size)
{
    static const char *const texts[] = { "", "a", " ab abc  c", "<bos>x<eos>", "\xe2\x96\x81\xe2\x96\x81 \n\n\t",
                                         "na\xc3\xafve \xf0\x9f\x98\x80 \xff\xc3(", "<0x41>[toy]" };
    err   e = { 0 };
    gguf *g = gguf_open_mem(data, (int64_t)size, "tokenizer.gguf", &e);
    if (!g) { must_be_refusal(&e); return 0; }
    tokenizer *t = tokenizer_new(g, &e);
    if (!t) {
        must_be_refusal(&e);
    } else {
        MUST(tokenizer_n_vocab(t) >= 1 && tokenizer_bos(t) < tokenizer_n_vocab(t));
        for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) encode(t, texts[i], (int64_t)strlen(texts[i]));
        encode(t, (const char *)data, (int64_t)(size < OWN_BYTES ? size : OWN_BYTES));
    }
    tokenizer_free(t);
    gguf_close(g);
    return 0;
}
