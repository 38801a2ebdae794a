// release_recipe: see release_recipe.h. Reading a file of recipes is in recipe_file.c.
#include "release_recipe.h"
#include "../formats/file_map.h"
#include "../formats/text.h"
#include "../measure/mix.h"
#include "../quant/codec.h"
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef enum { TEXT, LIST, COUNT, EFFORT, FLAG } key_kind;
enum { OF_TYPE = 1 << RECIPE_TYPE, OF_MIX = 1 << RECIPE_MIX, OF_FILE = 1 << RECIPE_ARTIFACT };

static const struct {
    const char *key;
    key_kind    kind;
    size_t      off;
    unsigned    of;
    int64_t     lo, hi;
    const char *before_path;    // in words, what comes before the path that is its value; NULL: it is none
} KEYS[] = {
    { "name", TEXT, offsetof(recipe, name), OF_TYPE | OF_MIX | OF_FILE, 0, 0, NULL },
    { "imatrix", TEXT, offsetof(recipe, imatrix), OF_TYPE | OF_MIX | OF_FILE, 0, 0, "importance matrix" },
    { "effort", EFFORT, offsetof(recipe, effort), OF_TYPE, 0, EFFORT_MAX, NULL },
    { "calibrate", LIST, offsetof(recipe, calibrate), OF_TYPE | OF_FILE, 0, 0, "calibrated on" },
    { "tensor-type", LIST, offsetof(recipe, tensor_types), OF_TYPE, 0, 0, NULL },
    { "output-type", TEXT, offsetof(recipe, output_type), OF_TYPE, 0, 0, NULL },
    { "embedding-type", TEXT, offsetof(recipe, embedding_type), OF_TYPE, 0, 0, NULL },
    { "pure", FLAG, offsetof(recipe, pure), OF_TYPE, 0, 0, NULL },
    { "budget", TEXT, offsetof(recipe, budget), OF_MIX, 0, 0, NULL },
    { "max-kl", TEXT, offsetof(recipe, max_kl), OF_MIX, 0, 0, NULL },
    { "text", LIST, offsetof(recipe, texts), OF_MIX, 0, 0, "measured on" },
    { "samples", COUNT, offsetof(recipe, samples), OF_MIX, 1, 1 << 16, NULL },
    { "chunk", COUNT, offsetof(recipe, chunk), OF_MIX, 8, 1 << 16, NULL },
    { "exact", FLAG, offsetof(recipe, exact), OF_MIX, 0, 0, NULL },
};
enum { N_KEYS = sizeof KEYS / sizeof *KEYS, MOST_IN_LIST = 32, MOST_NAME = 64 };

static const char *what(const recipe *r)
{
    static const char *const WHAT[] = { "a type", "a mix", "a finished file" };
    return WHAT[r->kind];
}

static int key_find(const char *key)
{
    int i = 0;
    while (i < N_KEYS && strcmp(KEYS[i].key, key) != 0) i++;
    return i;
}

bool recipe_key_is_path(const char *key)
{
    const int i = key_find(key);
    return i < N_KEYS && KEYS[i].before_path;
}

bool recipe_key_is_number(const char *key)
{
    const int i = key_find(key);
    return i < N_KEYS && (KEYS[i].kind == COUNT || KEYS[i].kind == EFFORT);
}

static void *field(recipe *r, int i)              { return (char *)r + KEYS[i].off; }
static const void *field_of(const recipe *r, int i) { return (const char *)r + KEYS[i].off; }

static void list_free(recipe_list *l)
{
    for (int i = 0; i < l->n; i++) free(l->v[i]);
    free(l->v);
}

void recipe_free(recipe *r)
{
    for (int i = 0; i < N_KEYS; i++) {
        if (KEYS[i].kind == TEXT) free(*(char **)field(r, i));
        if (KEYS[i].kind == LIST) list_free(field(r, i));
    }
    free(r->artifact);
    free(r->file);
    free(r->outside);
    *r = (recipe){ .type = FT_INVALID };
}

void recipes_free(recipe *r, int n)
{
    for (int i = 0; i < n; i++) recipe_free(&r[i]);
    free(r);
}

// ---- setting -------------------------------------------------------------------------------------------------------

static bool unknown(const recipe *r, const char *key, err *e)
{
    text_buf t = { 0 };
    for (int i = 0; i < N_KEYS; i++)
        if (KEYS[i].of & 1u << r->kind) text_printf(&t, "%s%s", t.n ? ", " : "", KEYS[i].key);
    char *all = text_take(&t);
    err_set(e, ERR_USAGE, "found '%s', expected of %s one of %s", key, what(r), all ? all : "its keys");
    free(all);
    return false;
}

static bool set_text(char **to, const char *key, const char *value, err *e)
{
    if (*to) return err_set(e, ERR_USAGE, "%s is given twice", key);
    *to = strdup(value);
    return *to || err_nomem(e, "a recipe", strlen(value));
}

