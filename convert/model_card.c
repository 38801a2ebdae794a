#include "model_card.h"

#include "card_yaml.h"
#include "model_id.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- values ---------------------------------------------------------------------------------------------------------

typedef struct {
    const card_yaml *yaml;
    gguf_plan       *plan;
    int64_t          n_params;
} card;

static const char *text_of(const yaml_node_t *v) { return card_yaml_text(v); }

static yaml_node_t *member(const card *c, const yaml_node_t *map, const char *name, bool *there)
{
    return card_yaml_member(c->yaml, map, name, there);
}

// As gguf-py: an empty text is no key.
static bool plan_text(card *c, const char *key, const char *text, err *e)
{
    return !text || !*text || gguf_plan_str(c->plan, key, text, e);
}

// ---- license --------------------------------------------------------------------------------------------------------

static int list_length(const card *c, const yaml_node_t *v, const char *name)
{
    return card_yaml_length(c->yaml, v, name);
}

static yaml_node_t *element(const card *c, const yaml_node_t *v, int i) { return card_yaml_element(c->yaml, v, i); }

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
        const yaml_node_t *v = member(c, c->yaml->root, ROWS[i].yaml, NULL);
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
    gguf_str all[2 * CARD_MOST_LIST];
    int      n = 0;
    for (int k = 0; k < 2; k++) {
        const char        *name = k ? second : first;
        const yaml_node_t *v = member(c, c->yaml->root, name, NULL);
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
    for (; k < 3 && !there; k++) v = member(c, c->yaml->root, names[k], &there);
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

bool model_card_gives(const char *key)
{
    static const char *const GROUPS[] = { "general.license", "general.base_model.", "general.dataset.", "general.tags",
                                          "general.languages" };
    for (size_t i = 0; i < sizeof GROUPS / sizeof *GROUPS; i++)
        if (strncmp(key, GROUPS[i], strlen(GROUPS[i])) == 0) return true;
    return false;
}

// ---- the whole ------------------------------------------------------------------------------------------------------

static bool plan_all(card *c, err *e)
{
    static const char *const BASES[3] = { "base_model", "base_models", "base_model_sources" };
    static const char *const DATA[3]  = { "datasets", "dataset", "dataset_sources" };
    return plan_license(c, e) && plan_references(c, "base_model", BASES, e) && plan_references(c, "dataset", DATA, e) &&
           plan_texts(c, "general.tags", "tags", "pipeline_tag", e) &&
           plan_texts(c, "general.languages", "languages", "language", e);
}

static bool plan_card(gguf_plan *p, card_yaml *yaml, bool ok, int64_t n_params, err *e)
{
    card c = { .yaml = yaml, .plan = p, .n_params = n_params };
    ok = ok && (!yaml->there || plan_all(&c, e));
    card_yaml_close(yaml);
    return ok;
}

bool model_card_plan_text(gguf_plan *p, const char *readme, int64_t n, int64_t n_params, progress *log, err *e)
{
    card_yaml yaml;
    const bool ok = card_yaml_open(&yaml, readme, n, log, e);
    return plan_card(p, &yaml, ok, n_params, e);
}

bool model_card_plan(gguf_plan *p, const char *hf_dir, int64_t n_params, progress *log, err *e)
{
    card_yaml yaml;
    const bool ok = card_yaml_of(&yaml, hf_dir, log, e);
    return plan_card(p, &yaml, ok, n_params, e);
}
