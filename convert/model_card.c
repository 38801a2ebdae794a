#include "model_card.h"

#include "../formats/file_map.h"
#include "../formats/text_file.h"
#include "model_id.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#define CARD    "README.md"
#define NOTHING "; nothing is taken from the card"
enum { MAX_CARD_BYTES = 1 << 20, MAX_LIST = 1000, MAX_BRACKETS = 256, MAX_ANCHORS = 1000, MAX_VALUES = 200000 };

// ---- the front matter -----------------------------------------------------------------------------------------------

// One line of text with its end; the length without that and without spaces behind.
static size_t line_of(const char *s, size_t *next)
{
    size_t n = strcspn(s, "\n");
    *next = n + (s[n] == '\n');
    while (n > 0 && (s[n - 1] == ' ' || s[n - 1] == '\t')) n--;
    return n;
}

static bool is_fence(const char *s, size_t n) { return n == 3 && memcmp(s, "---", 3) == 0; }

// What stands between the two fences, in place; NULL where there is no such thing. *ended: the second fence was found.
static char *between_fences(char *s, bool *ended)
{
    size_t next;
    if (strncmp(s, "\xef\xbb\xbf", 3) == 0) s += 3;
    *ended = false;
    if (!is_fence(s, line_of(s, &next))) return NULL;
    char *from = s + next;
    for (char *at = from; *at; at += next) {
        size_t n = line_of(at, &next);
        if (!is_fence(at, n)) continue;
        *at = '\0';
        *ended = true;
        break;
    }
    return from;
}

// gguf-py reads a tab as two spaces: YAML has no tabs, cards do. malloc'd.
static char *without_tabs(const char *s)
{
    char *out = malloc(strlen(s) * 2 + 1), *w = out;
    for (; out && *s; s++) {
        if (*s == '\t') { *w++ = ' '; *w++ = ' '; }
        else *w++ = *s;
    }
    if (out) *w = '\0';
    return out;
}

// The front matter as text for a YAML parser, malloc'd; NULL where there is none (the log says why, if somebody may
// miss it) or without memory.
static char *front_matter(const char *card, int64_t n, progress *log, err *e)
{
    int64_t n_bad;
    bool    ended;
    char   *out  = NULL;
    char   *text = utf8_mended(card, (int64_t)strnlen(card, (size_t)n), &n_bad);
    if (!text) {
        err_nomem(e, CARD, (size_t)n);
        return NULL;
    }
    text_unify_line_ends(text, (int64_t)strlen(text));
    char *from = between_fences(text, &ended);
    if (from && !ended)
        progress_logf(log, CARD ": its front matter has no end within %d bytes" NOTHING, (int)MAX_CARD_BYTES);
    if (from && ended && !(out = without_tabs(from))) err_nomem(e, CARD, (size_t)n);
    if (out && n_bad)
        progress_logf(log, CARD ": bytes that are not UTF-8 (%lld) become U+FFFD in what is taken from the card",
                      (long long)n_bad);
    free(text);
    return out;
}

// ---- values ---------------------------------------------------------------------------------------------------------

typedef struct {
    yaml_document_t *doc;
    yaml_node_t     *root;
    gguf_plan       *plan;
    progress        *log;
    int64_t          n_params;
} card;

static yaml_node_t *node(const card *c, int id) { return yaml_document_get_node(c->doc, id); }

// A scalar as it is written; NULL for another node, and for YAML's null. Borrowed.
static const char *text_of(const yaml_node_t *v)
{
    static const char *const NULLS[] = { "", "~", "null", "Null", "NULL" };
    if (!v || v->type != YAML_SCALAR_NODE) return NULL;
    const char *s = (const char *)v->data.scalar.value;
    for (size_t i = 0; v->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && i < sizeof NULLS / sizeof NULLS[0]; i++)
        if (strcmp(s, NULLS[i]) == 0) return NULL;
    return s;
}

