#include "added_lists.h"

#include "../formats/json.h"
#include "json_found.h"
#include "strmap.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TOKENIZER "tokenizer.json"
#define CONFIG    "tokenizer_config.json"
#define ADDED     "added_tokens.json"
#define MAP       "special_tokens_map.json"

static const char *const k_names[N_NAMES] = { "bos_token", "eos_token", "unk_token", "sep_token", "pad_token",
                                              "cls_token", "mask_token" };

// What a class takes for a named token that nobody names.
static const struct { const char *class, *name[N_NAMES]; } k_defaults[] = {
    [BUILD_FROM_FILE] = { NULL, { NULL } },
    [BUILD_GEMMA] = { "the class GemmaTokenizer", { "<bos>", "<eos>", "<unk>", NULL, "<pad>", NULL, "<mask>" } },
    [BUILD_LLAMA] = { "the class LlamaTokenizer", { "<s>", "</s>", "<unk>" } },
    [BUILD_QWEN2] = { "the class Qwen2Tokenizer",
                      { NULL, "<|endoftext|>", "<|endoftext|>", NULL, "<|endoftext|>" } },
    [BUILD_QWEN35] = { "the class Qwen3_5Tokenizer",
                       { NULL, "<|endoftext|>", "<|endoftext|>", NULL, "<|endoftext|>" } },
    [BUILD_GPT2]  = { "the class GPT2Tokenizer", { "<|endoftext|>", "<|endoftext|>", "<|endoftext|>" } },
};

typedef struct {
    added_lists            *a;
    const tokenizer_source *s;
    err                    *e;
    strmap                  model_specific;     // names beyond the seven -> place in a->named
} reader;

static bool fail(const reader *r, const char *file, const char *key, const cJSON *found, const char *expected)
{
    char text[JSON_FOUND_BYTES];
    return err_set(r->e, ERR_INPUT, "%s/%s: %s: found %s, expected %s", r->s->dir, file, key, json_found(found, text),
                   expected);
}

static bool push(const reader *r, added_list *l, const added_entry *x)
{
    if (l->n == l->cap) {
        const int64_t cap = l->cap ? 2 * l->cap : 64;
        added_entry  *p = realloc(l->e, (size_t)cap * sizeof *p);
        if (!p) return err_nomem(r->e, "added tokens", (size_t)cap * sizeof *p);
        l->e = p;
        l->cap = cap;
    }
    l->e[l->n++] = *x;
    return true;
}

// ---- one token ------------------------------------------------------------------------------------------------------

// An object with content and flags. Without a word from it a token is normalized where it is not special (tokenizers'
// AddedToken); tokenizer.json always has a word.
static bool read_object(const reader *r, const cJSON *v, const char *file, const char *key, bool special,
                        added_entry *x)
{
    static const struct { const char *name; unsigned flag; } flags[] = {
        { "lstrip", ADDED_LSTRIP }, { "rstrip", ADDED_RSTRIP }, { "single_word", ADDED_SINGLE_WORD },
    };
    char where[1200];
    bool on;
    *x = (added_entry){ .file = file, .key = key, .id = -1 };
    snprintf(where, sizeof where, "%s/%s: %.80s", r->s->dir, file, key);
    if (!cJSON_IsObject(v)) return fail(r, file, key, v, "a token's object");
    if (!json_str(v, "content", &x->text, where, r->e)) return false;
    if (!json_bool_or(v, "special", special, &on, where, r->e)) return false;
    if (on || special) x->flags |= ADDED_SPECIAL;
    if (!json_bool_or(v, "normalized", !x->flags && strcmp(file, TOKENIZER) != 0, &on, where, r->e)) return false;
    if (on) x->flags |= ADDED_NORMALIZED;
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        if (!json_bool_or(v, flags[i].name, false, &on, where, r->e)) return false;
        if (on) x->flags |= flags[i].flag;
    }
    return true;
}

static bool is_token_object(const cJSON *v)
{
    return cJSON_IsObject(v) && cJSON_GetStringValue(json_get(v, "content"));
}

// A string, which is a special token, or an object.
static bool read_token(const reader *r, const cJSON *v, const char *file, const char *key, bool special, added_entry *x)
{
    if (is_token_object(v)) return read_object(r, v, file, key, special, x);
    if (!cJSON_IsString(v)) return fail(r, file, key, v, "a token: a string, or an object with content");
    *x = (added_entry){ .text = v->valuestring, .file = file, .key = key, .id = -1, .flags = ADDED_SPECIAL };
    return true;
}

