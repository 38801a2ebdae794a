#include "type_options.h"
#include "answer.h"
#include "foreign_types.h"
#include "text_out.h"
#include "../formats/dtype.h"
#include "../quant/codec.h"
#include <stdlib.h>
#include <string.h>

// The type of most of its tensors: of q3_k_l Q3_K.
static dtype tensor_type_near(const foreign_type *known)
{
    char name[8];
    const char *k = strstr(known->near, "_k");
    snprintf(name, sizeof name, "%.*s", k ? (int)(k - known->near) + 2 : (int)sizeof name, known->near);
    const dtype_info *t = dtype_find_name(name);
    return t ? t->id : DT_INVALID;
}

// A tensor type that there is an encoder for; DT_INVALID with ERR_USAGE otherwise. NULL text: DT_INVALID.
static dtype tensor_type_arg(const char *text, const char *option, err *e)
{
    const dtype_info *t = text ? dtype_find_name(text) : NULL;
    if (!text || (t && codec_find(t->id))) return text ? t->id : DT_INVALID;
    int n;
    char all[256] = "";
    const char *names[64];
    const codec *c = codec_table(&n);
    for (int i = 0; i < n && i < 64; i++) {
        names[i] = dtype_name(c[i].type);
        snprintf(all + strlen(all), sizeof all - strlen(all), " %s", names[i]);
    }
    const char *near = nearest_type(text, names, n);
    const foreign_type *known = foreign_type_said(text);
    if (known)
        err_set(e, ERR_USAGE, "%s: tensor type '%s' is known (%s), and hallmark does not write it; nearest in size: "
                "'%s'. Types:%s", option, text, known->what, dtype_name(tensor_type_near(known)), all);
    else if (near)
        err_set(e, ERR_USAGE, "%s: unknown tensor type '%s'; did you mean '%s'? Types:%s", option, text, near, all);
    else
        err_set(e, ERR_USAGE, "%s: unknown tensor type '%s'. Types:%s", option, text, all);
    return DT_INVALID;
}

// "PATTERN=TYPE"; *text is the copy that the rule's pattern borrows.
static bool rule_arg(type_rule *r, const char *arg, char **text, err *e)
{
    const char *equals = strrchr(arg, '=');
    if (!equals || equals == arg) return err_set(e, ERR_USAGE, "--tensor-type: found '%s', expected PATTERN=TYPE", arg);
    if (!(*text = strndup(arg, (size_t)(equals - arg)))) return err_nomem(e, "a pattern", strlen(arg));
    *r = (type_rule){ .pattern = *text, .type = tensor_type_arg(equals + 1, "--tensor-type", e) };
    return e->kind == ERR_NONE;
}

bool encoder_of_device(const command *c, block_encoder **b, const char *device, err *e)
{
    err why = { 0 };
    *b = NULL;
    if (!device || strcmp(device, "cpu") == 0) return true;
    *b = cuda_encoder_open(&why);
    if (!*b && (strcmp(device, "cuda") == 0 || why.kind == ERR_USAGE)) return err_set(e, why.kind, "%s", why.msg);
    // Where there is no device there is nothing to explain.
    if (!*b && !cuda_encoder_absent(&why)) cli_note(c, "encoding on the CPU: %s", why.msg);
    return true;
}

void encoder_close(block_encoder *b)
{
    if (b) b->close(b);
}

bool type_choice_make(type_choice *c, const char *type, const type_options *o, err *e)
{
    const size_t n = (size_t)o->tensor_types.n;
    *c = (type_choice){ .type = file_type_arg(type, e) };
    if (!c->type) return false;
    c->rules = calloc(n + 1, sizeof *c->rules);
    c->texts = calloc(n + 1, sizeof *c->texts);
    if (!c->rules || !c->texts) return err_nomem(e, "the rules", n * sizeof *c->rules);
    c->over = (policy_overrides){ .rules = c->rules, .n_rules = o->tensor_types.n, .pure = o->pure,
                                  .output = DT_INVALID, .embedding = DT_INVALID };
    for (size_t i = 0; i < n; i++)
        if (!rule_arg(&c->rules[i], o->tensor_types.v[i], &c->texts[i], e)) return false;
    c->over.output    = tensor_type_arg(o->output_type, "--output-type", e);
    c->over.embedding = tensor_type_arg(o->embedding_type, "--embedding-type", e);
    return e->kind == ERR_NONE;
}

