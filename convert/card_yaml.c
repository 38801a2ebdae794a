#include "card_yaml.h"

#include "../formats/file_map.h"
#include "../formats/text_file.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_BRACKETS = 256, MAX_ANCHORS = 1000, MAX_VALUES = 200000 };

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
        err_nomem(e, CARD_NAME, (size_t)n);
        return NULL;
    }
    text_unify_line_ends(text, (int64_t)strlen(text));
    char *from = between_fences(text, &ended);
    if (from && !ended)
        progress_logf(log, CARD_NAME ": its front matter has no end within %d bytes" CARD_NOTHING,
                      (int)CARD_MOST_BYTES);
    if (from && ended && !(out = without_tabs(from))) err_nomem(e, CARD_NAME, (size_t)n);
    if (out && n_bad)
        progress_logf(log, CARD_NAME ": bytes that are not UTF-8 (%lld) become U+FFFD in what is taken from the card",
                      (long long)n_bad);
    free(text);
    return out;
}

// ---- values ---------------------------------------------------------------------------------------------------------

static yaml_node_t *node(const card_yaml *c, int id)
{
    return yaml_document_get_node((yaml_document_t *)&c->doc, id);      // looks it up and changes nothing
}

const char *card_yaml_text(const yaml_node_t *v)
{
    static const char *const NULLS[] = { "", "~", "null", "Null", "NULL" };
    if (!v || v->type != YAML_SCALAR_NODE) return NULL;
    const char *s = (const char *)v->data.scalar.value;
    for (size_t i = 0; v->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && i < sizeof NULLS / sizeof NULLS[0]; i++)
        if (strcmp(s, NULLS[i]) == 0) return NULL;
    return s;
}

yaml_node_t *card_yaml_member(const card_yaml *c, const yaml_node_t *map, const char *name, bool *there)
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

int card_yaml_length(const card_yaml *c, const yaml_node_t *v, const char *name)
{
    if (!v || v->type != YAML_SEQUENCE_NODE) return 0;
    const long n = v->data.sequence.items.top - v->data.sequence.items.start;
    if (n > CARD_MOST_LIST)
        progress_logf(c->log, CARD_NAME ": %s has %ld elements; the first %d are taken", name, n, (int)CARD_MOST_LIST);
    return n > CARD_MOST_LIST ? CARD_MOST_LIST : (int)n;
}

yaml_node_t *card_yaml_element(const card_yaml *c, const yaml_node_t *v, int i)
{
    return node(c, v->data.sequence.items.start[i]);
}

// ---- the whole ------------------------------------------------------------------------------------------------------

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

// Is text within the bounds above? Where it is not, the log says so.
static bool is_readable(bool *readable, const char *text, progress *log, err *e)
{
    bool few = true;
    *readable = is_bounded(text);
    if (!*readable)
        progress_logf(log, CARD_NAME ": its front matter has more than %d brackets or %d anchors" CARD_NOTHING,
                      (int)MAX_BRACKETS, (int)MAX_ANCHORS);
    if (*readable && !has_few_values(&few, text, e)) return false;
    if (!few) progress_logf(log, CARD_NAME ": its front matter has more than %d values" CARD_NOTHING, (int)MAX_VALUES);
    *readable = *readable && few;
    return true;
}

static void take_root(card_yaml *c)
{
    c->root  = yaml_document_get_root_node(&c->doc);
    c->there = c->root && c->root->type == YAML_MAPPING_NODE;
    if (c->root && !c->there)
        progress_logf(c->log, CARD_NAME ": its front matter is no mapping of names to values" CARD_NOTHING);
    if (!c->there) yaml_document_delete(&c->doc);
}

static bool parse(card_yaml *c, const char *text, err *e)
{
    yaml_parser_t parser;
    bool ok = true, readable;
    if (!is_readable(&readable, text, c->log, e)) return false;
    if (!readable) return true;
    if (!parser_open(&parser, text, e)) return false;
    if (yaml_parser_load(&parser, &c->doc))
        take_root(c);
    else if (parser.error == YAML_MEMORY_ERROR)
        ok = err_nomem(e, CARD_NAME, strlen(text));
    else
        progress_logf(c->log, CARD_NAME ": line %zu: its front matter is not YAML: %s" CARD_NOTHING,
                      parser.problem_mark.line + 2,
                      parser.problem ? parser.problem : "a character that YAML does not have");
    yaml_parser_delete(&parser);
    return ok;
}

bool card_yaml_open(card_yaml *c, const char *readme, int64_t n, progress *log, err *e)
{
    *c = (card_yaml){ .log = log };
    err   failed = { 0 };
    char *text   = front_matter(readme, n, log, &failed);
    bool  ok     = failed.kind == ERR_NONE || err_set(e, failed.kind, "%s", failed.msg);
    if (ok && text) ok = parse(c, text, e);
    free(text);
    return ok;
}

bool card_yaml_of(card_yaml *c, const char *hf_dir, progress *log, err *e)
{
    *c = (card_yaml){ .log = log };
    char   *readme = NULL, *path = path_join(hf_dir, CARD_NAME);
    int64_t n  = 0;
    err     unread = { 0 };
    bool    ok = true;
    if (!path) return err_nomem(e, "a path", strlen(hf_dir));
    if (file_exists(path) && !file_read_head(&readme, &n, path, CARD_MOST_BYTES, &unread))
        progress_logf(log, "%s" CARD_NOTHING, unread.msg);
    if (readme) ok = card_yaml_open(c, readme, n, log, e);
    free(readme);
    free(path);
    return ok;
}

void card_yaml_close(card_yaml *c)
{
    if (c->there) yaml_document_delete(&c->doc);
    c->there = false;
}