// ---- tokens with an id ----------------------------------------------------------------------------------------------

// Transformers sorts these ids and nothing else, so any whole number is one.
static bool read_id(const reader *r, const char *file, const cJSON *v, const char *text, int64_t *id)
{
    char shown[JSON_FOUND_BYTES];
    if (json_as_i64(v, 0, INT64_MAX, id)) return true;
    return err_set(r->e, ERR_INPUT, "%s/%s: token '%.80s': found id %s, expected a whole number from 0", r->s->dir,
                   file, text, json_found(v, shown));
}

static bool read_file_tokens(const reader *r, const cJSON *tokenizer, added_list *l)
{
    const cJSON *list = json_get(tokenizer, "added_tokens");
    if (list && !cJSON_IsArray(list)) return fail(r, TOKENIZER, "added_tokens", list, "an array");
    for (const cJSON *it = list ? list->child : NULL; it; it = it->next) {
        added_entry x;
        if (!cJSON_IsObject(it)) return fail(r, TOKENIZER, "added_tokens", it, "objects");
        if (!read_object(r, it, TOKENIZER, "added_tokens", false, &x)) return false;
        if (!read_id(r, TOKENIZER, cJSON_GetObjectItemCaseSensitive(it, "id"), x.text, &x.id)) return false;
        if (!push(r, l, &x)) return false;
    }
    return true;
}

static bool read_decoder(const reader *r, const cJSON *list)
{
    if (!cJSON_IsObject(list)) return fail(r, CONFIG, "added_tokens_decoder", list, "an object of ids and tokens");
    for (const cJSON *it = list->child; it; it = it->next) {
        added_entry x;
        char *end;
        if (!read_object(r, it, CONFIG, "added_tokens_decoder", false, &x)) return false;
        x.id = strtoll(it->string, &end, 10);
        if (it->string[0] < '0' || it->string[0] > '9' || *end || end - it->string > 15)
            return err_set(r->e, ERR_INPUT, "%s/" CONFIG ": added_tokens_decoder: found '%.80s', expected an id",
                           r->s->dir, it->string);
        if (!push(r, &r->a->listed, &x)) return false;
    }
    return true;
}

// added_tokens.json: text to id. A token that another file calls special is so here; the others are normalized.
static bool read_added_file(const reader *r)
{
    const cJSON *list = r->s->added_tokens;
    const added_list *groups[] = { &r->a->named, &r->a->extra };
    strmap special = { 0 };
    bool   ok = true;
    if (!list) return true;
    if (!cJSON_IsObject(list)) return fail(r, ADDED, "the file", list, "an object of tokens and ids");
    if (!strmap_init(&special, r->a->named.n + r->a->extra.n, r->e)) return false;
    for (int g = 0; g < 2; g++)
        for (int64_t i = 0; i < groups[g]->n; i++) {
            const added_entry *x = &groups[g]->e[i];
            if (g == 1 || i < N_NAMES) strmap_put(&special, x->text, (int64_t)strlen(x->text), 1);
        }
    for (const cJSON *it = list->child; ok && it; it = it->next) {
        const bool  is_special = strmap_get(&special, it->string, (int64_t)strlen(it->string)) >= 0;
        added_entry x = { .text = it->string, .file = ADDED, .key = it->string,
                          .flags = is_special ? ADDED_SPECIAL : ADDED_NORMALIZED };
        ok = read_id(r, ADDED, it, it->string, &x.id) && push(r, &r->a->listed, &x);
    }
    strmap_free(&special);
    return ok;
}

typedef struct { int64_t id, place; } place_of_id;

static int by_id(const void *pa, const void *pb)
{
    const place_of_id *a = pa, *b = pb;
    if (a->id != b->id) return a->id < b->id ? -1 : 1;
    return (a->place > b->place) - (a->place < b->place);
}

