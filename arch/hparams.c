// hparams: see hparams.h.
#include "hparams_internal.h"

#include "../formats/checked.h"
#include "../formats/claims.h"
#include "../formats/file_type.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool is_gemma(const hparams *h) { return h->family == ARCH_GEMMA3 || h->family == ARCH_GEMMA4; }

// ---- layers --------------------------------------------------------------------------------------------------------

// Layer kinds: an array of booleans, or a period (every n-th layer is full), or the period a published file leaves
// unsaid.
static bool read_pattern(arch_reader *r, hparams *h)
{
    const char *name = "attention.sliding_window_pattern";
    const gguf_kv *kv = gguf_find_kv(r->g, arch_key_of(r, name));
    int64_t period, v;
    if (kv && kv->type == GGUF_ARRAY) {
        if (kv->n != hparams_blocks(h)) return arch_bad(r, name, "the array does not have one value for each layer");
        for (int i = 0; i < h->n_layer; i++) {
            if (!gguf_arr_i64(kv, i, &v)) return arch_bad(r, name, "expected booleans");
            h->layers[i].sliding = v != 0;
        }
        return true;
    }
    if (!arch_int(r, name, &period)) return false;
    // Outside Gemma all layers are alike where nothing is said.
    const bool all = !kv && !is_gemma(h);
    for (int i = 0; i < h->n_layer; i++) h->layers[i].sliding = h->window > 0 && (all || (i + 1) % period != 0);
    return true;
}

// Transformers' rule (Gemma4TextConfig.kv_sharing_modes): a sharing layer reads the last earlier layer of its kind
// that has its own.
static bool link_shared_layers(arch_reader *r, int64_t n_shared, hparams *h)
{
    const int first_shared = h->n_layer - (int)n_shared;
    for (int i = 0; i < h->n_layer; i++) {
        layer_shape *l = &h->layers[i];
        l->has_kv = i < first_shared && !l->recurrent;
        l->kv_source = i;
        if (l->has_kv || l->recurrent) continue;
        int j = first_shared - 1;
        while (j >= 0 && (h->layers[j].sliding != l->sliding || h->layers[j].recurrent)) j--;
        if (j < 0)
            return err_set(r->e, ERR_INPUT,
                           "%s: layer %d shares keys and values, but no earlier layer of its kind (%s) has any",
                           gguf_path(r->g), i, l->sliding ? "sliding" : "full");
        l->kv_source = j;
    }
    return true;
}

static bool check_sources(arch_reader *r, const hparams *h)
{
    for (int i = 0; i < h->n_layer; i++) {
        const layer_shape *l = &h->layers[i], *s = &h->layers[l->kv_source];
        if (l->n_kv_head != s->n_kv_head)
            return err_set(r->e, ERR_INPUT,
                           "%s: layer %d shares layer %d's keys and values but has %d KV heads, not %d",
                           gguf_path(r->g), i, l->kv_source, l->n_kv_head, s->n_kv_head);
    }
    return true;
}

// The size of a head: said, or (outside Gemma) an equal share of the state, as llama.cpp takes it.
static bool read_head_dim(arch_reader *r, const hparams *h, int64_t *head_dim)
{
    const bool said = arch_has(r, "attention.key_length");
    if (!arch_int_or(r, "attention.key_length", h->n_embd / h->n_head, head_dim)) return false;
    if (said) return true;
    if (h->n_embd % h->n_head != 0)
        return arch_bad(r, "attention.head_count",
                        "does not divide embedding_length, and there is no attention.key_length");
    return *head_dim >= 2 || arch_bad(r, "attention.head_count", "heads have less than two elements");
}

static bool fill_layer(arch_reader *r, const hparams *h, layer_shape *l, int64_t n_ff, int64_t n_kv, int64_t head_dim)
{
    l->n_ff = (int)n_ff;
    l->n_kv_head = (int)n_kv;
    l->head_dim = (int)head_dim;
    if (h->n_head % l->n_kv_head != 0)
        return arch_bad(r, "attention.head_count_kv", "does not divide attention.head_count");
    if (l->head_dim % 2 != 0) return arch_bad(r, "attention.key_length", "head size is odd");
    if (l->sliding && h->window <= 0) return arch_bad(r, "attention.sliding_window", "a sliding layer needs a window");
    return true;
}

