// model: hyperparameters from GGUF metadata, checked against each other before anything is computed from them.
#include "model.h"
#include "program.h"
#include "../formats/claims.h"
#include "../formats/key_defaults.h"
#include "../quant/policy.h"
#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct { const gguf *g; const char *arch; err *e; char key[128]; } reader;

static const char *key_of(reader *r, const char *suffix)
{
    snprintf(r->key, sizeof r->key, "%s.%s", r->arch, suffix);
    return r->key;
}

static bool bad(reader *r, const char *suffix, const char *what)
{
    return err_set(r->e, ERR_INPUT, "%s: key '%s': %s", gguf_path(r->g), key_of(r, suffix), what);
}

static bool read_int(reader *r, const char *suffix, int64_t lo, int64_t hi, int64_t *out)
{
    if (!gguf_get_i64(r->g, key_of(r, suffix), out, r->e)) return false;
    if (*out < lo || *out > hi)
        return err_set(r->e, ERR_INPUT, "%s: key '%s': found %lld, expected %lld to %lld", gguf_path(r->g), r->key,
                       (long long)*out, (long long)lo, (long long)hi);
    return true;
}

static bool read_int_or(reader *r, const char *suffix, int64_t lo, int64_t hi, int64_t def, int64_t *out)
{
    if (gguf_find_kv(r->g, key_of(r, suffix))) return read_int(r, suffix, lo, hi, out);
    *out = def;
    return true;
}

static bool read_float_or(reader *r, const char *suffix, float def, bool positive, float *out)
{
    if (!gguf_get_f32_or(r->g, key_of(r, suffix), def, out, r->e)) return false;
    if (!(positive ? *out > 0.0f : *out >= 0.0f) || !isfinite(*out)) return bad(r, suffix, positive ? "expected a number above 0" : "expected a number of at least 0");
    return true;
}

// Where the key is absent: llama.cpp's default, which must be in the table.
static float arch_default(const reader *r, const char *suffix)
{
    double v = 0;
    bool known = key_default(r->arch, suffix, &v);
    assert(known);
    (void)known;
    return (float)v;
}

static bool read_required(reader *r, const char *suffix, float *out)
{
    return gguf_find_kv(r->g, key_of(r, suffix)) ? read_float_or(r, suffix, 0, true, out) : bad(r, suffix, "missing");
}

static bool read_optional(reader *r, const char *suffix, bool positive, float *out)
{
    return read_float_or(r, suffix, arch_default(r, suffix), positive, out);
}

// A value for each layer: an array of n_layer integers, or one integer for all.
static bool read_per_layer(reader *r, const char *suffix, int64_t lo, int64_t hi, int n_layer, int64_t *out)
{
    const gguf_kv *kv = gguf_find_kv(r->g, key_of(r, suffix));
    if (!kv) return bad(r, suffix, "missing");
    if (kv->type != GGUF_ARRAY) {
        int64_t v;
        if (!read_int(r, suffix, lo, hi, &v)) return false;
        for (int i = 0; i < n_layer; i++) out[i] = v;
        return true;
    }
    if (kv->n != n_layer) return bad(r, suffix, "the array does not have one value for each layer");
    for (int i = 0; i < n_layer; i++)
        if (!gguf_arr_i64(kv, i, &out[i]) || out[i] < lo || out[i] > hi) return bad(r, suffix, "a value is out of range");
    return true;
}

// Layer kinds: an array of booleans, or a period (every n-th layer is full), or the period a published file leaves unsaid.
static bool read_pattern(reader *r, int64_t period_if_absent, hparams *h)
{
    const char *suffix = "attention.sliding_window_pattern";
    const gguf_kv *kv = gguf_find_kv(r->g, key_of(r, suffix));
    if (kv && kv->type == GGUF_ARRAY) {
        if (kv->n != h->n_layer) return bad(r, suffix, "the array does not have one value for each layer");
        for (int i = 0; i < h->n_layer; i++) {
            int64_t v;
            if (!gguf_arr_i64(kv, i, &v)) return bad(r, suffix, "expected booleans");
            h->layers[i].sliding = v != 0;
        }
        return true;
    }
    int64_t period = period_if_absent;
    if (kv && !read_int(r, suffix, 1, LIMIT_LAYERS, &period)) return false;
    if (period == 0) return bad(r, suffix, "missing");
    for (int i = 0; i < h->n_layer; i++) h->layers[i].sliding = h->window > 0 && (i + 1) % period != 0;
    return true;
}

