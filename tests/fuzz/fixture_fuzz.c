// Any bytes as a fixture, twice: as the file itself, and as the text that a well-formed gzip file holds, because a
// fuzzer hardly gets past the CRC otherwise.
#include "formats/fixture.h"
#include "fuzz.h"

#include <math.h>
#include <string.h>
#include <zlib.h>

static unsigned read_case(const fixture *f, const fixture_case *c)
{
    unsigned sum = touch(c->id, (int64_t)strlen(c->id) + 1) + touch(c->category, (int64_t)strlen(c->category) + 1) +
                   touch(c->prompt, c->prompt_bytes + 1);
    MUST(c->n_prompt >= 1);
    for (int64_t i = 0; i < c->n_prompt; i++) MUST(c->prompt_ids[i] >= 0);
    for (int t = 0; t < f->tokens; t++) {
        const fixture_step *s = &c->steps[t];
        MUST(c->generated_ids[t] == s->ids[0]);
        for (int k = 0; k < f->top_k; k++) MUST(s->ids[k] >= 0 && isfinite(s->logits[k]) && isfinite(s->logprobs[k]));
    }
    for (int i = 0; i < c->n_probes; i++)
        for (int k = 0; k < c->probes[i].n; k++) MUST(c->probes[i].index[k] >= 0 && isfinite(c->probes[i].value[k]));
    for (int r = 0; r < c->n_self; r++)
        for (int t = 0; t < f->tokens; t++)
            MUST(c->self[r].top[t] >= 0 && c->self[r].second[t] >= 0 && isfinite(c->self[r].margin[t]) &&
                 isfinite(c->self[r].margin_of_base[t]) && isfinite(c->self[r].kl[t]));
    return sum;
}

static void open_one(const uint8_t *gz, int64_t n)
{
    err      e = { 0 };
    fixture *f = fixture_open_mem(gz, n, "fuzz.json.gz", &e);
    if (!f) { must_be_refusal(&e); return; }
    MUST(f->config && f->dtype && f->model_name && f->n_cases >= 1 && strlen(f->file_digest) == SHA256_HEX);
    for (int64_t i = 0; i < f->n_cases; i++) use(read_case(f, &f->cases[i]));
    fixture_close(f);
}

static int64_t gzip_of(const uint8_t *data, size_t size, uint8_t **out)
{
    z_stream z = { 0 };
    MUST(deflateInit2(&z, 1, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK);
    uLong room = deflateBound(&z, size);
    *out = malloc(room);
    MUST(*out != NULL);
    z.next_in   = (Bytef *)(uintptr_t)data;
    z.avail_in  = (uInt)size;
    z.next_out  = *out;
    z.avail_out = (uInt)room;
    MUST(deflate(&z, Z_FINISH) == Z_STREAM_END);
    int64_t n = (int64_t)z.total_out;
    deflateEnd(&z);
    return n;
}

int fuzz_one(const uint8_t *data, size_t size)
{
    uint8_t *gz;
    open_one(data, (int64_t)size);
    int64_t n = gzip_of(data, size, &gz);
    open_one(gz, n);
    free(gz);
    return 0;
}
