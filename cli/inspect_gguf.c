#include "answer.h"
#include "inspect.h"
#include "../formats/claims.h"
#include <stdlib.h>
#include <string.h>

enum { SHOWN_ELEMENTS = 6, SHOWN_BYTES = 160, PLAN_BATCH = 128 };

const char *const inspect_tensor_header[] = { "name", "type", "shape", ">bytes", ">offset", NULL };

// ---- values ---------------------------------------------------------------------------------------------------------

static int64_t read_le(const uint8_t *p, int n_bytes, bool is_signed)
{
    uint64_t v = 0;
    for (int i = 0; i < n_bytes; i++) v |= (uint64_t)p[i] << (8 * i);
    if (is_signed && n_bytes < 8 && (v >> (8 * n_bytes - 1))) v |= ~(uint64_t)0 << (8 * n_bytes);
    return (int64_t)v;
}

static void scalar_json(json_out *j, gguf_type type, const uint8_t *p)
{
    float f;
    double d;
    switch (type) {
    case GGUF_U8:   json_int(j, read_le(p, 1, false)); return;
    case GGUF_I8:   json_int(j, read_le(p, 1, true)); return;
    case GGUF_U16:  json_int(j, read_le(p, 2, false)); return;
    case GGUF_I16:  json_int(j, read_le(p, 2, true)); return;
    case GGUF_U32:  json_int(j, read_le(p, 4, false)); return;
    case GGUF_I32:  json_int(j, read_le(p, 4, true)); return;
    case GGUF_U64:  json_uint(j, (uint64_t)read_le(p, 8, false)); return;
    case GGUF_I64:  json_int(j, read_le(p, 8, true)); return;
    case GGUF_BOOL: json_bool(j, p[0] != 0); return;
    case GGUF_F32:  memcpy(&f, p, sizeof f); json_num(j, f, 9); return;
    case GGUF_F64:  memcpy(&d, p, sizeof d); json_num(j, d, 17); return;
    default:        json_cstr(j, NULL); return;
    }
}

static int scalar_bytes(gguf_type t)
{
    static const int bytes[] = { 1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8 };
    return bytes[t];
}

// A scalar string's data: u64 length and bytes, as stored.
static void string_json(json_out *j, const gguf_kv *kv)
{
    int64_t n = kv->n_bytes >= 8 ? read_le(kv->data, 8, false) : 0;
    if (n < 0 || n > kv->n_bytes - 8) n = 0;            // the reader has checked it; never past the value
    json_text(j, (const char *)kv->data + 8, n);
}

static void value_json(json_out *j, const gguf_kv *kv)
{
    if (kv->type == GGUF_STRING) { string_json(j, kv); return; }
    if (kv->type != GGUF_ARRAY) { scalar_json(j, kv->type, kv->data); return; }
    json_open(j, '[');
    if (kv->elem == GGUF_STRING) {
        gguf_str s;
        for (gguf_str_iter it = gguf_strs(kv); gguf_next_str(&it, &s);) json_text(j, s.s, s.n);
    } else {
        for (int64_t i = 0; i < kv->n; i++) scalar_json(j, kv->elem, kv->data + i * scalar_bytes(kv->elem));
    }
    json_close(j, ']');
}

void inspect_head_json(json_out *j, const char *file, const char *format)
{
    json_begin(j, answer_document());
    json_open(j, '{');
    json_key_cstr(j, "file", file);
    json_key_cstr(j, "format", format);
}

void inspect_kv_json(json_out *j, const gguf *g, err *measured)
{
    json_key_open(j, "kv", '{');
    for (int64_t i = 0; i < gguf_n_kv(g); i++) {
        const gguf_kv *kv = gguf_kv_at(g, i);
        json_key(j, kv->key);
        value_json(j, kv);
    }
    if (measured && !gguf_find_kv(g, "measured")) inspect_measured(j, g, measured);
    json_close(j, '}');
}

bool inspect_kv_table(const gguf *g, err *e)
{
    for (int64_t i = 0; i < gguf_n_kv(g); i++) {
        const gguf_kv *kv = gguf_kv_at(g, i);
        char *text = gguf_kv_text(kv, SHOWN_ELEMENTS);
        char name[128];
        if (!text) return err_nomem(e, "a metadata value", (size_t)kv->n_bytes);
        gguf_str s;
        const int64_t n = (int64_t)strlen(text), shown = text_cut(text, n, SHOWN_BYTES);
        text_fit(name, sizeof name, kv->key, strlen(kv->key), 0);
        printf("  %-46s ", name);
        fwrite(text, 1, (size_t)shown, stdout);
        if (shown < n) printf("... (%lld bytes)", (long long)(gguf_kv_str(kv, &s) ? s.n : n));
        putchar('\n');
        free(text);
    }
    return true;
}