static bool fill_layers(arch_reader *r, hparams *h, int64_t head_dim, int64_t *n_ff, int64_t *n_kv)
{
    int64_t head_dim_swa, n_shared;
    if (!arch_layers(r, "feed_forward_length", hparams_blocks(h), 0, n_ff)) return false;
    if (!arch_layers(r, "attention.head_count_kv", hparams_blocks(h), h->n_head, n_kv)) return false;
    if (!arch_int_or(r, "attention.key_length_swa", head_dim, &head_dim_swa)) return false;
    if (!arch_int(r, "attention.shared_kv_layers", &n_shared) || !read_pattern(r, h)) return false;
    if (n_shared >= h->n_layer)
        return err_set(r->e, ERR_INPUT, "%s: key '%s': found %lld, expected 0 to %d", gguf_path(r->g),
                       arch_key_of(r, "attention.shared_kv_layers"), (long long)n_shared, h->n_layer - 1);
    if (n_shared > 0 && !is_gemma(h))
        return arch_bad(r, "attention.shared_kv_layers",
                        "found layers that share keys and values, which this architecture does not have");
    for (int i = 0; i < h->n_layer; i++) {
        layer_shape *l = &h->layers[i];
        if (!fill_layer(r, h, l, n_ff[i], n_kv[i], l->sliding ? head_dim_swa : head_dim)) return false;
    }
    return link_shared_layers(r, n_shared, h) && check_sources(r, h);
}

static bool read_layers(arch_reader *r, hparams *h, int64_t head_dim)
{
    const int n = hparams_blocks(h);
    int64_t *v = calloc((size_t)n * 2, sizeof *v);
    if (!v) return err_nomem(r->e, "layer table", 0);
    const bool ok = fill_layers(r, h, head_dim, v, v + n);
    free(v);
    return ok;
}

static bool same_key(arch_reader *r, const char *a, const char *b)
{
    int64_t va, vb;
    if (!arch_has(r, a) || !arch_has(r, b)) return true;
    if (!gguf_get_i64(r->g, arch_key_of(r, a), &va, r->e) || !gguf_get_i64(r->g, arch_key_of(r, b), &vb, r->e))
        return false;
    return va == vb || arch_bad(r, b, "keys and values of different head sizes cannot be run");
}

// ---- rotary embeddings ---------------------------------------------------------------------------------------------

static bool is_text(gguf_str s, const char *text)
{
    return s.n == (int64_t)strlen(text) && memcmp(s.s, text, (size_t)s.n) == 0;
}

static bool read_scaling(arch_reader *r, hparams *h)
{
    gguf_str scaling = { DEFAULT_ROPE_SCALING_TYPE, sizeof DEFAULT_ROPE_SCALING_TYPE - 1 };
    h->rope_scale = 1.0f;
    if (arch_has(r, "rope.scaling.type") && !gguf_get_str(r->g, r->key, &scaling, r->e)) return false;
    if (is_text(scaling, "none")) return true;
    if (!is_text(scaling, "linear")) return arch_bad(r, "rope.scaling.type", "only 'linear' and 'none' can be run");
    return arch_float(r, "rope.scaling.factor", &h->rope_scale);
}

