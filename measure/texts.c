// texts: see texts.h.
#include "texts.h"
#include "../formats/file_map.h"
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LIMIT_TEXT_BYTES ((int64_t)64 << 20)

bool texts_load(char **text, int64_t *n_bytes, const char *path, err *e)
{
    return file_read_text(text, n_bytes, path, LIMIT_TEXT_BYTES, e);
}

bool texts_append(token_list *to, const model *m, const char *path, bool with_bos, char hex[SHA256_HEX + 1], err *e)
{
    char    *text = NULL;
    int32_t *ids = NULL;
    int64_t  n_bytes, n = 0;
    bool ok = texts_load(&text, &n_bytes, path, e) && (!hex || sha256_bytes(text, n_bytes, hex, e)) &&
              tokenizer_encode(model_tokenizer(m), text, n_bytes, with_bos, false, &ids, &n, e);
    if (ok && n > 0) {
        int32_t *grown = realloc(to->v, (size_t)(to->n + n) * sizeof *grown);
        ok = grown || err_nomem(e, "tokens", (size_t)(to->n + n) * sizeof *grown);
        if (ok) {
            memcpy(grown + to->n, ids, (size_t)n * sizeof *ids);
            to->v = grown;
            to->n += n;
        }
    }
    free(text);
    free(ids);
    return ok;
}

bool texts_read(int32_t **ids, int64_t *n_ids, const model *m, const char *path, int64_t max_ids, err *e)
{
    token_list all = { 0 };
    const bool ok = texts_append(&all, m, path, false, NULL, e);
    *ids = all.v;
    *n_ids = max_ids > 0 && all.n > max_ids ? max_ids : all.n;
    return ok;
}

int32_t texts_bos(const model *m)
{
    const tokenizer *tok = model_tokenizer(m);
    return tokenizer_add_bos(tok) ? tokenizer_bos(tok) : -1;
}

// *copy: the ids of a chunk's beginning with bos for the first, freed by the caller; NULL where they run as they are.
// The session forgets what it ran.
static bool begin_chunk(session *run, const int32_t *ids, int64_t n, bool begins, int32_t bos, int32_t **copy, err *e)
{
    assert(n > 0);
    *copy = NULL;
    if (begins) session_reset(run);
    if (!begins || bos < 0) return true;
    if (!(*copy = malloc((size_t)n * sizeof **copy))) return err_nomem(e, "tokens", (size_t)n * sizeof **copy);
    memcpy(*copy, ids, (size_t)n * sizeof **copy);
    (*copy)[0] = bos;
    return true;
}

bool texts_run(session *run, const int32_t *ids, int64_t n, bool begins, int32_t bos, float *logits, err *e)
{
    int32_t *copy;
    const bool ok = begin_chunk(run, ids, n, begins, bos, &copy, e)
        && session_eval(run, copy ? copy : ids, n, logits, logits ? n : 0, NULL, e);
    free(copy);
    return ok;
}

bool texts_step(session *run, const int32_t *ids, int n, bool begins, int32_t bos, err *e)
{
    int32_t *copy;
    const bool ok = begin_chunk(run, ids, n, begins, bos, &copy, e) && session_step(run, copy ? copy : ids, n, e);
    free(copy);
    return ok;
}

bool texts_all_finite(const row_stats *stats, int n, const char *who, const char *kv, int64_t chunk, int64_t first,
                      err *e)
{
    for (int i = 0; i < n; i++)
        if (!stats[i].finite)
            return err_set(e, ERR_INPUT, "%s: %s%s%schunk %lld, position %lld: logits are not finite", who,
                           kv ? "cache " : "", kv ? kv : "", kv ? ": " : "", (long long)chunk, (long long)(first + i));
    return true;
}

bool texts_all_numbers(const double *kl, int n, const char *who, int64_t chunk, int64_t first, err *e)
{
    for (int i = 0; i < n; i++)
        if (!isfinite(kl[i]))
            return err_set(e, ERR_SYSTEM, "%s: chunk %lld, position %lld: the divergence came out as %g", who,
                           (long long)chunk, (long long)(first + i), kl[i]);
    return true;
}