// A member of a mapping, the last one of that name; NULL if absent. *there: it is, even if its value is null.
static yaml_node_t *member(const card *c, const yaml_node_t *map, const char *name, bool *there)
{
    yaml_node_t *found = NULL;
    if (there) *there = false;
    if (!map || map->type != YAML_MAPPING_NODE) return NULL;
    for (const yaml_node_pair_t *p = map->data.mapping.pairs.start; p < map->data.mapping.pairs.top; p++) {
        const yaml_node_t *key = node(c, p->key);
        if (!key || key->type != YAML_SCALAR_NODE || strcmp((const char *)key->data.scalar.value, name) != 0) continue;
        found = node(c, p->value);
        if (there) *there = true;
    }
    return found;
}

// As gguf-py: an empty text is no key.
static bool plan_text(card *c, const char *key, const char *text, err *e)
{
    return !text || !*text || gguf_plan_str(c->plan, key, text, e);
}

// ---- license --------------------------------------------------------------------------------------------------------

static int list_length(const card *c, const yaml_node_t *v, const char *name)
{
    if (!v || v->type != YAML_SEQUENCE_NODE) return 0;
    const long n = v->data.sequence.items.top - v->data.sequence.items.start;
    if (n > MAX_LIST)
        progress_logf(c->log, CARD ": %s has %ld elements; the first %d are taken", name, n, (int)MAX_LIST);
    return n > MAX_LIST ? MAX_LIST : (int)n;
}

static yaml_node_t *element(const card *c, const yaml_node_t *v, int i)
{
    return node(c, v->data.sequence.items.start[i]);
}

static bool plan_joined(card *c, const char *key, const yaml_node_t *list, const char *name, err *e)
{
    const int n = list_length(c, list, name);
    size_t    room = 1;
    for (int i = 0; i < n; i++) room += text_of(element(c, list, i)) ? strlen(text_of(element(c, list, i))) + 1 : 0;
    char *all = malloc(room), *w = all;
    if (!all) return err_nomem(e, key, room);
    for (int i = 0; i < n; i++) {
        const char *s = text_of(element(c, list, i));
        if (s) w += sprintf(w, "%s%s", w > all ? "," : "", s);
    }
    *w = '\0';
    const bool ok = plan_text(c, key, all, e);
    free(all);
    return ok;
}

static bool plan_license(card *c, err *e)
{
    static const struct { const char *yaml, *key; } ROWS[] = {
        { "license", "general.license" }, { "license_name", "general.license.name" },
        { "license_link", "general.license.link" },
    };
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) {
        const yaml_node_t *v = member(c, c->root, ROWS[i].yaml, NULL);
        const bool list = v && v->type == YAML_SEQUENCE_NODE;
        const bool ok   = list ? plan_joined(c, ROWS[i].key, v, ROWS[i].yaml, e)
                               : plan_text(c, ROWS[i].key, text_of(v), e);
        if (!ok) return false;
    }
    return true;
}

// ---- lists of texts -------------------------------------------------------------------------------------------------

// The texts under either name, those of the first one first: a text counts as a list of one.
static bool plan_texts(card *c, const char *key, const char *first, const char *second, err *e)
{
    gguf_str all[2 * MAX_LIST];
    int      n = 0;
    for (int k = 0; k < 2; k++) {
        const char        *name = k ? second : first;
        const yaml_node_t *v = member(c, c->root, name, NULL);
        const char        *one = text_of(v);
        if (one) all[n++] = (gguf_str){ one, (int64_t)strlen(one) };
        for (int i = 0, len = list_length(c, v, name); i < len; i++) {
            const char *s = text_of(element(c, v, i));
            if (s) all[n++] = (gguf_str){ s, (int64_t)strlen(s) };
        }
    }
    return n == 0 || gguf_plan_arr_str(c->plan, key, all, n, e);
}

// ---- other models and data sets -------------------------------------------------------------------------------------

static bool plan_field(card *c, const char *kind, int i, const char *field, const char *text, err *e)
{
    char key[120];
    snprintf(key, sizeof key, "general.%s.%d.%s", kind, i, field);
    return plan_text(c, key, text, e);
}

static bool plan_title(card *c, const char *kind, int i, const char *field, const char *text, err *e)
{
    if (!text) return true;
    char *title = model_id_title(text);
    if (!title) return err_nomem(e, "a title", strlen(text));
    const bool ok = plan_field(c, kind, i, field, title, e);
    free(title);
    return ok;
}

