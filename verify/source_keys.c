#include "source_keys.h"
#include "../convert/model_card.h"
#include "../formats/claims.h"
#include "../formats/file_map.h"
#include "../formats/hub_cache.h"
#include "../formats/text.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SHOWN_BYTES = 120 };     // of a value in a message

#define KEY_IMATRIX   "quantize.imatrix.file"
#define KEY_NAME      "general.name"
#define KEY_FILE_TYPE "general.file_type"

// Held to by others: see source_keys.h.
static bool is_held_elsewhere(const char *key)
{
    static const char *const KEYS[] = {
        KEY_HM_VERIFICATION, KEY_HM_TENSOR_SHA, KEY_HM_KV_MEASURED, KEY_HM_EFFORT, KEY_HM_CALIBRATION,
        KEY_HM_QUANTIZE_MIX, KEY_IMATRIX,
    };
    for (size_t i = 0; i < sizeof KEYS / sizeof *KEYS; i++)
        if (strcmp(key, KEYS[i]) == 0) return true;
    return false;
}

// ---- two values ----------------------------------------------------------------------------------------------------

// "string", "array of u32".
static void put_type(text_buf *t, const gguf_kv *kv)
{
    if (kv->type == GGUF_ARRAY) text_printf(t, "array of %s", gguf_type_name(kv->elem));
    else                        text_words(t, gguf_type_name(kv->type));
}

static void put_string(text_buf *t, const char *s, int64_t n)
{
    text_words(t, "'");
    text_put(t, TEXT_PLAIN, s, (size_t)(n < SHOWN_BYTES ? n : SHOWN_BYTES));
    text_words(t, n < SHOWN_BYTES ? "'" : "...'");
}

static void put_value(text_buf *t, const gguf_kv *kv)
{
    gguf_str s;
    if (gguf_kv_str(kv, &s)) {
        put_string(t, s.s, s.n);
        return;
    }
    char *text = gguf_kv_text(kv, 4);
    text_words(t, text ? text : "?");           // it is made safe to show
    free(text);
}

// Two texts from where they part: a chat template has thousands of bytes.
static void put_strings(text_buf *t, gguf_str found, gguf_str expected)
{
    int64_t same = 0;
    int     line = 1;
    const int64_t most = found.n < expected.n ? found.n : expected.n;
    while (same < most && found.s[same] == expected.s[same]) line += found.s[same++] == '\n';
    if (found.n > SHOWN_BYTES || expected.n > SHOWN_BYTES) {
        while (same > 0 && ((unsigned char)found.s[same - 1] & 0xc0) == 0x80) same--;   // at a character's beginning
        if (same > 0 && (unsigned char)found.s[same - 1] >= 0xc0) same--;
        text_printf(t, "from byte %lld (line %d) on: ", (long long)same, line);
    } else {
        same = 0;
    }
    text_words(t, "found ");
    put_string(t, found.s + same, found.n - same);
    text_words(t, ", expected ");
    put_string(t, expected.s + same, expected.n - same);
}

static gguf_kv element(const gguf_kv *kv, int64_t i)
{
    const int64_t size = gguf_type_bytes(kv->elem);
    return (gguf_kv){ .key = kv->key, .type = kv->elem, .elem = kv->elem, .n = 1, .data = kv->data + i * size,
                      .n_bytes = size };
}

// Where two arrays of one type part. false: within the shorter one they do not.
static bool put_elements(text_buf *t, const gguf_kv *found, const gguf_kv *expected)
{
    const int64_t n = found->n < expected->n ? found->n : expected->n;
    gguf_str_iter a = gguf_strs(found), b = gguf_strs(expected);
    for (int64_t i = 0; i < n; i++) {
        gguf_str x, y;
        if (found->elem == GGUF_STRING) {
            if (!gguf_next_str(&a, &x) || !gguf_next_str(&b, &y)) return false;
            if (x.n == y.n && memcmp(x.s, y.s, (size_t)x.n) == 0) continue;
            text_printf(t, "element %lld: ", (long long)i);
            put_strings(t, x, y);
            return true;
        }
        const gguf_kv p = element(found, i), q = element(expected, i);
        if (gguf_kv_same(&p, &q)) continue;
        text_printf(t, "element %lld: found ", (long long)i);
        put_value(t, &p);
        text_words(t, ", expected ");
        put_value(t, &q);
        return true;
    }
    return false;
}