// By id, and of one id the one that came last.
static bool sort_listed(const reader *r)
{
    added_list  *l = &r->a->listed;
    const size_t n = (size_t)l->n;
    place_of_id *p = malloc((n + 1) * sizeof *p);
    added_entry *sorted = malloc((n + 1) * sizeof *sorted);
    bool         ok = p && sorted;
    int64_t      kept = 0;
    if (!ok) err_nomem(r->e, "added tokens", n * sizeof *sorted);
    for (size_t i = 0; ok && i < n; i++) p[i] = (place_of_id){ l->e[i].id, (int64_t)i };
    if (ok) qsort(p, n, sizeof *p, by_id);
    for (size_t i = 0; ok && i < n; i++) {
        const added_entry *x = &l->e[p[i].place];
        const added_entry *next = i + 1 < n && p[i + 1].id == p[i].id ? &l->e[p[i + 1].place] : NULL;
        if (!next) sorted[kept++] = *x;
        else if (strcmp(x->text, next->text) != 0)
            progress_logf(r->s->log, "left out: token '%.80s' of %s: %s gives its id %lld to '%.80s', as Transformers "
                          "reads them", x->text, x->file, next->file,
                          (long long)x->id, next->text);
    }
    free(p);
    if (!ok) { free(sorted); return false; }
    free(l->e);
    *l = (added_list){ sorted, kept, (int64_t)n + 1 };
    return true;
}

// ---- tokens with a name ---------------------------------------------------------------------------------------------

static int name_of(const char *key)
{
    for (int i = 0; i < N_NAMES; i++)
        if (strcmp(key, k_names[i]) == 0) return i;
    return -1;
}

// A key that ends in "_token" and is none of the seven.
static bool is_other_name(const cJSON *it)
{
    const size_t n = strlen(it->string);
    return n >= 6 && strcmp(it->string + n - 6, "_token") == 0 && name_of(it->string) < 0;
}

// A name beyond the seven: a place of its own, or, where it has one, another token there.
static bool put_named(reader *r, const char *name, const added_entry *x)
{
    const int32_t at = strmap_put(&r->model_specific, name, (int64_t)strlen(name), (int32_t)r->a->named.n);
    if (at < 0) return push(r, &r->a->named, x);
    r->a->named.e[at] = *x;
    return true;
}

// The seven, each from special_tokens_map.json, else tokenizer_config.json, else the class. They are pushed one by one,
// absent ones with no text.
static bool read_seven(const reader *r, tokenizer_build build, const cJSON *map)
{
    for (int i = 0; i < N_NAMES; i++) {
        const cJSON *from_map = cJSON_GetObjectItemCaseSensitive(map, k_names[i]);
        const cJSON *v = from_map ? from_map : cJSON_GetObjectItemCaseSensitive(r->s->tokenizer_config, k_names[i]);
        const char  *file = from_map ? MAP : CONFIG, *def = k_defaults[build].name[i];
        added_entry  x = { .text = "", .file = file, .key = k_names[i], .id = -1, .flags = ADDED_SPECIAL };
        if (v && !cJSON_IsNull(v) && !read_token(r, v, file, k_names[i], true, &x)) return false;
        if (!v && def) x = (added_entry){ .text = def, .file = k_defaults[build].class, .key = k_names[i], .id = -1,
                                          .flags = ADDED_SPECIAL };
        if (x.text[0]) {
            r->a->text[i] = x.text;
            r->a->text_file[i] = v ? file : NULL;
        }
        if (!push(r, &r->a->named, &x)) return false;
    }
    return true;
}

// Every other key that ends in "_token". Transformers has objects before strings, and special_tokens_map.json's between
// them.
static bool read_other_names(reader *r, const cJSON *tc, const cJSON *map)
{
    added_entry x;
    for (const cJSON *it = tc ? tc->child : NULL; it; it = it->next) {
        if (!is_other_name(it) || !is_token_object(it)) continue;
        if (!cJSON_IsString(json_get(it, "__type"))) continue;      // an object that does not say so is none to it
        if (!read_token(r, it, CONFIG, it->string, true, &x) || !put_named(r, it->string, &x)) return false;
    }
    for (const cJSON *it = map ? map->child : NULL; it; it = it->next) {
        if (!is_other_name(it) || !(cJSON_IsString(it) || is_token_object(it))) continue;
        if (!read_token(r, it, MAP, it->string, true, &x) || !put_named(r, it->string, &x)) return false;
    }
    for (const cJSON *it = tc ? tc->child : NULL; it; it = it->next) {
        if (!is_other_name(it) || !cJSON_IsString(it)) continue;
        if (!read_token(r, it, CONFIG, it->string, true, &x) || !put_named(r, it->string, &x)) return false;
    }
    return true;
}

static bool read_names_of(reader *r, const cJSON *list, const char *file)
{
    added_entry x;
    for (const cJSON *it = list->child; it; it = it->next)
        if (!read_token(r, it, file, it->string, true, &x) || !put_named(r, it->string, &x)) return false;
    return true;
}

