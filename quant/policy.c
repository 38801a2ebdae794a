#include "policy.h"
#include "../formats/checked.h"

#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- what a tensor is --------------------------------------------------------------------------------------------
// All rules below are llama-quant.cpp's (tensor_allows_quantization, tensor_get_category, llama_tensor_get_type_impl,
// tensor_type_fallback), for the architectures listed here; tests/policy_test.c holds what llama-quantize itself chose.

static const char *const known_archs[] = {
    "gemma3", "gemma4", "llama", "qwen2", "qwen3", "qwen3moe", "qwen35", "qwen35moe",
};

typedef enum { CAT_TOKEN_EMBD, CAT_OUTPUT, CAT_ATTN_V, CAT_ATTN_K, CAT_ATTN_OUTPUT, CAT_FFN_DOWN, CAT_OTHER } category;

// The first row whose text is in the name decides, so attn_qkv stands before what it might be taken for.
static const struct { const char *text; category cat; } categories[] = {
    { "attn_qkv.weight",    CAT_ATTN_V },       // holds V, and counts as V
    { "attn_kv_b.weight",   CAT_ATTN_V },
    { "attn_v.weight",      CAT_ATTN_V },
    { "attn_k.weight",      CAT_ATTN_K },
    { "attn_q.weight",      CAT_OTHER },
    { "attn_output.weight", CAT_ATTN_OUTPUT },
    { "ffn_up",             CAT_OTHER },
    { "ffn_gate",           CAT_OTHER },
    { "ffn_down",           CAT_FFN_DOWN },
};

static category category_of(const char *name)
{
    if (strcmp(name, "output.weight") == 0) return CAT_OUTPUT;
    if (strcmp(name, "token_embd.weight") == 0 || strcmp(name, "per_layer_token_embd.weight") == 0)
        return CAT_TOKEN_EMBD;
    for (size_t i = 0; i < sizeof categories / sizeof categories[0]; i++)
        if (strstr(name, categories[i].text)) return categories[i].cat;
    return CAT_OTHER;
}

// A tensor whose name holds one of these keeps the type it comes in.
static const char *const kept[] = {
    "_norm.weight", "ffn_gate_inp.weight", "altup", "laurel", "per_layer_model_proj", "ssm_conv1d", ".position_embd",
    ".patch_embd", ".rel_pos",
};

// Dimensions as ggml counts them: the slowest ones do not count while they are 1.
static int ggml_dims(const policy_tensor *t)
{
    int first = 0;
    while (first < t->n_dims - 1 && t->shape[first] == 1) first++;
    return t->n_dims - first;
}

bool policy_may_change(const policy_tensor *t)
{
    static const char suffix[] = "weight";
    const size_t n = strlen(t->name), ns = sizeof suffix - 1;
    if (ggml_dims(t) < 2 || n < ns || strcmp(t->name + n - ns, suffix) != 0) return false;
    for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++)
        if (strstr(t->name, kept[i])) return false;
    return true;
}

static int layer_of(const char *name)
{
    int layer = -1;
    return sscanf(name, "blk.%d.", &layer) == 1 ? layer : -1;
}

// ---- the mixes ---------------------------------------------------------------------------------------------------

typedef struct {
    file_type           ft;
    const policy_model *m;
    policy_told        *told;                   // or NULL
    regex_t            *patterns;               // [overrides->n_rules], compiled
    int                 n_attn_v;               // tensors that hold V
    int                 i_attn_v, i_ffn_down;   // how many of each were visited
} mix_state;

// The eighth of the layers at either end, and every third one between.
static bool use_more_bits(int i, int n) { return i < n / 8 || i >= 7 * n / 8 || (i - n / 8) % 3 == 2; }

static int64_t n_gqa(const policy_model *m) { return m->n_head_kv > 0 ? m->n_head / m->n_head_kv : 0; }

static bool is_output(const policy_model *m, category cat)
{
    return cat == CAT_OUTPUT || (cat == CAT_TOKEN_EMBD && !m->has_output);
}

