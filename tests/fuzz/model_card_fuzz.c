// Any bytes as a model card: no failure but for memory, and every text that comes of it is UTF-8.
#include "convert/model_card.h"
#include "formats/text_file.h"
#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void check_text(const gguf_plan *p, const char *key)
{
    const gguf_kv *kv = gguf_plan_find(p, key);
    gguf_str       s;
    if (!kv) return;
    MUST(gguf_kv_str(kv, &s) && s.n > 0);
    MUST(utf8_valid_bytes(s.s, s.n) == s.n);
}

static void check_list(const gguf_plan *p, const char *key)
{
    gguf_str_iter it = gguf_strs(gguf_plan_find(p, key));
    gguf_str      s;
    while (gguf_next_str(&it, &s)) MUST(utf8_valid_bytes(s.s, s.n) == s.n);
}

int fuzz_one(const uint8_t *data, size_t size)
{
    static const char *const TEXTS[] = { "general.license", "general.license.name", "general.license.link" };
    static const char *const FIELDS[] = { "name", "organization", "version", "repo_url", "description" };
    char       key[80];
    err        e    = { 0 };
    gguf_plan *p    = gguf_plan_new(32, &e);
    char      *card = malloc(size + 1);
    MUST(p && card);
    if (size > 0) memcpy(card, data, size);
    card[size] = '\0';
    MUST(model_card_plan_text(p, card, (int64_t)size, 1000, NULL, &e));
    for (size_t i = 0; i < sizeof TEXTS / sizeof TEXTS[0]; i++) check_text(p, TEXTS[i]);
    for (size_t i = 0; i < sizeof FIELDS / sizeof FIELDS[0]; i++) {
        snprintf(key, sizeof key, "general.base_model.0.%s", FIELDS[i]);
        check_text(p, key);
    }
    check_list(p, "general.tags");
    check_list(p, "general.languages");
    free(card);
    gguf_plan_free(p);
    return 0;
}