// The divisors of frequencies: Gemma 4's full-attention layers and Llama 3.1 have them.
static bool read_factors(arch_reader *r, hparams *h)
{
    const gguf_tensor *t = gguf_find_tensor(r->g, "rope_freqs.weight");
    if (!t) return true;
    if (t->type != DT_F32 || t->n_dims != 1 || ((uintptr_t)t->data & 3))
        return err_set(r->e, ERR_INPUT, "%s: tensor 'rope_freqs.weight': expected one row of F32", gguf_path(r->g));
    for (int i = 0; i < h->n_layer; i++)
        if (!h->layers[i].sliding && t->shape[0] != h->layers[i].head_dim / 2)
            return err_set(r->e, ERR_INPUT,
                           "%s: tensor 'rope_freqs.weight': found %lld values, expected %d (half the head size)",
                           gguf_path(r->g), (long long)t->shape[0], h->layers[i].head_dim / 2);
    h->rope_freq_factors = (const float *)(const void *)t->data;
    for (int64_t i = 0; i < t->shape[0]; i++)
        if (!(h->rope_freq_factors[i] > 0.0f))
            return err_set(r->e, ERR_INPUT, "%s: tensor 'rope_freqs.weight': value %lld is not above 0",
                           gguf_path(r->g), (long long)i);
    return true;
}

// How many elements of a head rotate: all of them, but for Qwen 3.5. Gemma's factors say it.
static bool read_rope_dims(arch_reader *r, hparams *h)
{
    int64_t n;
    const int head_dim = h->layers[0].head_dim;
    h->rope_dim = head_dim;
    if (is_gemma(h)) return true;
    if (!arch_int_or(r, "rope.dimension_count", head_dim, &n)) return false;
    h->rope_dim = (int)n;
    if (n == head_dim) return true;
    if (!hparams_has_delta(h->family))
        return arch_bad(r, "rope.dimension_count", "only heads that rotate as a whole can be run");
    return (n < head_dim && n % 2 == 0) || arch_bad(r, "rope.dimension_count",
                                                    "expected an even number, at most attention.key_length");
}

// Positions of an image in time, height and width turn other pairs of a head (Qwen 3.5); those of a text are all the
// same, and whichever pairs they turn, the rotation is plain.
static bool check_sections(arch_reader *r, const hparams *h)
{
    const char    *name = "rope.dimension_sections";
    const gguf_kv *kv = gguf_find_kv(r->g, arch_key_of(r, name));
    int64_t        v;
    if (!kv || !hparams_has_delta(h->family)) return true;
    if (kv->type != GGUF_ARRAY || kv->n != 4) return arch_bad(r, name, "expected an array of four integers");
    for (int i = 0; i < 4; i++)
        if (!gguf_arr_i64(kv, i, &v) || v < 0)
            return arch_bad(r, name, "expected an array of four integers, none below 0");
    return true;
}

static bool read_rope(arch_reader *r, hparams *h)
{
    return arch_float(r, "rope.freq_base", &h->rope_base) && arch_float(r, "rope.freq_base_swa", &h->rope_base_swa)
        && read_scaling(r, h) && read_factors(r, h) && read_rope_dims(r, h) && check_sections(r, h);
}

// ---- all of it -----------------------------------------------------------------------------------------------------

// llama.cpp leaves the scale of Gemma 3 to the loader: head_dim^-0.5, but n_embd / n_head for the 27B (62 layers).
// Gemma 4's default stands in the table.
static float scale_by_formula(const hparams *h, int64_t head_dim)
{
    const bool whole_state = h->family == ARCH_GEMMA3 && h->n_layer == 62;
    return 1.0f / sqrtf((float)(whole_state ? h->n_embd / h->n_head : head_dim));
}

static bool read_type(arch_reader *r, hparams *h)
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
    static const char *const names[] = {
        [ARCH_GEMMA3] = "gemma3", [ARCH_GEMMA4] = "gemma4", [ARCH_LLAMA] = "llama", [ARCH_QWEN2] = "qwen2",
        [ARCH_QWEN3] = "qwen3", [ARCH_QWEN3MOE] = "qwen3moe", [ARCH_QWEN35] = "qwen35", [ARCH_QWEN35MOE] = "qwen35moe",
    };
    char *arch;
    if (!gguf_get_cstr(g, "general.architecture", &arch, e)) return false;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(arch, names[i]) == 0) {
            h->family = (arch_family)i;
            snprintf(h->arch, sizeof h->arch, "%s", names[i]);
            free(arch);
            return true;
        }
    err_set(e, ERR_INPUT, "%s: key 'general.architecture': found '%s', expected gemma3, gemma4, llama, qwen2, qwen3, "
            "qwen3moe, qwen35 or qwen35moe", gguf_path(g), arch);
    free(arch);
    return false;
}