// Transformers' rule (Gemma4TextConfig.kv_sharing_modes): a sharing layer reads the last earlier layer of its kind that has its own.
static bool link_shared_layers(reader *r, int64_t n_shared, hparams *h)
{
    const int first_shared = h->n_layer - (int)n_shared;
    for (int i = 0; i < h->n_layer; i++) {
        layer_shape *l = &h->layers[i];
        l->has_kv = i < first_shared;
        l->kv_source = i;
        if (l->has_kv) continue;
        int j = first_shared - 1;
        while (j >= 0 && h->layers[j].sliding != l->sliding) j--;
        if (j < 0)
            return err_set(r->e, ERR_INPUT, "%s: layer %d shares keys and values, but no earlier layer of its kind (%s) has any", gguf_path(r->g), i,
                           l->sliding ? "sliding" : "full");
        l->kv_source = j;
    }
    return true;
}

static bool is_gemma(const hparams *h) { return h->family == FAMILY_GEMMA3 || h->family == FAMILY_GEMMA4; }

// Outside Gemma a file may leave it out: as many as query heads, as llama.cpp takes it.
static bool read_heads_kv(reader *r, const hparams *h, int64_t *n_kv)
{
    const char *suffix = "attention.head_count_kv";
    if (is_gemma(h) || gguf_find_kv(r->g, key_of(r, suffix))) return read_per_layer(r, suffix, 1, 1 << 12, h->n_layer, n_kv);
    for (int i = 0; i < h->n_layer; i++) n_kv[i] = h->n_head;
    return true;
}

// The size of a head: said, or (outside Gemma) an equal share of the state, as llama.cpp takes it.
static bool read_head_dim(reader *r, const hparams *h, int64_t *head_dim)
{
    if (is_gemma(h) || gguf_find_kv(r->g, key_of(r, "attention.key_length"))) return read_int(r, "attention.key_length", 2, 4096, head_dim);
    *head_dim = h->n_embd / h->n_head;
    if (h->n_embd % h->n_head != 0) return bad(r, "attention.head_count", "does not divide embedding_length, and there is no attention.key_length");
    return *head_dim >= 2 || bad(r, "attention.head_count", "heads have less than two elements");
}

// Llama's kinds: where the file has a window all layers are alike, or a list says which of them have it (Qwen).
static bool read_pattern_of(reader *r, hparams *h)
{
    const gguf_kv *kv = gguf_find_kv(r->g, key_of(r, "attention.sliding_window_pattern"));
    if (h->family == FAMILY_GEMMA4) return read_pattern(r, 0, h);
    if (h->family == FAMILY_GEMMA3) return read_pattern(r, (int64_t)arch_default(r, "attention.sliding_window_pattern"), h);
    if (kv) return read_pattern(r, 1, h);
    for (int i = 0; i < h->n_layer; i++) h->layers[i].sliding = h->window > 0;
    return true;
}

static bool read_layers(reader *r, hparams *h)
{
    int64_t head_dim, head_dim_swa, n_shared, *v = calloc((size_t)h->n_layer * 2, sizeof *v);
    if (!v) return err_nomem(r->e, "layer table", 0);
    int64_t *n_ff = v, *n_kv = v + h->n_layer;
    bool ok = read_per_layer(r, "feed_forward_length", 1, 1 << 24, h->n_layer, n_ff) &&
              read_heads_kv(r, h, n_kv) &&
              read_head_dim(r, h, &head_dim) &&
              read_int_or(r, "attention.key_length_swa", 2, 4096, head_dim, &head_dim_swa) &&
              read_int_or(r, "attention.shared_kv_layers", 0, h->n_layer - 1, 0, &n_shared) &&
              read_pattern_of(r, h);
    for (int i = 0; ok && i < h->n_layer; i++) {
        layer_shape *l = &h->layers[i];
        l->n_ff = (int)n_ff[i];
        l->n_kv_head = (int)n_kv[i];
        l->head_dim = (int)(l->sliding ? head_dim_swa : head_dim);
        if (h->n_head % l->n_kv_head != 0) ok = bad(r, "attention.head_count_kv", "does not divide attention.head_count");
        if (l->head_dim % 2 != 0) ok = bad(r, "attention.key_length", "head size is odd");
        if (l->sliding && h->window <= 0) ok = bad(r, "attention.sliding_window", "a sliding layer needs a window");
    }
    ok = ok && link_shared_layers(r, n_shared, h);
    for (int i = 0; ok && i < h->n_layer; i++) {
        const layer_shape *l = &h->layers[i], *s = &h->layers[l->kv_source];
        if (l->n_kv_head != s->n_kv_head)
            ok = err_set(r->e, ERR_INPUT, "%s: layer %d shares layer %d's keys and values but has %d KV heads, not %d", gguf_path(r->g), i, l->kv_source,
                         l->n_kv_head, s->n_kv_head);
    }
    free(v);
    return ok;
}

