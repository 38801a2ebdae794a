// tokens: see tokens.h.
#include "tokens.h"

#include <stddef.h>
#include <string.h>

const char *const token_visible[] = {
    "<|channel>", "<channel|>", "<|tool_call>", "<tool_call|>", "<|tool_response>", "<tool_response|>", "<|\"|>", NULL,
};

bool token_is_visible(const char *text, int64_t n)
{
    for (const char *const *v = token_visible; *v; v++)
        if (n == (int64_t)strlen(*v) && memcmp(text, *v, (size_t)n) == 0) return true;
    return false;
}

static const char *const prefixes[] = {
    [SPACE_NONE] = "none", [SPACE_EACH] = "each", [SPACE_MISSING] = "missing", [SPACE_FIRST] = "first",
};

const char *space_prefix_name(space_prefix p) { return prefixes[p]; }

int space_prefix_find(const char *name, int64_t n)
{
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++)
        if (n == (int64_t)strlen(prefixes[i]) && memcmp(name, prefixes[i], (size_t)n) == 0) return (int)i;
    return -1;
}