// --output-type, or DT_INVALID. *s counts it as obeyed.
static dtype asked_output(mix_state *s)
{
    const policy_overrides *o = s->m->overrides;
    if (!o || o->output == DT_INVALID) return DT_INVALID;
    if (s->told) s->told->output++;
    return o->output;
}

// The tied embedding doubles as the output matrix, and errors in that one reach the logits directly.
static dtype output_type(mix_state *s, dtype base)
{
    const dtype asked = asked_output(s);
    if (asked != DT_INVALID) return asked;
    return base == DT_Q8_0 ? DT_Q8_0 : DT_Q6_K;
}

// What llama.cpp calls a model of 70B: eighty layers, and in a llama fewer KV heads. Its V is small for its use.
static bool is_70b(const policy_model *m)
{
    if (m->n_layer != 80) return false;
    return strcmp(m->arch, "qwen2") == 0 || (strcmp(m->arch, "llama") == 0 && m->n_head != m->n_head_kv);
}

static dtype attn_v_mix(mix_state *s, dtype base)
{
    const int i = s->i_attn_v++;
    switch (s->ft) {
    case FT_Q2_K:   return n_gqa(s->m) >= 4 ? DT_Q4_K : DT_Q3_K;
    case FT_Q3_K_M: return i < 2 ? DT_Q5_K : DT_Q4_K;
    case FT_Q3_K_L: return DT_Q5_K;
    case FT_Q4_K_S: return i < 4 ? DT_Q5_K : base;
    case FT_Q4_K_M:
    case FT_Q5_K_M: return use_more_bits(i, s->n_attn_v) ? DT_Q6_K : base;
    default:        return base;
    }
}

static dtype attn_v_type(mix_state *s, dtype base)
{
    const dtype type = attn_v_mix(s, base);
    if (s->m->n_expert == 8) return DT_Q8_0;
    return is_70b(s->m) && (type == DT_Q3_K || type == DT_Q4_K) ? DT_Q5_K : type;
}

// With experts a layer has several of these, in an order of their own: the layer is read from the name.
static bool ffn_down_type(mix_state *s, dtype base, const policy_tensor *t, dtype *type, err *e)
{
    const int n = (int)s->m->n_layer, counted = s->i_ffn_down++;
    const int i = s->m->n_expert > 1 ? layer_of(t->name) : counted;
    if (s->m->n_expert > 1 && (i < 0 || i >= n))
        return err_set(e, ERR_INPUT, "tensor '%s': found layer %d, expected 0 to %d", t->name, i, n - 1);
    *type = base;
    switch (s->ft) {
    case FT_Q2_K:   *type = DT_Q3_K; break;
    case FT_Q3_K_M: *type = i < n / 16 ? DT_Q5_K : DT_Q4_K; break;
    case FT_Q3_K_L: *type = DT_Q5_K; break;
    case FT_Q4_K_S: if (i < n / 8) *type = DT_Q5_K; break;
    case FT_Q4_K_M:
    case FT_Q5_K_M: if (use_more_bits(i, n)) *type = DT_Q6_K; break;
    case FT_Q4_0:   if (s->m->has_imatrix && i < n / 8) *type = DT_Q4_1; break;
    case FT_Q5_0:   if (s->m->has_imatrix && i < n / 8) *type = DT_Q5_1; break;
    default:        break;
    }
    return true;
}

static dtype attn_output_type(const mix_state *s, dtype base)
{
    if (s->m->n_expert == 8) {
        switch (s->ft) {
        case FT_Q2_K: case FT_Q3_K_S: case FT_Q3_K_M: case FT_Q4_K_S: case FT_Q4_K_M: return DT_Q5_K;
        default: return base;
        }
    }
    switch (s->ft) {
    case FT_Q2_K:   return DT_Q3_K;
    case FT_Q3_K_M: return DT_Q4_K;
    case FT_Q3_K_L: return DT_Q5_K;
    default:        return base;
    }
}