static bool add_text(recipe_list *l, const char *key, const char *value, err *e)
{
    if (l->n == MOST_IN_LIST) return err_set(e, ERR_USAGE, "%s: more than %d", key, (int)MOST_IN_LIST);
    char **grown = realloc(l->v, ((size_t)l->n + 1) * sizeof *grown);
    if (!grown) return err_nomem(e, "a recipe", ((size_t)l->n + 1) * sizeof *grown);
    l->v = grown;
    l->v[l->n] = strdup(value);
    if (!l->v[l->n]) return err_nomem(e, "a recipe", strlen(value));
    l->n++;
    return true;
}

static bool set_count(int64_t *to, int i, const char *value, err *e)
{
    char *end = NULL;
    const size_t digits = strspn(value, "0123456789");
    const long long v = digits > 0 && digits < 10 ? strtoll(value, &end, 10) : -1;
    if (!end || *end || v < KEYS[i].lo || v > KEYS[i].hi)
        return err_set(e, ERR_USAGE, "%s: found '%s', expected %lld to %lld", KEYS[i].key, value,
                       (long long)KEYS[i].lo, (long long)KEYS[i].hi);
    *to = v;
    return true;
}

static bool set_number(recipe *r, int i, const char *value, err *e)
{
    int64_t *to = field(r, i);
    if (KEYS[i].kind == EFFORT ? r->has_effort : *to > 0)
        return err_set(e, ERR_USAGE, "%s is given twice", KEYS[i].key);
    r->has_effort |= KEYS[i].kind == EFFORT;
    return set_count(to, i, value, e);
}

bool recipe_set(recipe *r, const char *key, const char *value, err *e)
{
    const int i = key_find(key);
    if (i == N_KEYS || !(KEYS[i].of & 1u << r->kind)) return unknown(r, key, e);
    if (KEYS[i].kind == FLAG) {
        if (value) return err_set(e, ERR_USAGE, "%s takes no value (found '%s')", key, value);
        *(bool *)field(r, i) = true;
        return true;
    }
    if (!value || !value[0]) return err_set(e, ERR_USAGE, "%s: the value is missing", key);
    switch (KEYS[i].kind) {
    case TEXT: return set_text(field(r, i), key, value, e);
    case LIST: return add_text(field(r, i), key, value, e);
    default:   return set_number(r, i, value, e);
    }
}

// ---- the whole recipe ----------------------------------------------------------------------------------------------

bool recipe_encodes(const recipe *r)
{
    if (r->kind != RECIPE_TYPE) return true;
    const bool other = r->tensor_types.n || r->output_type || r->embedding_type;
    return other || (r->type != FT_F32 && r->type != FT_F16 && r->type != FT_BF16);
}

bool recipe_is_plain(const recipe *r)
{
    if (r->kind != RECIPE_TYPE || r->name || r->file) return false;
    return !r->imatrix && !r->has_effort && !r->calibrate.n && !r->tensor_types.n && !r->output_type
        && !r->embedding_type && !r->pure;
}