static bool begins(const char *s, const char *with) { return strncmp(s, with, strlen(with)) == 0; }

// The id in "https://huggingface.co/org/name", NULL in other addresses.
static const char *id_in_address(const char *url)
{
    const char *at = begins(url, "https://") ? url + 8 : begins(url, "http://") ? url + 7 : "";
    if (!begins(at, "huggingface.co/")) return NULL;
    const char *id = at + strlen("huggingface.co/"), *slash = strchr(id, '/');
    return slash && slash != id && slash[1] && !strchr(slash + 1, '/') ? id : NULL;
}

static bool plan_reference(card *c, const char *kind, int i, const char *text, err *e)
{
    const bool  url = begins(text, "http://") || begins(text, "https://") || begins(text, "ssh://");
    const char *id = url ? id_in_address(text) : text;
    model_id    m = { 0 };
    char       *address = NULL;
    if (id && !model_id_split(&m, id, c->n_params, e)) return false;
    bool ok = !id || (plan_title(c, kind, i, "name", m.name, e) && plan_field(c, kind, i, "version", m.version, e) &&
                      plan_title(c, kind, i, "organization", m.organization, e));
    if (ok && url) ok = plan_field(c, kind, i, "repo_url", text, e);
    if (ok && !url && m.organization) {
        const size_t room = strlen(m.organization) + strlen(m.name) + 32;
        address = malloc(room);
        if (address) snprintf(address, room, "https://huggingface.co/%s/%s", m.organization, m.name);
        ok = address ? plan_field(c, kind, i, "repo_url", address, e) : err_nomem(e, "an address", room);
    }
    free(address);
    model_id_free(&m);
    return ok;
}

static bool plan_described(card *c, const char *kind, int i, const yaml_node_t *map, err *e)
{
    static const char *const FIELDS[] = {
        "name", "author", "version", "organization", "description", "url", "doi", "uuid", "repo_url",
    };
    for (size_t k = 0; k < sizeof FIELDS / sizeof FIELDS[0]; k++)
        if (!plan_field(c, kind, i, FIELDS[k], text_of(member(c, map, FIELDS[k], NULL)), e)) return false;
    return true;
}

// Under the first of these names that the card has: one text, or a list of texts and mappings.
static bool plan_references(card *c, const char *kind, const char *const names[3], err *e)
{
    char key[80];
    bool there = false;
    const yaml_node_t *v = NULL;
    int k = 0;
    for (; k < 3 && !there; k++) v = member(c, c->root, names[k], &there);
    if (!there) return true;
    const char *one = text_of(v);
    const int   n   = one ? 1 : list_length(c, v, names[k - 1]);
    snprintf(key, sizeof key, "general.%s.count", kind);
    if (!gguf_plan_u32(c->plan, key, (uint32_t)n, e)) return false;
    for (int i = 0; i < n; i++) {
        const yaml_node_t *it = one ? v : element(c, v, i);
        const char        *s = text_of(it);
        if (!(s ? plan_reference(c, kind, i, s, e) : plan_described(c, kind, i, it, e))) return false;
    }
    return true;
}

// ---- the whole ------------------------------------------------------------------------------------------------------

static bool plan_all(card *c, err *e)
{
    static const char *const BASES[3] = { "base_model", "base_models", "base_model_sources" };
    static const char *const DATA[3]  = { "datasets", "dataset", "dataset_sources" };
    c->root = yaml_document_get_root_node(c->doc);
    if (!c->root) return true;
    if (c->root->type != YAML_MAPPING_NODE) {
        progress_logf(c->log, CARD ": its front matter is no mapping of names to values" NOTHING);
        return true;
    }
    return plan_license(c, e) && plan_references(c, "base_model", BASES, e) && plan_references(c, "dataset", DATA, e) &&
           plan_texts(c, "general.tags", "tags", "pipeline_tag", e) &&
           plan_texts(c, "general.languages", "languages", "language", e);
}

// libyaml looks at every open bracket for each token, and at every anchor for each anchor: both are few in a card that
// means well. (Which bracket closes another, only a parser knows: "]" may stand in quotes. So they are counted, not
// paired.)
static bool is_bounded(const char *text)
{
    int open = 0, anchors = 0;
    for (const char *s = text; *s; s++) {
        if (*s == '[' || *s == '{') open++;
        if (*s == '&' && (s == text || strchr(" \n[{,", s[-1]))) anchors++;
        if (open > MAX_BRACKETS || anchors > MAX_ANCHORS) return false;
    }
    return true;
}

