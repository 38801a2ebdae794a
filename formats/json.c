#include "json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "checked.h"
#include "file_map.h"
#include "json_scan.h"
#include "text.h"

// ---- duplicate names -----------------------------------------------------------------------------------------------

static int by_name(const void *a, const void *b)
{
    return strcmp((*(cJSON *const *)a)->string, (*(cJSON *const *)b)->string);
}

static bool names_unique(const cJSON *obj, const char *where, err *e)
{
    size_t n = 0, k = 0;
    for (const cJSON *c = obj->child; c; c = c->next) n++;
    if (n < 2) return true;
    const cJSON **v = malloc(n * sizeof *v);
    if (!v) return err_nomem(e, "the names of a JSON object", n * sizeof *v);
    for (const cJSON *c = obj->child; c; c = c->next) v[k++] = c;
    qsort(v, n, sizeof *v, by_name);        // sorting, because hashing can be made quadratic by whoever wrote the file
    bool ok = true;
    for (size_t i = 1; ok && i < n; i++)
        if (strcmp(v[i - 1]->string, v[i]->string) == 0)
            ok = err_set(e, ERR_INPUT, "%s: found the name '%.200s' twice in one object, expected it once", where,
                         v[i]->string);
    free(v);
    return ok;
}

// Recursion is as deep as the text, which the scan has bounded.
static bool all_names_unique(const cJSON *v, const char *where, err *e)
{
    if (cJSON_IsObject(v) && !names_unique(v, where, e)) return false;
    for (const cJSON *c = v->child; c; c = c->next)
        if (c->child && !all_names_unique(c, where, e)) return false;
    return true;
}

// ---- parsing -------------------------------------------------------------------------------------------------------

// A text that passed the scan.
static cJSON *build_tree(const char *text, int64_t n, const char *where, err *e)
{
    cJSON *v = cJSON_ParseWithLength(text, (size_t)n);
    if (!v) {       // the text is JSON, so it is memory
        err_nomem(e, where, (size_t)n);
        return NULL;
    }
    if (!all_names_unique(v, where, e)) { cJSON_Delete(v); return NULL; }
    return v;
}

// The literals that are no JSON, written as JSON numbers beyond what a double holds: 1e999 reads as infinity, which
// whoever asks for a number refuses. out: room for n bytes and 5 for each literal. @return the bytes written
static int64_t spell_nonfinite(char *out, const char *text, int64_t n)
{
    bool    in_string = false;
    int64_t k = 0;
    for (int64_t i = 0; i < n; i++) {
        char c = text[i];
        if (c == '"') in_string = !in_string;
        if (in_string && c == '\\') {
            out[k++] = c;
            out[k++] = text[++i];       // what it escapes; the scan has seen that it is there
            continue;
        }
        if (in_string || (c != 'N' && c != 'I')) {
            out[k++] = c;
            continue;
        }
        memcpy(out + k, "1e999", 5);
        k += 5;
        i += c == 'N' ? (int64_t)strlen("NaN") - 1 : (int64_t)strlen("Infinity") - 1;
    }
    return k;
}

static cJSON *build_nonfinite(const char *text, int64_t n, int64_t n_nonfinite, const char *where, err *e)
{
    size_t room = (size_t)n + 5 * (size_t)n_nonfinite;
    char  *copy = malloc(room);
    if (!copy) {
        err_nomem(e, where, room);
        return NULL;
    }
    cJSON *v = build_tree(copy, spell_nonfinite(copy, text, n), where, e);
    free(copy);
    return v;
}

cJSON *json_parse_limited(const char *text, int64_t n, int64_t max_values, const char *where, err *e)
{
    json_scan s = { .text = (const uint8_t *)text, .n = n, .max_values = max_values, .where = where, .e = e };
    return json_scan_all(&s) ? build_tree(text, n, where, e) : NULL;
}

cJSON *json_parse_nul(char *text, int64_t n, int64_t max_values, const char *where, err *e)
{
    json_scan s = {
        .text = (const uint8_t *)text, .n = n, .max_values = max_values, .allow_nul = true, .where = where, .e = e,
    };
    if (!json_scan_all(&s)) return NULL;
    for (int64_t i = 0; i + 6 <= n; i++) {
        if (text[i] != '\\') continue;
        if (memcmp(text + i, "\\u0000", 6) == 0) memcpy(text + i, "\\uffff", 6);
        i++;        // past the escaped character: in \\u0000 the backslash itself is escaped
    }
    return build_tree(text, n, where, e);
}

char *json_restore_nul(const char *s, int64_t *n_bytes)
{
    char *out = malloc(strlen(s) + 1), *w = out;
    if (!out) return NULL;
    while (*s) {
        bool nul = strncmp(s, JSON_NUL, 3) == 0;
        *w++ = nul ? '\0' : *s;
        s += nul ? 3 : 1;
    }
    *w = '\0';
    *n_bytes = w - out;
    return out;
}

cJSON *json_parse_python(const char *text, int64_t n, int64_t max_values, const char *where, err *e)
{
    json_scan s = {
        .text = (const uint8_t *)text, .n = n, .max_values = max_values, .allow_nonfinite = true,
        .where = where, .e = e,
    };
    if (!json_scan_all(&s)) return NULL;
    return s.n_nonfinite ? build_nonfinite(text, n, s.n_nonfinite, where, e) : build_tree(text, n, where, e);
}

cJSON *json_parse(const char *text, int64_t n, const char *where, err *e)
{
    return json_parse_python(text, n, LIMIT_JSON_VALUES, where, e);
}