static void put_difference(text_buf *t, const gguf_kv *found, const gguf_kv *expected)
{
    gguf_str a, b;
    const bool one_type = found->type == expected->type && found->elem == expected->elem;
    if (one_type && gguf_kv_str(found, &a) && gguf_kv_str(expected, &b)) {
        put_strings(t, a, b);
        return;
    }
    if (one_type && found->type == GGUF_ARRAY) {
        if (put_elements(t, found, expected)) return;
        text_printf(t, "found %lld elements, expected %lld", (long long)found->n, (long long)expected->n);
        return;
    }
    text_words(t, "found ");
    put_value(t, found);
    text_words(t, " (");
    put_type(t, found);
    text_words(t, "), expected ");
    put_value(t, expected);
    text_words(t, " (");
    put_type(t, expected);
    text_words(t, ")");
}

// ---- the message ---------------------------------------------------------------------------------------------------

typedef struct {
    const gguf             *art;
    const gguf_plan        *expected;
    const source_keys_opts *o;
    source_keys_found      *found;
    bool                    named;      // the folder's name is the publisher's
} comparison;

static bool refuse(const comparison *c, const char *key, text_buf *t, const char *end, err *e)
{
    char *text = text_take(t);
    if (!text) return err_nomem(e, "a message", 0);
    err_set(e, ERR_VERDICT, "%s: key '%s': %s, %s %s", gguf_path(c->art), key, text, end, c->o->hf_dir);
    free(text);
    return false;
}

static bool refuse_difference(const comparison *c, const gguf_kv *found, const gguf_kv *expected, err *e)
{
    text_buf t = { 0 };
    put_difference(&t, found, expected);
    return refuse(c, found->key, &t, "as convert would write from", e);
}

static bool refuse_missing(const comparison *c, const gguf_kv *expected, err *e)
{
    text_buf t = { 0 };
    text_words(&t, "is missing, expected ");
    put_value(&t, expected);
    return refuse(c, expected->key, &t, "as convert would write from", e);
}

// Cards are often left out of a copy, as nothing runs on them.
static bool lacks_card(const comparison *c)
{
    char *path = path_join(c->o->hf_dir, MODEL_CARD);
    const bool lacks = path && !file_exists(path);
    free(path);
    return lacks;
}

static bool refuse_added(const comparison *c, const gguf_kv *found, err *e)
{
    text_buf t = { 0 };
    text_words(&t, "found ");
    put_value(&t, found);
    if (model_card_gives(found->key) && lacks_card(c))
        return refuse(c, found->key, &t, "which its source's card (" MODEL_CARD ") said, expected that card (put the "
                      "source's own there again) in", e);
    return refuse(c, found->key, &t, "expected no such key: convert would write none from", e);
}

// ---- all keys ------------------------------------------------------------------------------------------------------

static void keep_string(char *to, size_t size, const gguf_kv *kv)
{
    gguf_str s = { "", 0 };
    gguf_kv_str(kv, &s);
    text_fit(to, size, s.s, (size_t)s.n, 0);
}

// A difference that says something of the folder and not of the artifact; it is then kept in c->found.
static bool is_the_folders(const comparison *c, const gguf_kv *found)
{
    gguf_str s;
    if (strcmp(found->key, KEY_NAME) != 0 || c->named || !gguf_kv_str(found, &s)) return false;
    keep_string(c->found->name, sizeof c->found->name, found);
    return true;
}

static bool compare_expected(const comparison *c, const gguf_kv *expected, err *e)
{
    const gguf_kv *found = gguf_find_kv(c->art, expected->key);
    if (is_held_elsewhere(expected->key)) return true;
    if (!found && strcmp(expected->key, KEY_HM_SOURCE_REV) == 0) return true;
    if (!found) return refuse_missing(c, expected, e);
    if (gguf_kv_same(found, expected)) {
        c->found->compared++;
        return true;
    }
    return is_the_folders(c, found) || refuse_difference(c, found, expected, e);
}

static bool compare_added(const comparison *c, const gguf_kv *found, err *e)
{
    gguf_str s;
    if (is_held_elsewhere(found->key) || gguf_plan_find(c->expected, found->key)) return true;
    if (strcmp(found->key, KEY_HM_SOURCE_REV) != 0 || !gguf_kv_str(found, &s)) return refuse_added(c, found, e);
    keep_string(c->found->revision, sizeof c->found->revision, found);
    return true;
}