static bool same_key(reader *r, const char *a, const char *b)
{
    int64_t va, vb;
    const char *missing = NULL;
    char ka[128];
    snprintf(ka, sizeof ka, "%s", key_of(r, a));
    if (!gguf_find_kv(r->g, ka)) return true;
    if (!gguf_find_kv(r->g, key_of(r, b))) missing = b;
    if (missing) return true;
    if (!gguf_get_i64(r->g, ka, &va, r->e) || !gguf_get_i64(r->g, key_of(r, b), &vb, r->e)) return false;
    if (va != vb) return bad(r, b, "keys and values of different head sizes cannot be run");
    return true;
}

// Angles are position / base^(2i / d) / factor: below these the quotients leave the range of F32, and no model is near.
static bool check_rope(reader *r, const char *suffix, float v, float least)
{
    if (v >= least) return true;
    return err_set(r->e, ERR_INPUT, "%s: key '%s': found %g, expected at least %g", gguf_path(r->g),
                   key_of(r, suffix), (double)v, (double)least);
}

static bool read_rope(reader *r, hparams *h)
{
    gguf_str scaling = { DEFAULT_ROPE_SCALING_TYPE, sizeof DEFAULT_ROPE_SCALING_TYPE - 1 };
    if (!read_optional(r, "rope.freq_base", true, &h->rope_base) || !read_optional(r, "rope.freq_base_swa", true, &h->rope_base_swa)) return false;
    if (!check_rope(r, "rope.freq_base", h->rope_base, 1e-30f)) return false;
    if (!check_rope(r, "rope.freq_base_swa", h->rope_base_swa, 1e-30f)) return false;
    h->rope_scale = 1.0f;
    if (gguf_find_kv(r->g, key_of(r, "rope.scaling.type")) && !gguf_get_str(r->g, r->key, &scaling, r->e)) return false;
    const bool linear = scaling.n == 6 && memcmp(scaling.s, "linear", 6) == 0, none = scaling.n == 4 && memcmp(scaling.s, "none", 4) == 0;
    if (!linear && !none) return bad(r, "rope.scaling.type", "only 'linear' and 'none' can be run");
    if (linear && !read_optional(r, "rope.scaling.factor", true, &h->rope_scale)) return false;
    if (!check_rope(r, "rope.scaling.factor", h->rope_scale, 0.001f)) return false;
    const gguf_tensor *t = gguf_find_tensor(r->g, "rope_freqs.weight");
    if (!t) return true;
    if (t->type != DT_F32 || t->n_dims != 1 || ((uintptr_t)t->data & 3)) return err_set(r->e, ERR_INPUT, "%s: tensor 'rope_freqs.weight': expected one row of F32", gguf_path(r->g));
    for (int i = 0; i < h->n_layer; i++)
        if (!h->layers[i].sliding && t->shape[0] != h->layers[i].head_dim / 2)
            return err_set(r->e, ERR_INPUT, "%s: tensor 'rope_freqs.weight': found %lld values, expected %d (half the head size)", gguf_path(r->g),
                           (long long)t->shape[0], h->layers[i].head_dim / 2);
    h->rope_freq_factors = (const float *)(const void *)t->data;
    for (int64_t i = 0; i < t->shape[0]; i++)
        if (!(h->rope_freq_factors[i] > 0.0f)) return err_set(r->e, ERR_INPUT, "%s: tensor 'rope_freqs.weight': value %lld is not above 0", gguf_path(r->g), (long long)i);
    return true;
}

// llama.cpp leaves the scale of Gemma 3 to the loader: head_dim^-0.5, but n_embd / n_head for the 27B (62 layers).
static float default_scale(const hparams *h, int64_t head_dim)
{
    if (h->family == FAMILY_GEMMA4) return arch_default(&(reader){ .arch = h->arch }, "attention.scale");
    const bool whole_state = h->family == FAMILY_GEMMA3 && h->n_layer == 62;
    return 1.0f / sqrtf((float)(whole_state ? h->n_embd / h->n_head : head_dim));
}

