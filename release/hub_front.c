#include "hub_front.h"
#include "../convert/card_yaml.h"
#include "../formats/hub_cache.h"
#include "../formats/utf8.h"
#include <stdlib.h>
#include <string.h>
#include <strings.h>

// ---- reading -------------------------------------------------------------------------------------------------------

// What a release's card says of every model; and of one whose own card says nothing of what it is for.
static const char *const LIBRARY = "gguf", *const PIPELINE = "text-generation";

typedef struct { const card_yaml *yaml; err *e; } reader;

static bool take(char **to, const reader *r, const char *name, const char *text)
{
    if (!text || !*text) return true;
    if (strlen(text) > HUB_MOST_TEXT) {
        progress_logf(r->yaml->log, CARD_NAME ": %s: a text of %zu bytes is left out of the model card", name,
                      strlen(text));
        return true;
    }
    free(*to);
    *to = strdup(text);
    return *to || err_nomem(r->e, "a text of the model card", strlen(text));
}

static bool take_member(char **to, const reader *r, const char *name)
{
    return take(to, r, name, card_yaml_text(card_yaml_member(r->yaml, r->yaml->root, name, NULL)));
}

static bool has(const hub_texts *l, const char *text)
{
    for (int i = 0; i < l->n; i++)
        if (strcmp(l->v[i], text) == 0) return true;
    return false;
}

// A text once.
static bool add(hub_texts *l, const reader *r, const char *name, const char *text)
{
    if (!text || has(l, text) || l->n == HUB_MOST_TEXTS) return true;
    char *copy = NULL, **grown = realloc(l->v, ((size_t)l->n + 1) * sizeof *grown);
    if (!grown) return err_nomem(r->e, "the model card", 0);
    l->v = grown;
    if (!take(&copy, r, name, text)) return false;
    if (copy) l->v[l->n++] = copy;
    return true;
}

static bool take_texts(hub_texts *l, const reader *r, const char *name)
{
    const yaml_node_t *v = card_yaml_member(r->yaml, r->yaml->root, name, NULL);
    const int n = card_yaml_length(r->yaml, v, name);
    l->list |= v && v->type == YAML_SEQUENCE_NODE;
    if (!add(l, r, name, card_yaml_text(v))) return false;
    for (int i = 0; i < n; i++)
        if (!add(l, r, name, card_yaml_text(card_yaml_element(r->yaml, v, i)))) return false;
    if (n > HUB_MOST_TEXTS)
        progress_logf(r->yaml->log, CARD_NAME ": %s: the first %d of %d go into the model card", name,
                      (int)HUB_MOST_TEXTS, n);
    return true;
}

static bool take_card(hub_front *f, const reader *r)
{
    return take_texts(&f->license, r, "license") && take_member(&f->license_name, r, "license_name")
        && take_member(&f->license_link, r, "license_link") && take_member(&f->pipeline_tag, r, "pipeline_tag")
        && take_texts(&f->language, r, "language") && take_texts(&f->language, r, "languages")
        && take_texts(&f->tags, r, "tags");
}

bool hub_front_of_source(hub_front *f, const char *hf_dir, progress *log, err *e)
{
    card_yaml yaml;
    *f = (hub_front){ 0 };
    bool ok = card_yaml_of(&yaml, hf_dir, log, e);
    ok = ok && (!yaml.there || take_card(f, &(reader){ &yaml, e }));
    card_yaml_close(&yaml);
    return ok;
}

bool hub_front_of_card(hub_front *f, const char *card, int64_t n, err *e)
{
    card_yaml yaml;
    *f = (hub_front){ 0 };
    bool ok = card_yaml_open(&yaml, card, n < CARD_MOST_BYTES ? n : CARD_MOST_BYTES, NULL, e);
    const reader r = { &yaml, e };
    ok = ok && (!yaml.there || (take_card(f, &r) && take_member(&f->base_model, &r, "base_model")
                                && take_member(&f->quantized_by, &r, "quantized_by")));
    card_yaml_close(&yaml);
    return ok;
}

static void texts_free(hub_texts *l)
{
    for (int i = 0; i < l->n; i++) free(l->v[i]);
    free(l->v);
}

void hub_front_free(hub_front *f)
{
    char *const texts[] = { f->base_model, f->license_name, f->license_link, f->pipeline_tag, f->quantized_by };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) free(texts[i]);
    texts_free(&f->license);
    texts_free(&f->language);
    texts_free(&f->tags);
    *f = (hub_front){ 0 };
}