cJSON *json_parse_file(const char *path, err *e)
{
    char   *text = NULL;
    int64_t n    = 0;
    if (!file_read_text(&text, &n, path, LIMIT_JSON_BYTES, e)) return NULL;
    cJSON *v = json_parse(text, n, path, e);
    free(text);
    return v;
}

// ---- printing ------------------------------------------------------------------------------------------------------

// Takes over what cJSON printed.
static char *shown(char *printed)
{
    text_buf t = { 0 };
    if (!printed) return NULL;
    text_puts(&t, TEXT_JSON_DOC, printed);
    cJSON_free(printed);
    return text_take(&t);
}

char *json_print(const cJSON *v)       { return shown(cJSON_Print(v)); }
char *json_print_short(const cJSON *v) { return shown(cJSON_PrintUnformatted(v)); }

// ---- members -------------------------------------------------------------------------------------------------------

static const cJSON *find(const cJSON *obj, const char *name)
{
    if (!cJSON_IsObject(obj)) return NULL;
    for (const cJSON *c = obj->child; c; c = c->next)
        if (strcmp(c->string, name) == 0) return c;
    return NULL;
}

const cJSON *json_get(const cJSON *obj, const char *name)
{
    const cJSON *v = find(obj, name);
    return v && !cJSON_IsNull(v) ? v : NULL;
}

const char *json_kind(const cJSON *v)
{
    return !v ? "nothing" : cJSON_IsBool(v) ? "a boolean" : cJSON_IsNumber(v) ? "a number" : cJSON_IsString(v)
        ? "a string"
         : cJSON_IsArray(v) ? "an array" : cJSON_IsObject(v) ? "an object" : "null";
}

static bool wrong_kind(const cJSON *v, const char *name, const char *expected, const char *where, err *e)
{
    return err_set(e, ERR_INPUT, "%s: key '%s': found %s, expected %s", where, name, json_kind(v), expected);
}

bool json_as_i64(const cJSON *v, int64_t lo, int64_t hi, int64_t *out)
{
    // cJSON keeps doubles: beyond 2^53 what it holds may not be what the file says.
    const double exact = 9007199254740992.0;
    if (!cJSON_IsNumber(v)) return false;
    double d = v->valuedouble;
    if (!(d >= -exact && d <= exact) || d != floor(d)) return false;
    int64_t i = (int64_t)d;
    if (i < lo || i > hi) return false;
    *out = i;
    return true;
}

bool json_i64(const cJSON *obj, const char *name, int64_t lo, int64_t hi, int64_t *out, const char *where, err *e)
{
    const cJSON *v = json_get(obj, name);
    if (!cJSON_IsNumber(v)) return wrong_kind(v, name, "an integer", where, e);
    if (!json_as_i64(v, lo, hi, out))
        return err_set(e, ERR_INPUT, "%s: key '%s': found %.17g, expected an integer from %lld to %lld", where, name,
                       v->valuedouble, (long long)lo, (long long)hi);
    return true;
}

bool json_i64_or(const cJSON *obj, const char *name, int64_t lo, int64_t hi, int64_t def, int64_t *out,
                 const char *where, err *e)
{
    if (json_get(obj, name)) return json_i64(obj, name, lo, hi, out, where, e);
    *out = def;
    return true;
}

bool json_f64(const cJSON *obj, const char *name, double *out, const char *where, err *e)
{
    const cJSON *v = json_get(obj, name);
    if (!cJSON_IsNumber(v)) return wrong_kind(v, name, "a number", where, e);
    if (!isfinite(v->valuedouble))      // 1e999, Infinity and NaN all read as infinity
        return err_set(e, ERR_INPUT, "%s: key '%s': found NaN, Infinity or a number too large, expected a finite one",
                       where, name);
    *out = v->valuedouble;
    return true;
}

bool json_f64_or(const cJSON *obj, const char *name, double def, double *out, const char *where, err *e)
{
    if (json_get(obj, name)) return json_f64(obj, name, out, where, e);
    *out = def;
    return true;
}

bool json_bool_or(const cJSON *obj, const char *name, bool def, bool *out, const char *where, err *e)
{
    const cJSON *v = json_get(obj, name);
    if (v && !cJSON_IsBool(v)) return wrong_kind(v, name, "true or false", where, e);
    *out = v ? cJSON_IsTrue(v) : def;
    return true;
}

bool json_str(const cJSON *obj, const char *name, const char **out, const char *where, err *e)
{
    const cJSON *v = json_get(obj, name);
    if (!cJSON_IsString(v)) return wrong_kind(v, name, "a string", where, e);
    *out = v->valuestring;
    return true;
}

bool json_str_or(const cJSON *obj, const char *name, const char *def, const char **out, const char *where, err *e)
{
    if (json_get(obj, name)) return json_str(obj, name, out, where, e);
    *out = def;
    return true;
}

bool json_str_is(const cJSON *obj, const char *name, const char *expected, const char *where, err *e)
{
    const char *found;
    if (!json_str(obj, name, &found, where, e)) return false;
    return strcmp(found, expected) == 0
        || err_set(e, ERR_INPUT, "%s: key '%s': found '%.100s', expected '%s'", where, name, found, expected);
}

cJSON *json_add_object(cJSON *list)
{
    cJSON *one = list ? cJSON_CreateObject() : NULL;
    if (one && !cJSON_AddItemToArray(list, one)) { cJSON_Delete(one); return NULL; }
    return one;
}

cJSON *json_add_strings(cJSON *obj, const char *name, const char *const *v, int n)
{
    cJSON *list = cJSON_AddArrayToObject(obj, name);
    for (int i = 0; list && i < n; i++) {
        cJSON *s = cJSON_CreateString(v[i]);
        if (!s || !cJSON_AddItemToArray(list, s)) { cJSON_Delete(s); return NULL; }
    }
    return list;
}