void type_choice_free(type_choice *c)
{
    for (int i = 0; c->texts && i < c->over.n_rules; i++) free(c->texts[i]);
    free(c->texts);
    free(c->rules);
    *c = (type_choice){ .rules = NULL };
}

// Why a tensor is not what was asked for: its rows.
static void fallback_cell(table *t, const quantize_row *r)
{
    const int64_t cols = r->n_dims > 0 ? r->shape[r->n_dims - 1] : 1;
    if (r->wanted == r->to) table_cell(t, "%s", "");
    else                    table_cell(t, "not %s: rows of %lld", dtype_name(r->wanted), (long long)cols);
}

static int64_t count_fallbacks(const quantize_preview *v)
{
    int64_t n = 0;
    for (int64_t i = 0; i < v->n; i++) n += v->rows[i].wanted != v->rows[i].to;
    return n;
}

static bool print_plan(const quantize_preview *v, err *e)
{
    static const char *const header[] = { "tensor", "shape", "from", "to", ">bytes", NULL };
    static const char *const noted[]  = { "tensor", "shape", "from", "to", ">bytes", "fallback", NULL };
    const int64_t n_fallbacks = count_fallbacks(v);
    table t;
    char from[32], to[32];
    table_begin(&t, n_fallbacks ? noted : header);
    for (int64_t i = 0; i < v->n; i++) {
        const quantize_row *r = &v->rows[i];
        table_cell(&t, "%s", r->name);
        table_shape(&t, r->n_dims, r->shape);
        table_cell(&t, "%s", dtype_name(r->from));
        table_cell(&t, "%s", dtype_name(r->to));
        table_cell(&t, "%lld", (long long)r->to_bytes);
        if (n_fallbacks) fallback_cell(&t, r);
    }
    if (!table_print(&t, stdout)) return err_nomem(e, "the table", 0);
    if (n_fallbacks)
        printf("%lld tensors fall back to a type whose blocks fit their rows (--strict-types refuses)\n",
               (long long)n_fallbacks);
    printf("%lld tensors, %lld weights: %s become %s, %.3f bits a weight\n", (long long)v->n, (long long)v->n_elems,
           human_bytes(v->from_bytes, from), human_bytes(v->to_bytes, to), v->bits_per_weight);
    return true;
}

static void row_json(json_out *j, const quantize_row *r)
{
    json_open(j, '{');
    json_key_cstr(j, "name", r->name);
    json_key_open(j, "shape", '[');
    for (int d = 0; d < r->n_dims; d++) json_int(j, r->shape[d]);
    json_close(j, ']');
    json_key_cstr(j, "from", dtype_name(r->from));
    json_key_cstr(j, "to", dtype_name(r->to));
    json_key_cstr(j, "wanted", dtype_name(r->wanted));
    json_key_int(j, "bytes", r->to_bytes);
    json_close(j, '}');
}

static void print_plan_json(const quantize_preview *v)
{
    json_out j;
    json_begin(&j, answer_document());
    json_open(&j, '{');
    json_key_bool(&j, "dry_run", true);
    json_key_int(&j, "weights", v->n_elems);
    json_key_int(&j, "from_bytes", v->from_bytes);
    json_key_int(&j, "to_bytes", v->to_bytes);
    json_key_num(&j, "bits_per_weight", v->bits_per_weight, 9);
    json_key_int(&j, "fallbacks", count_fallbacks(v));
    json_key_open(&j, "tensors", '[');
    for (int64_t i = 0; i < v->n; i++) row_json(&j, &v->rows[i]);
    json_close(&j, ']');
    json_close(&j, '}');
}

bool type_plan_print(quantize_preview *v, err *e)
{
    if (answer_is_json()) print_plan_json(v);
    const bool ok = answer_is_json() || print_plan(v, e);
    quantize_preview_free(v);
    return ok;
}