// Of another source each key may differ: that it is another one is what to say.
static bool compare_source(const comparison *c, err *e)
{
    const gguf_kv *expected = gguf_plan_find(c->expected, KEY_HM_SOURCE_DIGEST);
    const gguf_kv *found = gguf_find_kv(c->art, KEY_HM_SOURCE_DIGEST);
    return !found || !expected || gguf_kv_same(found, expected) || refuse_difference(c, found, expected, e);
}

// Of those that are held elsewhere, what nobody proves: a name, and the maker's own words of a mix and of caches.
static void tell_open(const comparison *c)
{
    static const char *const KEYS[] = { KEY_HM_KV_MEASURED, KEY_HM_QUANTIZE_MIX, KEY_IMATRIX };
    char  *to = c->found->open_keys;
    size_t n = 0;
    for (size_t i = 0; i < sizeof KEYS / sizeof *KEYS; i++) {
        const gguf_kv *found = gguf_find_kv(c->art, KEYS[i]), *expected = gguf_plan_find(c->expected, KEYS[i]);
        if (!found) continue;
        if (expected && gguf_kv_same(found, expected)) c->found->compared++;
        else n += (size_t)snprintf(to + n, sizeof c->found->open_keys - n, "%s%s", n ? ", " : "", KEYS[i]);
    }
}

static bool compare_all(const comparison *c, err *e)
{
    if (!compare_source(c, e)) return false;
    for (int64_t i = 0; i < gguf_plan_n_kv(c->expected); i++)
        if (!compare_expected(c, gguf_plan_kv_at(c->expected, i), e)) return false;
    for (int64_t i = 0; i < gguf_n_kv(c->art); i++)
        if (!compare_added(c, gguf_kv_at(c->art, i), e)) return false;
    tell_open(c);
    return true;
}

// ---- what is expected ----------------------------------------------------------------------------------------------

// The type whose name the file bears, which decides no other key than this one.
static bool read_type(const gguf *art, file_type *type, err *e)
{
    int64_t id = 0;
    err     bad = { 0 };
    if (!gguf_get_i64(art, KEY_FILE_TYPE, &id, &bad)) return err_set(e, ERR_VERDICT, "%s", bad.msg);
    const file_type_info *t = file_type_of(id);
    if (!t)
        return err_set(e, ERR_VERDICT, "%s: key '%s': found %lld, expected a type that convert writes", gguf_path(art),
                       KEY_FILE_TYPE, (long long)id);
    *type = t->id;
    return true;
}

static bool read_version(const gguf *art, int64_t *version, err *e)
{
    err bad = { 0 };
    if (!gguf_get_i64(art, KEY_HM_VERSION, version, &bad)) return err_set(e, ERR_VERDICT, "%s", bad.msg);
    return (*version >= 1 && *version <= CLAIMS_VERSION)
        || err_set(e, ERR_VERDICT, "%s: key '%s': found %lld, expected 1 to %d", gguf_path(art), KEY_HM_VERSION,
                   (long long)*version, CLAIMS_VERSION);
}

static gguf_plan *plan(const gguf *art, const source_keys_opts *o, convert_other_types *other, err *e)
{
    convert_opts c = { .imatrix = o->imatrix };
    int64_t      version = 0;
    char         revision[41];
    if (!read_type(art, &c.type, e) || !read_version(art, &version, e)) return NULL;
    source_revision(o->hf_dir, revision);
    const bool both = version > 1 && strcmp(o->source->v1, o->source->v2) != 0;
    const claims_source s = { .version = version, .digest = version > 1 ? o->source->v2 : o->source->v1,
                              .digest_v1 = both ? o->source->v1 : NULL, .revision = revision };
    return convert_plan_of_artifact(art, o->hf_dir, &c, &s, other, e);
}

// In a Hub cache the repository names the folder; elsewhere whoever copied it does.
static bool is_in_hub_cache(const char *hf_dir)
{
    char *real = realpath(hf_dir, NULL), *id = real ? hub_id_of(real) : NULL;
    const bool in = id != NULL;
    free(id);
    free(real);
    return in;
}

bool source_keys_prove(source_keys_found *found, const gguf *art, const source_keys_opts *o, err *e)
{
    *found = (source_keys_found){ 0 };
    gguf_plan *p = plan(art, o, &found->other, e);
    const comparison c = { .art = art, .expected = p, .o = o, .found = found, .named = is_in_hub_cache(o->hf_dir) };
    const bool ok = p && compare_all(&c, e);
    gguf_plan_free(p);
    return ok;
}