static bool mix_type(mix_state *s, dtype base, const policy_tensor *t, dtype *type, err *e)
{
    const category cat = category_of(t->name);
    *type = base;
    if (is_output(s->m, cat))                              *type = output_type(s, base);
    else if (cat == CAT_ATTN_V)                            *type = attn_v_type(s, base);
    else if (cat == CAT_ATTN_K && s->m->n_expert == 8)     *type = DT_Q8_0;
    else if (cat == CAT_ATTN_OUTPUT)                       *type = attn_output_type(s, base);
    else if (cat == CAT_FFN_DOWN)                          return ffn_down_type(s, base, t, type, e);
    return true;
}

// Rows that the block does not divide take a type of 32 weights a block, or F16 where that does not divide them either.
static dtype fallback_type(dtype type, int64_t n_cols)
{
    static const struct { dtype from, to; } rules[] = {
        { DT_Q2_K, DT_Q4_0 }, { DT_Q3_K, DT_Q4_0 }, { DT_Q4_K, DT_Q5_0 }, { DT_Q5_K, DT_Q5_1 }, { DT_Q6_K, DT_Q8_0 },
    };
    if (n_cols % dtype_find(type)->block_weights == 0) return type;
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++)
        if (rules[i].from == type && n_cols % dtype_find(rules[i].to)->block_weights == 0) return rules[i].to;
    return DT_F16;
}

// ---- choosing ----------------------------------------------------------------------------------------------------

typedef struct { const policy_tensor *t; int layer; } visit;

// By layer, tensors of no layer first; by name within a layer: the order in which the counters run.
static int visit_order(const void *a, const void *b)
{
    const visit *x = a, *y = b;
    if (x->layer != y->layer) return x->layer < y->layer ? -1 : 1;
    return strcmp(x->t->name, y->t->name);
}

static bool check_model(const file_type_info *ft, const policy_model *m, err *e)
{
    bool known = false;
    for (size_t i = 0; i < sizeof known_archs / sizeof known_archs[0]; i++)
        known |= strcmp(m->arch, known_archs[i]) == 0;
    if (!ft) return err_set(e, ERR_USAGE, "unknown file type");
    if (!known)
        return err_set(e, ERR_INPUT, "architecture '%s': found no rules for it, expected gemma3, gemma4, llama, qwen2, "
                       "qwen3, qwen3moe, qwen35 or qwen35moe", m->arch);
    if (m->n_layer < 1 || m->n_layer > LIMIT_LAYERS)
        return err_set(e, ERR_INPUT, "architecture '%s': found %lld layers, expected 1 to %d", m->arch,
                       (long long)m->n_layer, LIMIT_LAYERS);
    return true;
}

// The first rule whose pattern is in the name, or -1.
static int rule_for(const mix_state *s, const char *name)
{
    const policy_overrides *o = s->m->overrides;
    for (int i = 0; o && i < o->n_rules; i++)
        if (regexec(&s->patterns[i], name, 0, NULL, 0) == 0) return i;
    return -1;
}

// --embedding-type and --output-type: they take the tensor as it is, without a fallback. *asked: whether one applies.
static bool whole_tensor_override(const mix_state *s, const policy_tensor *t, dtype *type, bool *asked, err *e)
{
    const policy_overrides *o = s->m->overrides;
    const category cat = category_of(t->name);
    const bool per_layer = strcmp(t->name, "per_layer_token_embd.weight") == 0;         // large, so a rule may name it
    dtype to = DT_INVALID;
    if (o && cat == CAT_TOKEN_EMBD && !(per_layer && rule_for(s, t->name) >= 0)) to = o->embedding;
    if (o && cat == CAT_OUTPUT) to = o->output;
    *asked = to != DT_INVALID;
    if (!*asked) return true;
    if (s->told && cat == CAT_OUTPUT) s->told->output++;
    *type = to;
    const int64_t n_cols = t->shape[t->n_dims - 1];
    if (n_cols % dtype_find(to)->block_weights == 0) return true;
    return err_set(e, ERR_USAGE, "tensor '%s': rows of %lld cannot be %s", t->name, (long long)n_cols, dtype_name(to));
}