// ---- tensors --------------------------------------------------------------------------------------------------------

void inspect_tensor_json(json_out *j, const inspect_row *r)
{
    json_open(j, '{');
    json_key_cstr(j, "name", r->name);
    json_key_cstr(j, "type", r->type);
    json_key_open(j, "shape", '[');
    for (int d = 0; d < r->n_dims; d++) json_int(j, r->shape[d]);
    json_close(j, ']');
    json_key_int(j, "offset", r->off);
    json_key_int(j, "bytes", r->n_bytes);
    json_close(j, '}');
}

void inspect_tensor_cells(table *t, const inspect_row *r)
{
    table_cell(t, "%s", r->name);
    table_cell(t, "%s", r->type);
    table_shape(t, r->n_dims, r->shape);
    table_cell(t, "%lld", (long long)r->n_bytes);
    table_cell(t, "%lld", (long long)r->off);
}

static inspect_row row_of(const gguf_tensor *t)
{
    return (inspect_row){ t->name, dtype_name(t->type), t->n_dims, t->shape, t->off, t->n_bytes };
}

// ---- memory ---------------------------------------------------------------------------------------------------------

static void memory_row_text(const memory_plan *p, const hparams *h, int64_t n_ctx)
{
    char kv[32], full[32];
    printf("  %8lld positions  %9s", (long long)n_ctx, human_bytes(p->kv_bytes, kv));
    if (p->kv_bytes_unshared > p->kv_bytes)
        printf("  (%s without sharing: %.0f %% saved)", human_bytes(p->kv_bytes_unshared, full),
               100.0 * (double)(p->kv_bytes_unshared - p->kv_bytes) / (double)p->kv_bytes_unshared);
    putchar('\n');
}

static void memory_row_json(json_out *j, const memory_plan *p, int64_t n_ctx)
{
    json_open(j, '{');
    json_key_int(j, "positions", n_ctx);
    json_key_int(j, "kv_bytes", p->kv_bytes);
    json_key_int(j, "kv_bytes_unshared", p->kv_bytes_unshared);
    json_key_int(j, "state_bytes", p->state_bytes);
    const double shared = p->kv_bytes_unshared > 0 ? (double)p->kv_bytes / (double)p->kv_bytes_unshared : 1.0;
    json_key_num(j, "saved", 1.0 - shared, 6);
    json_close(j, '}');
}

static bool memory_rows(json_out *j, const hparams *h, kv_type kv, err *e)
{
    const int64_t shown[] = { 4096, 32768, h->n_ctx_train };
    bool any = false;
    for (int i = 0; i < 3; i++) {
        memory_plan p;
        if (shown[i] > h->n_ctx_train || (i < 2 && shown[i] == h->n_ctx_train)) continue;
        const kv_spec spec = kv_spec_of(kv);
        if (!memory_plan_of(&p, h, &spec, kv_arith_of(h), shown[i], PLAN_BATCH, e)) return false;
        if (!any && !j) printf("KV cache in %s: %d of %d layers keep one\n", h->kv_required, p.n_kv_layers, h->n_layer);
        if (!any && !j && p.n_state_layers > 0) {
            char state[32];
            printf("States, in F32: %d of %d layers keep one: %s for any number of positions\n", p.n_state_layers,
                   h->n_layer, human_bytes(p.state_bytes, state));
        }
        if (j) memory_row_json(j, &p, shown[i]);
        else   memory_row_text(&p, h, shown[i]);
        any = true;
    }
    return true;
}

// Keys that the file leaves out, with what they then mean here and to llama.cpp.
static void assumed(json_out *j, const hparams *h)
{
    const assumed_keys *a = &h->assumed;
    if (j) json_key_open(j, "assumed", '{');
    for (int i = 0; i < a->n; i++) {
        char key[160];
        snprintf(key, sizeof key, "%s.%s", h->arch, a->k[i].name);
        if (j) {
            json_key_num(j, key, a->k[i].value, 9);
        } else {
            printf("%s%s %.9g", i ? ", " : "Not in the file, and taken as llama.cpp takes it: ", key, a->k[i].value);
        }
    }
    if (j) json_close(j, '}');
    else if (a->n) printf("\n");
}

bool inspect_memory(json_out *j, const gguf *g, err *e)
{
    hparams h;
    err why = { 0 };
    memset(&h, 0, sizeof h);
    kv_type kv = KV_F32;
    bool planned = hparams_read(&h, g, &why), ok = true;
    const dtype_info *required = planned ? dtype_find_name(h.kv_required) : NULL;
    const bool has_kv = required && kv_type_of(required->id, &kv);
    if (j) {
        json_key_cstr(j, "kv_type", planned ? h.kv_required : NULL);
        json_key_open(j, "memory", '[');
    }
    if (planned && !j) assumed(NULL, &h);
    if (planned && !j && h.n_nextn > 0)
        printf("%d block%s behind the layers, for the prediction of further tokens: never run\n", h.n_nextn,
               h.n_nextn == 1 ? "" : "s");
    if (has_kv)             ok = memory_rows(j, &h, kv, e);
    else if (!planned && !j && !model_is_ours(g)) print_line(stdout, "No KV cache plan: %s", why.msg);
    if (j) json_close(j, ']');
    if (j) assumed(j, &h);
    hparams_free(&h);
    return ok;
}