// Does the file say that it has experts, and hold any, in a family whose experts are not run? One that says so and
// holds none is broken.
static bool has_other_experts(const hparams *h, const gguf *g)
{
    err         ignored = { 0 };
    arch_reader r = { .g = g, .arch = h->arch, .e = &ignored };
    int64_t     n = 0;
    if (hparams_has_experts(h->family) || !arch_int(&r, "expert_count", &n) || n == 0) return false;
    for (int64_t i = 0; i < gguf_n_tensors(g); i++)
        if (strstr(gguf_tensor_at(g, i)->name, "_exps.")) return true;
    return false;
}

bool hparams_known(const gguf *g)
{
    hparams h = { 0 };
    err     ignored = { 0 };
    return read_family(&h, g, &ignored) && !has_other_experts(&h, g);
}

static bool read_vocab(arch_reader *r, hparams *h)
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

// Gemma 4's layers of full attention, as far as they compute their own keys.
static bool may_lack_v(const layer_shape *l) { return l->has_kv && !l->sliding; }

// What a layer has beside its matrices, by its tensors.
static void read_presence(hparams *h, const gguf *g)
{
    for (int i = 0; i < h->n_layer; i++) {
        layer_shape *l = &h->layers[i];
        l->qkv_bias = has_tensor(g, i, "attn_q.bias");
        l->o_bias = has_tensor(g, i, "attn_output.bias");
        l->ffn_bias = h->family == ARCH_LLAMA && has_tensor(g, i, "ffn_gate.bias");
        // A full-attention layer of Gemma 4 may leave V out: it is K's projection then (attention_k_eq_v). Elsewhere
        // a missing V is a missing tensor.
        const bool may = h->family == ARCH_GEMMA4 && gguf_n_tensors(g) > 0;
        l->k_is_v = may && may_lack_v(l) && !has_tensor(g, i, "attn_v.weight");
        l->experts_fused = h->n_expert > 0 && has_tensor(g, i, "ffn_gate_up_exps.weight");
    }
}

// A tensor that these layers (NULL: all) have together or not at all: one that is missing among others is missing.
static bool check_alike(arch_reader *r, const hparams *h, const char *name, bool (*which)(const layer_shape *))
{
    int with = -1, without = -1;
    for (int i = 0; i < h->n_layer; i++) {
        if (which && !which(&h->layers[i])) continue;
        if (has_tensor(r->g, i, name)) with = i;
        else if (without < 0)          without = i;
    }
    if (with < 0 || without < 0) return true;
    return err_set(r->e, ERR_INPUT, "%s: tensor 'blk.%d.%s': missing, where blk.%d has one", gguf_path(r->g), without,
                   name, with);
}

// A block behind the layers is one that predicts further tokens, by what joins it to them, or is not in the file.
// Otherwise a wrong nextn_predict_layers leaves a layer of the model out without a word.
static bool check_nextn(arch_reader *r, const hparams *h)
{
    static const char joint[] = "nextn.eh_proj.weight";
    for (int64_t t = 0; h->n_nextn > 0 && t < gguf_n_tensors(r->g); t++) {
        int block = -1;
        const char *name = gguf_tensor_at(r->g, t)->name;
        if (sscanf(name, "blk.%6d.", &block) != 1 || block < h->n_layer || has_tensor(r->g, block, joint)) continue;
        return err_set(r->e, ERR_INPUT, "%s: tensor 'blk.%d.%s': missing, where '%s' is said to predict further tokens "
                       "(%s is %d)", gguf_path(r->g), block, joint, name, arch_key_of(r, "nextn_predict_layers"),
                       h->n_nextn);
    }
    return true;
}