// ---- tokens without a name ------------------------------------------------------------------------------------------

static bool read_list(const reader *r, const cJSON *list, const char *file, const char *key)
{
    added_entry x;
    if (!list || cJSON_IsNull(list)) return true;
    if (!cJSON_IsArray(list)) return fail(r, file, key, list, "a list of tokens");
    for (const cJSON *it = list->child; it; it = it->next)
        if (!read_token(r, it, file, key, strcmp(file, MAP) == 0, &x) || !push(r, &r->a->extra, &x)) return false;
    return true;
}

// extra_special_tokens, or additional_special_tokens where there are none; special_tokens_map.json's come behind.
static bool read_extra(reader *r, const cJSON *tc, const cJSON *map)
{
    const char  *extra_key = "extra_special_tokens", *older = "additional_special_tokens";
    const cJSON *extra = cJSON_GetObjectItemCaseSensitive(tc, extra_key);
    const cJSON *additional = cJSON_GetObjectItemCaseSensitive(tc, older);
    const cJSON *map_extra = cJSON_GetObjectItemCaseSensitive(map, extra_key);
    const cJSON *map_additional = cJSON_GetObjectItemCaseSensitive(map, older);
    const char  *key = extra_key, *additional_file = map_additional ? MAP : CONFIG;
    if (additional && !(extra && extra->child)) {
        extra = additional;
        key = older;
        additional = NULL;
    }
    if (cJSON_IsObject(extra)) {
        if (!read_names_of(r, extra, CONFIG)) return false;
        extra = NULL;
    }
    if (cJSON_IsObject(map_extra)) {
        if (!read_names_of(r, map_extra, MAP)) return false;
        extra = map_extra = NULL;
    }
    if (map_additional) additional = map_additional;
    if (!extra && !map_extra) return read_list(r, additional, additional_file, older);
    return read_list(r, extra, CONFIG, key) && read_list(r, map_extra, MAP, extra_key);
}

// ---- all of them ----------------------------------------------------------------------------------------------------

// Keys of special_tokens_map.json go to the class whatever they are; these two make it write its own post_processor.
static bool read_frame(const reader *r, const cJSON *map)
{
    char where[1100];
    snprintf(where, sizeof where, "%s/" MAP, r->s->dir);
    r->a->frame_said = json_get(map, "add_bos_token") || json_get(map, "add_eos_token");
    return json_bool_or(map, "add_bos_token", false, &r->a->add_bos, where, r->e)
        && json_bool_or(map, "add_eos_token", false, &r->a->add_eos, where, r->e);
}

static int64_t count(const cJSON *v)
{
    int64_t n = 0;
    for (const cJSON *it = v ? v->child : NULL; it; it = it->next) n++;
    return n;
}

static bool read_all(reader *r, tokenizer_build build, const cJSON *tokenizer)
{
    const cJSON *tc = r->s->tokenizer_config, *decoder = json_get(tc, "added_tokens_decoder");
    const cJSON *map = decoder ? NULL : r->s->special_tokens_map;
    if (map && !cJSON_IsObject(map)) return fail(r, MAP, "the file", map, "an object");
    const int64_t in_config = count(tc) + count(json_get(tc, "extra_special_tokens"))
                            + count(json_get(tc, "additional_special_tokens"));
    const int64_t in_map = count(map) + count(json_get(map, "extra_special_tokens"));
    if (!strmap_init(&r->model_specific, in_config + in_map, r->e)) return false;
    if (!read_seven(r, build, map) || !read_other_names(r, tc, map)) return false;
    if (!read_extra(r, tc, map) || !read_frame(r, map)) return false;
    if (build == BUILD_FROM_FILE && !read_file_tokens(r, tokenizer, &r->a->file)) return false;
    if (decoder) return read_decoder(r, decoder) && sort_listed(r);
    return read_added_file(r) && read_file_tokens(r, tokenizer, &r->a->listed) && sort_listed(r);
}

bool added_lists_read(added_lists *a, tokenizer_build build, const tokenizer_source *s, const cJSON *tokenizer, err *e)
{
    memset(a, 0, sizeof *a);
    reader r = { .a = a, .s = s, .e = e };
    const bool ok = read_all(&r, build, tokenizer);
    strmap_free(&r.model_specific);
    return ok;
}

void added_lists_free(added_lists *a)
{
    free(a->file.e);
    free(a->listed.e);
    free(a->named.e);
    free(a->extra.e);
    memset(a, 0, sizeof *a);
}