// ---- the verdict ----------------------------------------------------------------------------------------------------

bool inspect_judge(const gguf *g, err *e)
{
    hparams h;
    if (!model_is_ours(g)) return true;
    if (gguf_n_tensors(g) > 0) return model_check(g, e);
    const bool ok = hparams_read(&h, g, e);
    hparams_free(&h);
    return ok;
}

// ---- claims ---------------------------------------------------------------------------------------------------------

bool inspect_record(const gguf *g, gguf_str *text)
{
    err none = { 0 };
    *text = (gguf_str){ "", 0 };
    bool has = gguf_get_str(g, KEY_HM_VERIFICATION, text, &none);
    while (has && text->n > 0 && text->s[text->n - 1] == ' ') text->n--;
    if (has && text->n > 2) return true;        // "{}" until release fills it in
    text->n = 0;
    return false;
}

static void claims_text(const gguf *g)
{
    gguf_str record;
    const gguf_kv *digests = gguf_find_kv(g, KEY_HM_TENSOR_SHA);
    if (!gguf_find_kv(g, KEY_HM_VERSION)) {
        printf("Claims: none (no hallmark.* keys)\n");
        return;
    }
    bool has = inspect_record(g, &record);
    printf("Claims: %lld tensor digests for %lld tensors; %s\n", digests ? (long long)digests->n : 0LL,
           (long long)gguf_n_tensors(g), has ? "a verification record ('hallmark check' proves it):"
               : "not released: no verification record");
    if (has) print_line(stdout, "  %.*s", (int)record.n, record.s);
}

// ---- the whole ------------------------------------------------------------------------------------------------------

// What was found while the file was shown, and is told at the end.
static bool take(const err *found, err *e)
{
    return found->kind == ERR_NONE || err_set(e, found->kind, "%s", found->msg);
}

static bool gguf_text(const gguf *g, err *e)
{
    char size[32];
    print_line(stdout, "%s: GGUF v%d, %s, %lld metadata pairs, %lld tensors, alignment %lld, data at %lld",
               gguf_path(g), gguf_version(g), human_bytes(gguf_file_bytes(g),
                                                          size), (long long)gguf_n_kv(g), (long long)gguf_n_tensors(g),
               (long long)gguf_alignment(g), (long long)gguf_data_off(g));
    printf("\nMetadata\n");
    if (!inspect_kv_table(g, e)) return false;
    table t;
    table_begin(&t, inspect_tensor_header);
    for (int64_t i = 0; i < gguf_n_tensors(g); i++) {
        inspect_row r = row_of(gguf_tensor_at(g, i));
        inspect_tensor_cells(&t, &r);
    }
    putchar('\n');
    if (!table_print(&t, stdout)) return err_nomem(e, "the table", 0);
    putchar('\n');
    if (!inspect_memory(NULL, g, e)) return false;
    err measured = { 0 };
    inspect_measured(NULL, g, &measured);
    claims_text(g);
    return inspect_judge(g, e) && take(&measured, e);
}

static bool gguf_json(const gguf *g, err *e)
{
    json_out j;
    err measured = { 0 };
    inspect_head_json(&j, gguf_path(g), "gguf");
    json_key_int(&j, "version", gguf_version(g));
    json_key_int(&j, "bytes", gguf_file_bytes(g));
    json_key_int(&j, "alignment", gguf_alignment(g));
    json_key_int(&j, "data_offset", gguf_data_off(g));
    inspect_kv_json(&j, g, &measured);
    json_key_open(&j, "tensors", '[');
    for (int64_t i = 0; i < gguf_n_tensors(g); i++) {
        inspect_row r = row_of(gguf_tensor_at(g, i));
        inspect_tensor_json(&j, &r);
    }
    json_close(&j, ']');
    bool ok = inspect_memory(&j, g, e);
    if (ok) ok = inspect_judge(g, e) && take(&measured, e);
    json_key_cstr(&j, "problem", ok ? NULL : e->msg);
    json_close(&j, '}');
    return ok;
}

bool inspect_gguf(const char *path, bool json, err *e)
{
    gguf *g = gguf_open(path, e);
    if (!g) return false;
    bool ok = json ? gguf_json(g, e) : gguf_text(g, e);
    gguf_close(g);
    return ok;
}