static bool parser_open(yaml_parser_t *parser, const char *text, err *e)
{
    if (!yaml_parser_initialize(parser)) return err_nomem(e, "a YAML parser", sizeof *parser);
    yaml_parser_set_input_string(parser, (const unsigned char *)text, strlen(text));
    yaml_parser_set_encoding(parser, YAML_UTF8_ENCODING);
    return true;
}

// A value costs two bytes of text ("- ", "? ") and some 260 of a document, so they are counted before one is built:
// events need no memory that grows with them. A card of 1 MiB that means well has half of MAX_VALUES. *few says whether
// text keeps to it; text that is no YAML does, up to where it is none.
static bool has_few_values(bool *few, const char *text, err *e)
{
    yaml_parser_t parser;
    yaml_event_t  event;
    int  n    = 0;
    bool more = true;
    if (!parser_open(&parser, text, e)) return false;
    while (more && n <= MAX_VALUES && yaml_parser_parse(&parser, &event)) {
        n += event.type == YAML_SCALAR_EVENT || event.type == YAML_ALIAS_EVENT ||
             event.type == YAML_SEQUENCE_START_EVENT || event.type == YAML_MAPPING_START_EVENT;
        more = event.type != YAML_DOCUMENT_END_EVENT && event.type != YAML_STREAM_END_EVENT;
        yaml_event_delete(&event);
    }
    *few = n <= MAX_VALUES;
    yaml_parser_delete(&parser);
    return true;
}

static bool plan_yaml(gguf_plan *p, const char *text, int64_t n_params, progress *log, err *e)
{
    yaml_parser_t   parser;
    yaml_document_t doc;
    bool ok = true, few;
    if (!is_bounded(text)) {
        progress_logf(log, CARD ": its front matter has more than %d brackets or %d anchors" NOTHING, (int)MAX_BRACKETS,
                      (int)MAX_ANCHORS);
        return true;
    }
    if (!has_few_values(&few, text, e)) return false;
    if (!few) {
        progress_logf(log, CARD ": its front matter has more than %d values" NOTHING, (int)MAX_VALUES);
        return true;
    }
    if (!parser_open(&parser, text, e)) return false;
    if (yaml_parser_load(&parser, &doc)) {
        card c = { .doc = &doc, .plan = p, .log = log, .n_params = n_params };
        ok = plan_all(&c, e);
        yaml_document_delete(&doc);
    } else if (parser.error == YAML_MEMORY_ERROR) {
        ok = err_nomem(e, CARD, strlen(text));
    } else {
        progress_logf(log, CARD ": line %zu: its front matter is not YAML: %s" NOTHING, parser.problem_mark.line + 2,
                      parser.problem ? parser.problem : "a character that YAML does not have");
    }
    yaml_parser_delete(&parser);
    return ok;
}

bool model_card_plan_text(gguf_plan *p, const char *readme, int64_t n, int64_t n_params, progress *log, err *e)
{
    err   failed = { 0 };
    char *text   = front_matter(readme, n, log, &failed);
    bool  ok     = failed.kind == ERR_NONE || err_set(e, failed.kind, "%s", failed.msg);
    if (ok && text) ok = plan_yaml(p, text, n_params, log, e);
    free(text);
    return ok;
}

bool model_card_plan(gguf_plan *p, const char *hf_dir, int64_t n_params, progress *log, err *e)
{
    char   *readme = NULL, *path = path_join(hf_dir, CARD);
    int64_t n  = 0;
    err     unread = { 0 };
    bool    ok = true;
    if (!path) return err_nomem(e, "a path", strlen(hf_dir));
    if (file_exists(path) && !file_read_head(&readme, &n, path, MAX_CARD_BYTES, &unread))
        progress_logf(log, "%s" NOTHING, unread.msg);
    if (readme) ok = model_card_plan_text(p, readme, n, n_params, log, e);
    free(readme);
    free(path);
    return ok;
}