// ---- who and of what -----------------------------------------------------------------------------------------------

bool hub_front_base_of(char **id, const char *hf_dir, err *e)
{
    char *real = realpath(hf_dir, NULL);
    if (!real) return err_errno(e, true, hf_dir, "open");
    *id = hub_id_of(real);
    free(real);
    return true;
}

bool hub_front_check_base(const char *id, err *e)
{
    return hub_is_id(id)
        || err_set(e, ERR_USAGE,
                   "option --base-model: found '%.200s', expected a model of the Hub: google/gemma-3-270m", id);
}

bool hub_front_check_name(const char *name, err *e)
{
    const size_t n = strlen(name);
    return (n > 0 && n <= HUB_MOST_TEXT && text_is_plain(name, n))
        || err_set(e, ERR_USAGE, "option --quantized-by: found '%.200s', expected a name of 1 to %d bytes on one line",
                   name, (int)HUB_MOST_TEXT);
}

// ---- writing -------------------------------------------------------------------------------------------------------

static bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

// A word that YAML 1.1 and 1.2 read as a text: what begins with a letter is a number, a date or a sign in none of both,
// but some words are truth values, or nothing.
static bool is_word(const char *s)
{
    static const char *const OTHERS[] = { "y", "n", "yes", "no", "on", "off", "true", "false", "null" };
    if (!is_letter(s[0])) return false;
    for (const char *c = s; *c; c++)
        if (!is_letter(*c) && !(*c >= '0' && *c <= '9') && !strchr("-_./", *c)) return false;
    for (size_t i = 0; i < sizeof OTHERS / sizeof OTHERS[0]; i++)
        if (strcasecmp(s, OTHERS[i]) == 0) return false;
    return true;
}

static void put_escaped(text_buf *t, const char *s, int n)
{
    const uint32_t c = utf8_number((const uint8_t *)s, n);
    if (c == '"' || c == '\\') text_printf(t, "\\%c", (char)c);
    else if (c == '\n')        text_words(t, "\\n");
    else if (c == '\t')        text_words(t, "\\t");
    else if (text_is_plain(s, (size_t)n)) text_raw(t, s, (size_t)n);
    else if (c < 0x100)        text_printf(t, "\\x%02X", (unsigned)c);
    else if (c < 0x10000)      text_printf(t, "\\u%04X", (unsigned)c);
    else                       text_printf(t, "\\U%08X", (unsigned)c);
}

void hub_front_put_text(text_buf *t, const char *s)
{
    if (is_word(s)) { text_words(t, s); return; }
    text_words(t, "\"");
    for (const char *end = s + strlen(s); s < end;) {
        const int n = utf8_len((const uint8_t *)s, end - s);
        if (n > 0) put_escaped(t, s, n);
        else       text_words(t, "\xef\xbf\xbd");
        s += n > 0 ? n : 1;
    }
    text_words(t, "\"");
}

static void put_member(text_buf *t, const char *name, const char *text)
{
    if (!text) return;
    text_printf(t, "%s: ", name);
    hub_front_put_text(t, text);
    text_words(t, "\n");
}

static void put_items(text_buf *t, const hub_texts *l)
{
    for (int i = 0; i < l->n; i++) {
        text_words(t, "- ");
        hub_front_put_text(t, l->v[i]);
        text_words(t, "\n");
    }
}

static void put_texts(text_buf *t, const char *name, const hub_texts *l)
{
    if (l->n == 0) return;
    if (!l->list) { put_member(t, name, l->v[0]); return; }
    text_printf(t, "%s:\n", name);
    put_items(t, l);
}

void hub_front_put(text_buf *t, const hub_front *f)
{
    text_words(t, "---\n");
    put_texts(t, "license", &f->license);
    put_member(t, "license_name", f->license_name);
    put_member(t, "license_link", f->license_link);
    put_member(t, "base_model", f->base_model);
    put_member(t, "base_model_relation", f->base_model ? "quantized" : NULL);
    put_member(t, "library_name", LIBRARY);
    put_member(t, "pipeline_tag", f->pipeline_tag ? f->pipeline_tag : PIPELINE);
    put_member(t, "quantized_by", f->quantized_by);
    put_texts(t, "language", &f->language);
    text_words(t, "tags:\n");
    put_items(t, &f->tags);
    if (!has(&f->tags, LIBRARY)) text_printf(t, "- %s\n", LIBRARY);
    text_words(t, "---\n");
}