// Where blocks are no base. llama-quantize looks at neither rules nor a tied --output-type there, so this is ours: the
// tied embedding alone, and not the per-layer one that goes with it in a mix.
static dtype plain_type(mix_state *s, dtype base, const policy_tensor *t)
{
    const bool tied = !s->m->has_output && strcmp(t->name, "token_embd.weight") == 0;
    const dtype asked = tied ? asked_output(s) : DT_INVALID;
    return asked != DT_INVALID ? asked : base;
}

// *wanted: what the tensor would be if every block fitted its rows.
static bool choose_one(mix_state *s, const file_type_info *ft, const policy_tensor *t, dtype *type, dtype *wanted,
                       err *e)
{
    const policy_overrides *o = s->m->overrides;
    bool asked;
    *wanted = *type = t->type;
    if (!policy_may_change(t)) return true;
    if (!whole_tensor_override(s, t, type, &asked, e)) return false;
    *wanted = *type;
    if (asked) return true;
    const int rule = rule_for(s, t->name);
    *wanted = ft->base;
    if (rule >= 0) {
        *wanted = o->rules[rule].type;
        if (s->told) s->told->decided[rule]++;
    } else if (dtype_find(ft->base)->block_weights == 1) {
        *wanted = plain_type(s, ft->base, t);
    } else if (!(o && o->pure) && !mix_type(s, ft->base, t, wanted, e)) {
        return false;
    }
    *type = fallback_type(*wanted, t->shape[t->n_dims - 1]);
    return true;
}

static bool compile_patterns(mix_state *s, err *e)
{
    const policy_overrides *o = s->m->overrides;
    if (!o || o->n_rules == 0) return true;
    s->patterns = calloc((size_t)o->n_rules, sizeof *s->patterns);
    if (!s->patterns) return err_nomem(e, "patterns", (size_t)o->n_rules * sizeof *s->patterns);
    for (int i = 0; i < o->n_rules; i++) {
        char why[128];
        const int code = regcomp(&s->patterns[i], o->rules[i].pattern, REG_EXTENDED | REG_NOSUB);
        if (code == 0) continue;
        regerror(code, &s->patterns[i], why, sizeof why);
        err_set(e, ERR_USAGE, "tensor pattern '%s': %s", o->rules[i].pattern, why);
        while (i-- > 0) regfree(&s->patterns[i]);
        free(s->patterns);
        s->patterns = NULL;
        return false;
    }
    return true;
}

static void free_patterns(mix_state *s)
{
    for (int i = 0; s->patterns && i < s->m->overrides->n_rules; i++) regfree(&s->patterns[i]);
    free(s->patterns);
}

bool policy_choose(file_type ft, const policy_model *m, const policy_tensor *t, int64_t n, dtype *types, err *e)
{
    return policy_choose_telling(ft, m, t, n, types, NULL, e);
}

bool policy_choose_telling(file_type ft, const policy_model *m, const policy_tensor *t, int64_t n, dtype *types,
                           policy_told *told, err *e)
{
    const file_type_info *info = file_type_of(ft);
    mix_state s = { .ft = ft, .m = m, .told = told };
    bool ok = false;
    if (!check_model(info, m, e)) return false;
    visit *v = malloc((size_t)(n > 0 ? n : 1) * sizeof *v);
    if (!v) { err_nomem(e, "the list of tensors", (size_t)n * sizeof *v); goto out; }
    if (!compile_patterns(&s, e)) goto out;
    for (int64_t i = 0; i < n; i++) {
        v[i] = (visit){ &t[i], layer_of(t[i].name) };
        s.n_attn_v += category_of(t[i].name) == CAT_ATTN_V;
    }
    qsort(v, (size_t)n, sizeof *v, visit_order);
    for (int64_t i = 0; i < n; i++) {
        const int64_t k = v[i].t - t;
        dtype wanted;
        if (!choose_one(&s, info, v[i].t, &types[k], &wanted, e)) goto out;
        if (told) told->wanted[k] = wanted;
    }
    ok = true;
out:
    free_patterns(&s);
    free(v);
    return ok;
}
