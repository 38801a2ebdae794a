#include "json_diff.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH = 512 };

// As text, numbers with all their digits: cJSON rounds away a difference in the last one. NULL when out of memory.
static char *value_text(const cJSON *v)
{
    char number[32];
    if (!v) return strdup("nothing");
    if (!cJSON_IsNumber(v)) return cJSON_PrintUnformatted(v);
    snprintf(number, sizeof number,
             fabs(v->valuedouble) < 1e15 && v->valuedouble == floor(v->valuedouble) ? "%.0f" : "%.17g", v->valuedouble);
    return strdup(number);
}

static bool differ(const char *path, const cJSON *found, const cJSON *expected, const char *where, err *e)
{
    char *f = value_text(found), *x = value_text(expected);
    err_set(e, ERR_VERDICT, "%s: key '%s': found %.200s, expected %.200s", where, path, f ? f : "?", x ? x : "?");
    free(f);
    free(x);
    return false;
}

static bool same(char path[PATH], const cJSON *found, const cJSON *expected, const char *where, err *e);

// The same one step down, at "path.key" or "path[i]".
static bool same_below(char path[PATH], const char *key, int i, const cJSON *found, const cJSON *expected,
                       const char *where, err *e)
{
    const size_t n = strlen(path);
    if (key) snprintf(path + n, PATH - n, "%s%.100s", n ? "." : "", key);
    else     snprintf(path + n, PATH - n, "[%d]", i);
    bool ok = found && expected ? same(path, found, expected, where, e) : differ(path, found, expected, where, e);
    path[n] = '\0';
    return ok;
}

// ---- members by name: sorted, because a list that is searched from its beginning for each of its members takes time b

typedef struct { const cJSON **v; size_t n; } member_list;

static int by_name(const void *a, const void *b)
{
    const cJSON *const *x = a, *const *y = b;
    return strcmp((*x)->string, (*y)->string);
}

static bool list_members(member_list *l, const cJSON *object, err *e)
{
    *l = (member_list){ 0 };
    for (const cJSON *x = object->child; x; x = x->next) l->n++;
    l->v = malloc((l->n + 1) * sizeof *l->v);
    if (!l->v) return err_nomem(e, "members", (l->n + 1) * sizeof *l->v);
    size_t i = 0;
    for (const cJSON *x = object->child; x; x = x->next) l->v[i++] = x;
    qsort(l->v, l->n, sizeof *l->v, by_name);
    return true;
}

static const cJSON *find_member(const member_list *l, const cJSON *like)
{
    const cJSON **hit = bsearch(&like, l->v, l->n, sizeof *l->v, by_name);
    return hit ? *hit : NULL;
}

static bool compare_members(char path[PATH], const cJSON *found, const cJSON *expected, const member_list *in_found,
                            const member_list *in_expected, const char *where, err *e)
{
    for (const cJSON *x = expected->child; x; x = x->next)
        if (!same_below(path, x->string, 0, find_member(in_found, x), x, where, e)) return false;
    for (const cJSON *f = found->child; f; f = f->next)
        if (!find_member(in_expected, f)) return same_below(path, f->string, 0, f, NULL, where, e);
    return true;
}

static bool same_members(char path[PATH], const cJSON *found, const cJSON *expected, const char *where, err *e)
{
    member_list in_found = { 0 }, in_expected = { 0 };
    bool ok = list_members(&in_found, found, e);
    if (ok) ok = list_members(&in_expected, expected, e);
    if (ok) ok = compare_members(path, found, expected, &in_found, &in_expected, where, e);
    free(in_found.v);
    free(in_expected.v);
    return ok;
}

static bool same(char path[PATH], const cJSON *found, const cJSON *expected, const char *where, err *e)
{
    const int type = expected->type & 0xff;         // without cJSON's flags of ownership
    if ((found->type & 0xff) != type) return differ(path, found, expected, where, e);
    if (type == cJSON_Object) return same_members(path, found, expected, where, e);
    if (type == cJSON_Array) {
        const cJSON *f = found->child, *x = expected->child;
        for (int i = 0; f || x; i++, f = f ? f->next : NULL, x = x ? x->next : NULL)
            if (!same_below(path, NULL, i, f, x, where, e)) return false;
        return true;
    }
    if (type == cJSON_Number && found->valuedouble != expected->valuedouble)
        return differ(path, found, expected, where, e);
    if (type == cJSON_String && strcmp(found->valuestring, expected->valuestring) != 0)
        return differ(path, found, expected, where, e);
    return true;
}

bool json_same(const cJSON *found, const cJSON *expected, const char *where, err *e)
{
    char path[PATH] = "";
    return same(path, found, expected, where, e);
}
