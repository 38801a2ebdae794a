// The digest of a fixture's prompts: see fixture.h.
#include "fixture.h"
#include <stdio.h>
#include <string.h>

static bool add_ids(sha256 *s, const fixture_case *c, err *e)
{
    for (int64_t i = 0; i < c->n_prompt; i++) {
        char id[16];
        const int n = snprintf(id, sizeof id, i > 0 ? ",%d" : "%d", c->prompt_ids[i]);
        if (!sha256_add(s, id, n, e)) return false;
    }
    return sha256_add(s, "\n", 1, e);
}

static bool add_case(sha256 *s, const fixture_case *c, err *e)
{
    char hex[SHA256_HEX + 1];
    return sha256_bytes(c->prompt, c->prompt_bytes, hex, e) && sha256_add(s, hex, SHA256_HEX, e)
        && sha256_add(s, "  ", 2, e) && add_ids(s, c, e);
}

bool fixture_prompts_digest(const fixture *f, char hex[SHA256_HEX + 1], err *e)
{
    if (f->n_held > 0) {                        // they are no longer all there in their order
        strcpy(hex, f->held_prompts);
        return true;
    }
    sha256 *s = sha256_new(e);
    bool ok = s != NULL;
    for (int64_t i = 0; ok && i < f->n_cases; i++) ok = add_case(s, &f->cases[i], e);
    return s && sha256_end_if(s, ok, hex, e);
}
