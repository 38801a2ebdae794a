// shown_gguf: a GGUF file with hostile texts in places of choice, made from a good one.
#ifndef HALLMARK_TESTS_SHOWN_GGUF_H
#define HALLMARK_TESTS_SHOWN_GGUF_H

#include "shown.h"

// Indexes of a key, a value and a tensor's name that become the text; -1: none. Of an array of strings every element
// does that is no mark of the tokenizer's; with says, the texts of two tokens alone, and the model then says nothing
// but one of these two (its head knows no other).
typedef struct { int64_t key, value, tensor; const char *text; int64_t says[2]; } edit;

static inline bool is_edited(const edit *x, const char *key, int64_t i, gguf_str old)
{
    if (x->says[0]) return i == x->says[0] || i == x->says[1];
    return !(old.n > 0 && (old.s[0] == '<' || old.s[0] == '[') && strstr(key, "tokens"));
}

static inline bool plan_strings(gguf_plan *p, const gguf_kv *kv, const char *key, const edit *x, err *e)
{
    gguf_str *v = calloc((size_t)kv->n, sizeof *v);
    char     *all = malloc((size_t)kv->n * (strlen(x->text) + 16)), *w = all;
    gguf_str_iter it = gguf_strs(kv);
    for (int64_t i = 0; i < kv->n && gguf_next_str(&it, &v[i]); i++) {
        if (!is_edited(x, key, i, v[i])) continue;
        v[i].s = w;
        v[i].n = sprintf(w, "%s%lld", x->text, (long long)i);
        w += v[i].n;
    }
    const bool ok = gguf_plan_arr_str(p, key, v, kv->n, e);
    free(all);
    free(v);
    return ok;
}

static inline bool plan_kv(gguf_plan *p, const gguf *g, int64_t i, const edit *x, err *e)
{
    gguf_kv kv = *gguf_kv_at(g, i);
    char    key[1200];
    snprintf(key, sizeof key, "%s%s", kv.key, i == x->key ? x->text : "");
    kv.key = key;
    if (i != x->value) return gguf_plan_copy_kv(p, &kv, e);
    if (kv.type == GGUF_ARRAY && kv.elem == GGUF_STRING) return plan_strings(p, &kv, key, x, e);
    return gguf_plan_str(p, key, x->text, e);           // what was of another type is refused by name
}

// Rows of the head that say one token where a state is on one side, the other on the other, and are zero else.
static inline void two_rows(uint8_t *data, const gguf_tensor *t, const edit *x)
{
    const int64_t width = t->shape[1];
    uint16_t *row = (uint16_t *)(void *)data;
    ck_assert(t->n_dims == 2 && t->type == DT_BF16 && x->says[1] < t->shape[0]);
    memset(data, 0, (size_t)t->n_bytes);
    for (int64_t i = 0; i < width; i++) {
        row[x->says[0] * width + i] = i % 3 ? 0x3f80 : 0xbf80;          // 1, -1
        row[x->says[1] * width + i] = i % 3 ? 0xbf80 : 0x3f80;
    }
}

static inline void write_hostile(const char *from, const char *path, const edit *x)
{
    err     e = { 0 };
    int64_t header, total;
    gguf   *g = open_gguf(from);
    gguf_plan *p = gguf_plan_new(gguf_alignment(g), &e);
    for (int64_t i = 0; i < gguf_n_kv(g); i++)
        if (!plan_kv(p, g, i, x, &e)) ck_abort_msg("%s", e.msg);
    for (int64_t i = 0; i < gguf_n_tensors(g); i++) {
        const gguf_tensor *t = gguf_tensor_at(g, i);
        if (!gguf_plan_tensor(p, i == x->tensor ? x->text : t->name, t->type, t->n_dims, t->shape,
                              &e)) ck_abort_msg("%s", e.msg);
    }
    ck_assert_msg(gguf_plan_layout(p, &header, &total, &e), "%s", e.msg);
    uint8_t *file = calloc(1, (size_t)total), *head = NULL;
    ck_assert(file && gguf_plan_header(p, &head, &header, &e));
    memcpy(file, head, (size_t)header);
    for (int64_t i = 0; i < gguf_n_tensors(g); i++) {
        const gguf_tensor *t = gguf_tensor_at(g, i);
        uint8_t *data = file + gguf_plan_tensor_at(p, i)->off;
        memcpy(data, t->data, (size_t)t->n_bytes);
        if (x->says[0] && strcmp(t->name, "token_embd.weight") == 0) two_rows(data, t, x);
    }
    FILE *f = fopen(path, "wb");
    ck_assert(f && fwrite(file, 1, (size_t)total, f) == (size_t)total && fclose(f) == 0);
    free(file);
    free(head);
    gguf_plan_free(p);
    gguf_close(g);
}

static inline int64_t key_index(const char *path, const char *key)
{
    gguf   *g = open_gguf(path);
    int64_t at = -1;
    for (int64_t i = 0; i < gguf_n_kv(g); i++)
        if (strcmp(gguf_kv_at(g, i)->key, key) == 0) at = i;
    gguf_close(g);
    ck_assert_msg(at >= 0, "no key %s", key);
    return at;
}

#endif
