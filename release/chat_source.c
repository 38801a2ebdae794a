#include "chat_source.h"
#include "../convert/chat_template.h"
#include "../formats/file_map.h"
#include "../formats/json.h"
#include <stdlib.h>
#include <string.h>

#define KEY_CHAT  "tokenizer.chat_template"
#define KEY_NAMES KEY_CHAT "s"

bool chat_of_artifact(record_template *t, const gguf *g, err *e)
{
    gguf_str s;
    t->there = gguf_find_kv(g, KEY_CHAT) != NULL;
    if (!t->there) return true;
    if (!gguf_get_str(g, KEY_CHAT, &s, e)) return false;
    t->bytes = s.n;
    return sha256_bytes(s.s, s.n, t->sha256, e);
}

// ---- the source's --------------------------------------------------------------------------------------------------

// The keys that a conversion of hf_dir would write, and no others. NULL on failure.
static gguf_plan *templates_of(const char *hf_dir, err *e)
{
    char      *path = path_join(hf_dir, "tokenizer_config.json");
    cJSON     *config = NULL;
    gguf_plan *p = path ? gguf_plan_new(32, e) : NULL;
    bool ok = path ? p != NULL : err_nomem(e, "a path", strlen(hf_dir));
    if (ok && file_exists(path)) ok = (config = json_parse_file(path, e)) != NULL;
    ok = ok && chat_template_plan(p, hf_dir, config, NULL, e);
    cJSON_Delete(config);
    free(path);
    if (ok) return p;
    gguf_plan_free(p);
    return NULL;
}

// How many keys the plan has: a template of its own, and names with as many others.
static int64_t count_planned(const gguf_plan *p)
{
    const gguf_kv *names = gguf_plan_find(p, KEY_NAMES);
    return (gguf_plan_find(p, KEY_CHAT) != NULL) + (names ? 1 + names->n : 0);
}

static bool same_templates(const gguf *g, const gguf_plan *p)
{
    int64_t n = 0;
    for (int64_t i = 0; i < gguf_n_kv(g); i++) {
        const gguf_kv *kv = gguf_kv_at(g, i);
        if (strncmp(kv->key, KEY_CHAT, sizeof KEY_CHAT - 1) != 0) continue;
        const gguf_kv *planned = gguf_plan_find(p, kv->key);
        if (!planned || !gguf_kv_same(kv, planned)) return false;
        n++;
    }
    return n == count_planned(p);
}

bool chat_compare(record_template *t, bool *differs, const char *dir, const char *const *artifacts, int n,
                  const char *hf_dir, err *e)
{
    gguf_plan *p = templates_of(hf_dir, e);
    bool ok = p != NULL;
    *t = (record_template){ .same_as_source = true };
    for (int i = 0; ok && i < n; i++) {
        gguf *g = gguf_open_in(dir, artifacts[i], e);
        ok = g && (i > 0 || chat_of_artifact(t, g, e));
        differs[i] = ok && !same_templates(g, p);
        t->same_as_source &= !differs[i];
        gguf_close(g);
    }
    gguf_plan_free(p);
    return ok;
}