static bool check_name(const char *name, err *e)
{
    static const char LETTERS[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    if (!name) return true;
    const size_t n = strlen(name);
    if (n <= MOST_NAME && strspn(name, LETTERS) == n && name[0] != '.' && name[0] != '-') return true;
    return err_set(e, ERR_USAGE, "name '%s': expected up to %d letters, digits, '.', '_' and '-', of which the first "
                   "is a letter or a digit", name, (int)MOST_NAME);
}

static bool check_mix(const recipe *r, err *e)
{
    mix_target t;
    if (!r->budget == !r->max_kl) return err_set(e, ERR_USAGE, "a mix needs budget=SIZE or max-kl=X, one of them");
    if (r->texts.n == 0) return err_set(e, ERR_USAGE, "a mix needs text=FILE to measure KL on");
    return r->budget ? mix_parse_budget(&t, r->budget, e) : mix_parse_kl(&t, r->max_kl, e);
}

static bool check_type(const recipe *r, err *e)
{
    policy_overrides o;
    type_rule *rules;
    const char *idle = r->imatrix ? "imatrix" : r->has_effort && r->effort > 0 ? "effort"
                       : r->calibrate.n ? "calibrate" : NULL;
    if (idle && !recipe_encodes(r))
        return err_set(e, ERR_USAGE, "%s does nothing: no tensor of %s becomes blocks", idle,
                       file_type_of(r->type)->name);
    if (r->calibrate.n && r->has_effort && r->effort == 0)
        return err_set(e, ERR_USAGE, "effort=0 and calibrate exclude each other: effort 0 gives llama-quantize's "
                       "bytes, which no text changes");
    const bool ok = recipe_overrides(r, &o, &rules, e);
    recipe_rules_free(rules, r->tensor_types.n);
    return ok;
}

bool recipe_check(const recipe *r, err *e)
{
    if (!check_name(r->name, e)) return false;
    if (r->kind == RECIPE_MIX) return check_mix(r, e);
    return r->kind == RECIPE_ARTIFACT || check_type(r, e);
}

// ---- types of tensors ----------------------------------------------------------------------------------------------

static bool tensor_type(dtype *to, const char *key, const char *text, err *e)
{
    const dtype_info *t = text ? dtype_find_name(text) : NULL;
    *to = DT_INVALID;
    if (!text) return true;
    if (!t || !codec_find(t->id)) return err_set(e, ERR_USAGE, "%s: unknown tensor type '%s'", key, text);
    *to = t->id;
    return true;
}

// "PATTERN=TYPE": the pattern may hold '=', too.
static bool rule(type_rule *to, const char *text, err *e)
{
    const char *equals = strrchr(text, '=');
    if (!equals || equals == text)
        return err_set(e, ERR_USAGE, "tensor-type: found '%s', expected PATTERN=TYPE", text);
    if (!tensor_type(&to->type, "tensor-type", equals + 1, e)) return false;
    to->pattern = strndup(text, (size_t)(equals - text));
    return to->pattern || err_nomem(e, "a pattern", strlen(text));
}

bool recipe_overrides(const recipe *r, policy_overrides *o, type_rule **rules, err *e)
{
    const int n = r->tensor_types.n;
    *rules = calloc((size_t)n + 1, sizeof **rules);
    if (!*rules) return err_nomem(e, "the rules", (size_t)n * sizeof **rules);
    *o = (policy_overrides){ .rules = *rules, .n_rules = n, .pure = r->pure };
    for (int i = 0; i < n; i++)
        if (!rule(&(*rules)[i], r->tensor_types.v[i], e)) return false;
    return tensor_type(&o->output, "output-type", r->output_type, e)
        && tensor_type(&o->embedding, "embedding-type", r->embedding_type, e);
}

void recipe_rules_free(type_rule *rules, int n)
{
    for (int i = 0; rules && i < n; i++) free((char *)rules[i].pattern);
    free(rules);
}

// ---- as a text -----------------------------------------------------------------------------------------------------

static const char *base_text(const recipe *r)
{
    if (r->kind == RECIPE_ARTIFACT) return r->artifact;
    return r->kind == RECIPE_MIX ? "mix" : file_type_of(r->type)->name;
}

typedef void (*put_value)(text_buf *t, int key, const char *value);

static void put_all(text_buf *t, const recipe *r, put_value put)
{
    char number[32];
    for (int i = 0; i < N_KEYS; i++) {
        const recipe_list *l = field_of(r, i);
        const int64_t *v = field_of(r, i);
        switch (KEYS[i].kind) {
        case TEXT: if (*(char *const *)field_of(r, i)) put(t, i, *(char *const *)field_of(r, i)); break;
        case FLAG: if (*(const bool *)field_of(r, i)) put(t, i, NULL); break;
        case LIST: for (int k = 0; k < l->n; k++) put(t, i, l->v[k]); break;
        default:
            snprintf(number, sizeof number, "%lld", (long long)*v);
            if (KEYS[i].kind == EFFORT ? r->has_effort : *v > 0) put(t, i, number);
        }
    }
}

static void put_escaped(text_buf *t, const char *s)
{
    for (; *s; s++) {
        if (*s == ',' || *s == ':') text_raw(t, "\\", 1);
        if (*s == '\\' && (s[1] == ',' || s[1] == ':' || s[1] == '\\' || s[1] == '\0')) text_raw(t, "\\", 1);
        text_raw(t, s, 1);
    }
}

static void put_option(text_buf *t, int key, const char *value)
{
    text_printf(t, ":%s%s", KEYS[key].key, value ? "=" : "");
    if (value) put_escaped(t, value);
}

char *recipe_text(const recipe *r)
{
    text_buf t = { 0 };
    put_escaped(&t, base_text(r));
    put_all(&t, r, put_option);
    return text_take(&t);
}

static void put_words(text_buf *t, int key, const char *value)
{
    const char *name = KEYS[key].key, *before = KEYS[key].before_path;
    if (strcmp(name, "name") == 0) return;
    text_printf(t, ", %s%s", before ? before : name, value ? " " : "");
    if (value) text_words(t, before ? path_base(value) : value);
}

void recipe_words(const recipe *r, char words[512])
{
    text_buf t = { 0 };
    words[0] = '\0';
    if (recipe_is_plain(r)) return;
    text_words(&t, r->kind == RECIPE_ARTIFACT ? "a finished file, " : "");
    text_words(&t, r->kind == RECIPE_ARTIFACT ? path_base(r->artifact) : base_text(r));
    put_all(&t, r, put_words);
    char *all = text_take(&t);
    text_fit(words, 512, all ? all : "", all ? strlen(all) : 0, 0);
    free(all);
}