static bool read_type(reader *r, hparams *h)
{
    const char *label;
    if (!file_type_label(r->g, &label, r->e)) return false;
    snprintf(h->type_label, sizeof h->type_label, "%s", label);
    snprintf(h->kv_required, sizeof h->kv_required, "%s", claims_kv_of(r->g, h->type_label));
    if (!gguf_find_kv(r->g, KEY_HM_KV_TYPE)) return true;
    char *kv;
    if (!gguf_get_cstr(r->g, KEY_HM_KV_TYPE, &kv, r->e)) return false;
    const bool known = strcmp(kv, "f32") == 0 || strcmp(kv, "bf16") == 0;
    if (known) snprintf(h->kv_required, sizeof h->kv_required, "%s", kv);
    free(kv);
    h->kv_claimed = true;
    if (!known) return err_set(r->e, ERR_INPUT, "%s: key '%s': expected f32 or bf16", gguf_path(r->g), KEY_HM_KV_TYPE);
    return true;
}

static bool read_family(hparams *h, const gguf *g, err *e)
{
    static const struct { const char *arch; family f; } known[] = {
        { "gemma3", FAMILY_GEMMA3 }, { "gemma4", FAMILY_GEMMA4 }, { "llama", FAMILY_LLAMA }, { "qwen2", FAMILY_QWEN2 }, { "qwen3", FAMILY_QWEN3 },
    };
    char *arch;
    if (!gguf_get_cstr(g, "general.architecture", &arch, e)) return false;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(arch, known[i].arch) == 0) {
            h->family = known[i].f;
            snprintf(h->arch, sizeof h->arch, "%s", known[i].arch);
            free(arch);
            return true;
        }
    err_set(e, ERR_INPUT, "%s: key 'general.architecture': found '%s', expected gemma3, gemma4, llama, qwen2 or qwen3", gguf_path(g), arch);
    free(arch);
    return false;
}

static bool read_vocab(reader *r, hparams *h)
{
    const gguf_tensor *t = gguf_find_tensor(r->g, "token_embd.weight");
    if (gguf_n_tensors(r->g) == 0) return true;     // metadata alone: a plan made from a config
    if (!t || t->n_dims > 2)
        return err_set(r->e, ERR_INPUT, "%s: tensor 'token_embd.weight': missing, or not a matrix", gguf_path(r->g));
    const int64_t rows = gguf_tensor_rows(t), cols = gguf_tensor_cols(t);
    if (cols != h->n_embd || rows > LIMIT_VOCAB)
        return err_set(r->e, ERR_INPUT, "%s: tensor 'token_embd.weight': found [%lld][%lld], expected [vocabulary][%d]",
                       gguf_path(r->g), (long long)rows, (long long)cols, h->n_embd);
    h->n_vocab = rows;
    return true;
}

static bool has_tensor(const gguf *g, int layer, const char *name)
{
    char full[64];
    snprintf(full, sizeof full, "blk.%d.%s", layer, name);
    return gguf_find_tensor(g, full) != NULL;
}

// How many elements of a head rotate: all of them, in every family that is run.
static bool check_rope_dims(reader *r, const hparams *h, int64_t head_dim)
{
    int64_t n;
    if (is_gemma(h)) return true;       // its factors say it
    if (!read_int_or(r, "rope.dimension_count", 1, 4096, head_dim, &n)) return false;
    return n == head_dim || bad(r, "rope.dimension_count", "only heads that rotate as a whole can be run");
}

