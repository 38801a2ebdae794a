// model: what a file of a known architecture must hold to be run, and its memory plan.
#include "model.h"
#include "program.h"
#include "../formats/checked.h"
#include <stdlib.h>
#include <string.h>

// ---- memory plan ----------------------------------------------------------------------------------------------------

int64_t kv_capacity(const hparams *h, int layer, int64_t n_ctx, int n_batch)
{
    // A sliding layer keeps its window, and room for the batch that is stored before its first token is done with the
    // oldest key.
    const int64_t slide = h->window + n_batch - 1;
    return h->layers[layer].sliding && slide < n_ctx ? slide : n_ctx;
}

// ---- model ----------------------------------------------------------------------------------------------------------

struct model { gguf *g; hparams h; tokenizer *tok; };

// What other GGUF files say that they are; a model says so or says nothing.
static const char *const no_models[] = { "adapter", "mmproj", "imatrix", "vocab" };

static bool is_no_model(const gguf *g, const char **what)
{
    gguf_str type;
    if (!gguf_kv_str(gguf_find_kv(g, "general.type"), &type)) return false;
    for (size_t i = 0; i < sizeof no_models / sizeof *no_models; i++) {
        *what = no_models[i];
        if (type.n == (int64_t)strlen(*what) && memcmp(type.s, *what, (size_t)type.n) == 0) return true;
    }
    return false;
}

static bool check_whole(const gguf *g, err *e)
{
    const char *what;
    int64_t parts;
    if (is_no_model(g, &what))
        return err_set(e, ERR_INPUT, "%s: key 'general.type': found '%s', expected 'model'", gguf_path(g), what);
    if (!gguf_get_i64_or(g, "split.count", 1, &parts, e)) return false;
    if (parts < 0 || parts > 1)
        return err_set(e, ERR_INPUT, "%s: key 'split.count': found one part of %lld, expected a whole model",
                       gguf_path(g), (long long)parts);
    return true;
}

bool model_is_ours(const gguf *g)
{
    const char *what;
    int64_t parts;
    err why = { 0 };
    const gguf_kv *arch = gguf_find_kv(g, "general.architecture");
    if (!arch || is_no_model(g, &what)) return false;
    if (gguf_get_i64_or(g, "split.count", 1, &parts, &why) && parts > 1) return false;
    return arch->type != GGUF_STRING || hparams_known(g);           // no text: no architecture at all
}

// Everything of m but the file, which is open.
static bool read_model(model *m, err *e)
{
    if (!check_whole(m->g, e) || !hparams_read(&m->h, m->g, e)) return false;
    if (m->h.n_vocab == 0)
        return err_set(e, ERR_INPUT, "%s: found no tensors, expected those of a model", gguf_path(m->g));
    if (!program_check_tensors(&m->h, m->g, e)) return false;
    m->tok = tokenizer_new(m->g, e);
    if (!m->tok) return false;
    if (tokenizer_n_vocab(m->tok) == m->h.n_vocab) return true;
    return err_set(e, ERR_INPUT,
                   "%s: key 'tokenizer.ggml.tokens': found %d tokens, expected %lld (rows of token_embd.weight)",
                   gguf_path(m->g), tokenizer_n_vocab(m->tok), (long long)m->h.n_vocab);
}

bool model_check(const gguf *g, err *e)
{
    model m = { .g = (gguf *)(uintptr_t)g };        // only read
    const bool ok = read_model(&m, e);
    tokenizer_free(m.tok);
    hparams_free(&m.h);
    return ok;
}

model *model_open(const char *path, err *e)
{
    model *m = calloc(1, sizeof *m);
    if (!m) { err_nomem(e, "model", sizeof *m); return NULL; }
    m->g = gguf_open(path, e);
    if (m->g && read_model(m, e)) return m;
    model_close(m);
    return NULL;
}

void model_close(model *m)
{
    if (!m) return;
    tokenizer_free(m->tok);
    hparams_free(&m->h);
    gguf_close(m->g);
    free(m);
}

const gguf      *model_gguf(const model *m)      { return m->g; }
const hparams   *model_hparams(const model *m)   { return &m->h; }
const tokenizer *model_tokenizer(const model *m) { return m->tok; }