static bool check_presence(arch_reader *r, const hparams *h)
{
    if (h->family != ARCH_GEMMA4) return check_nextn(r, h);
    return check_alike(r, h, "attn_v.weight", may_lack_v)
        && check_alike(r, h, "layer_output_scale.weight", NULL);
}

// head_dim: of layers that no other key speaks of.
static bool read_sizes(arch_reader *r, hparams *h, int64_t *head_dim)
{
    int64_t n_layer, n_embd, n_head, n_ple, n_expert, n_nextn = 0;
    if (!arch_int(r, "block_count", &n_layer) || !arch_int(r, "embedding_length", &n_embd)) return false;
    if (!arch_int(r, "attention.head_count", &n_head) || !arch_int(r, "context_length", &h->n_ctx_train)) return false;
    if (!arch_int(r, "attention.sliding_window", &h->window)) return false;
    if (h->window > 0 && hparams_has_delta(h->family))
        return arch_bad(r, "attention.sliding_window", "found a window, which no layer of this architecture has");
    if (!arch_int(r, "embedding_length_per_layer_input", &n_ple) || !arch_int(r, "expert_count", &n_expert))
        return false;
    if (n_expert > 0 && !hparams_has_experts(h->family))
        return arch_bad(r, "expert_count", "models of experts are neither run nor quantized yet");
    if (hparams_has_delta(h->family) && !arch_int(r, "nextn_predict_layers", &n_nextn)) return false;
    if (n_nextn >= n_layer)
        return err_set(r->e, ERR_INPUT, "%s: key '%s': found %lld, expected less than block_count, which is %lld",
                       gguf_path(r->g), arch_key_of(r, "nextn_predict_layers"), (long long)n_nextn,
                       (long long)n_layer);
    h->n_layer = (int)(n_layer - n_nextn);
    h->n_nextn = (int)n_nextn;
    h->n_expert = (int)n_expert;
    h->n_embd = (int)n_embd;
    h->n_head = (int)n_head;
    h->n_embd_per_layer = (int)n_ple;
    if (!is_gemma(h) && n_ple > 0)
        return arch_bad(r, "embedding_length_per_layer_input", "only Gemma 4 has per-layer embeddings");
    return read_head_dim(r, h, head_dim);
}

static bool read_all(arch_reader *r, hparams *h, int64_t head_dim)
{
    if (!same_key(r, "attention.key_length", "attention.value_length")) return false;
    if (!same_key(r, "attention.key_length_swa", "attention.value_length_swa")) return false;
    if (!hparams_read_delta(r, h) || !hparams_read_experts(r, h)) return false;
    if (!read_layers(r, h, head_dim) || !read_rope(r, h) || !read_vocab(r, h) || !read_type(r, h)) return false;
    return arch_float(r, "attention.layer_norm_rms_epsilon", &h->rms_eps)
        && arch_float(r, "final_logit_softcapping", &h->final_softcap)
        && arch_float_or(r, "attention.scale", scale_by_formula(h, head_dim), &h->attention_scale);
}

bool hparams_read(hparams *h, const gguf *g, err *e)
{
    memset(h, 0, sizeof *h);
    if (!read_family(h, g, e)) return false;
    arch_reader r = { .g = g, .arch = h->arch, .e = e };
    int64_t head_dim;
    if (!read_sizes(&r, h, &head_dim)) return false;
    r.assumed = &h->assumed;
    h->rope_neighbours = h->family == ARCH_LLAMA;
    h->norm_rounds_first = !is_gemma(h) && !hparams_has_delta(h->family);
    h->qk_norm = h->family != ARCH_LLAMA && h->family != ARCH_QWEN2;
    h->layers = calloc((size_t)h->n_layer, sizeof *h->layers);
    if (!h->layers) return err_nomem(e, "layer table", (size_t)h->n_layer * sizeof *h->layers);
    if (!read_all(&r, h, head_dim) || !check_presence(&r, h)) {
        hparams_free(h);
        return false;
    }
    read_presence(h, g);
    return true;
}

void hparams_free(hparams *h)
{
    free(h->layers);
    memset(h, 0, sizeof *h);
}