bool hparams_read(hparams *h, const gguf *g, err *e)
{
    memset(h, 0, sizeof *h);
    if (!read_family(h, g, e)) return false;
    reader r = { .g = g, .arch = h->arch, .e = e };
    int64_t n_layer, n_embd, n_head, n_ple, n_expert, head_dim;
    if (!read_int(&r, "block_count", 1, LIMIT_LAYERS, &n_layer) || !read_int(&r, "embedding_length", 1, 1 << 20, &n_embd) ||
        !read_int(&r, "attention.head_count", 1, 1 << 12, &n_head) || !read_int(&r, "context_length", 1, (int64_t)1 << 40, &h->n_ctx_train) ||
        !read_int_or(&r, "attention.sliding_window", 0, (int64_t)1 << 40, 0, &h->window) ||
        !read_int_or(&r, "embedding_length_per_layer_input", 0, 1 << 20, 0, &n_ple) ||
        !read_int_or(&r, "expert_count", 0, 1 << 16, 0, &n_expert))
        return false;
    if (n_expert > 0) return bad(&r, "expert_count", "models of experts are neither run nor quantized yet");
    h->n_layer = (int)n_layer;
    h->n_embd = (int)n_embd;
    h->n_head = (int)n_head;
    h->n_embd_per_layer = (int)n_ple;
    h->rope_neighbours = h->family == FAMILY_LLAMA;
    h->norm_rounds_first = !is_gemma(h);
    h->qk_norm = h->family != FAMILY_LLAMA && h->family != FAMILY_QWEN2;
    if (!is_gemma(h) && n_ple > 0) return bad(&r, "embedding_length_per_layer_input", "only Gemma 4 has per-layer embeddings");
    if (!read_head_dim(&r, h, &head_dim)) return false;
    h->layers = calloc((size_t)n_layer, sizeof *h->layers);
    if (!h->layers) return err_nomem(e, "layer table", (size_t)n_layer * sizeof *h->layers);
    const bool ok = same_key(&r, "attention.key_length", "attention.value_length") && same_key(&r, "attention.key_length_swa", "attention.value_length_swa") &&
                    read_layers(&r, h) && read_rope(&r, h) && check_rope_dims(&r, h, head_dim) && read_vocab(&r, h) && read_type(&r, h) &&
                    read_required(&r, "attention.layer_norm_rms_epsilon", &h->rms_eps) &&
                    read_optional(&r, "final_logit_softcapping", false, &h->final_softcap) &&
                    read_float_or(&r, "attention.scale", default_scale(h, head_dim), true, &h->attention_scale);
    for (int i = 0; ok && i < h->n_layer; i++) {
        h->layers[i].qkv_bias = has_tensor(g, i, "attn_q.bias");
        h->layers[i].o_bias = has_tensor(g, i, "attn_output.bias");
        h->layers[i].ffn_bias = h->family == FAMILY_LLAMA && has_tensor(g, i, "ffn_gate.bias");
    }
    // A full-attention layer of Gemma 4 may leave V out: it is K's projection then (attention_k_eq_v). Elsewhere a missing V is a missing tensor.
    for (int i = 0; ok && i < h->n_layer; i++) {
        layer_shape *l = &h->layers[i];
        const bool may = h->family == FAMILY_GEMMA4 && l->has_kv && !l->sliding && gguf_n_tensors(g) > 0;
        l->k_is_v = may && !has_tensor(g, i, "attn_v.weight");
    }
    if (!ok) hparams_free(h);
    return ok;
}

void hparams_free(hparams *h)
{
    free(h->layers);
    memset(h, 0, sizeof *h);
}

// ---- memory plan -----------------------------------------------------------------------------------------------------

int64_t kv_capacity(const hparams *h, int layer, int64_t n_ctx, int n_batch)
{
    // A sliding layer keeps its window, and room for the batch that is stored before its first token is done with the oldest key.
    const int64_t slide = h->window + n_batch - 1;
    return h->layers[layer].sliding && slide < n_ctx ? slide : n_ctx;
}

// ---- model -----------------------------------------------------------------------------------------------------------

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

// Does the file say that it has experts, and hold any? One that says so and holds none is broken.
static bool has_experts(const hparams *h, const gguf *g)
{
    err     why = { 0 };
    reader  r = { .g = g, .arch = h->arch, .e = &why };
    int64_t n;
    if (!read_int_or(&r, "expert_count", 0, 1 << 16, 0, &n) || n == 0) return false;
    for (int64_t i = 0; i < gguf_n_tensors(g); i++)
        if (strstr(gguf_tensor_at(g, i)->name, "_exps.")) return true;
    return false;
}

bool model_is_ours(const gguf *g)
{
    const char *what;
    int64_t parts;
    err why = { 0 };
    const gguf_kv *arch = gguf_find_kv(g, "general.architecture");
    if (!arch || is_no_model(g, &what)) return false;
    if (gguf_get_i64_or(g, "split.count", 1, &parts, &why) && parts > 1) return false;
    hparams h;
    if (arch->type != GGUF_STRING) return true;         // no text: no architecture at all
    return read_family(&h, g, &why) && !has_experts(&h, g);
}

// Everything of m but the file, which is open.
static bool read_model(model *m, err *e)
{
    if (!check_whole(m->g, e) || !hparams_read(&m->h, m->g, e)) return false;
    if (m->h.n_vocab == 0) return err_set(e, ERR_INPUT, "%s: found no tensors, expected those of a model", gguf_path(m->g));
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
