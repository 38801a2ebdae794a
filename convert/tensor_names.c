// tensor_names: see tensor_names.h.
#include "tensor_names.h"

#include "family.h"

#include <stdio.h>
#include <string.h>

static const char *skip_prefix(const char *s, const char *prefix)
{
    size_t n = strlen(prefix);
    return strncmp(s, prefix, n) == 0 ? s + n : NULL;
}

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), k = strlen(end);
    return n >= k && strcmp(s + n - k, end) == 0;
}

// Where the name hides depends on which class saved it and which version: "model.language_model." in multimodal
// checkpoints of Transformers 5, "language_model.model." of Transformers 4, "model." or nothing in text-only ones, and
// one "model." too many, before or behind, from savers that Transformers repairs when it loads. No tensor's own name
// begins with either word, so all of them go; the same tensor under two prefixes is an error.
const char *name_inner(const char *name)
{
    for (;;) {
        const char *rest = skip_prefix(name, "model.");
        if (!rest) rest = skip_prefix(name, "language_model.");
        if (!rest) return name;
        name = rest;
    }
}

// A plain decimal, at most nine digits; -1: it is none. *end: what follows.
static int64_t decimal(const char *s, const char **end)
{
    int64_t v = 0;
    int     n = 0;
    while (s[n] >= '0' && s[n] <= '9' && n < 9) v = v * 10 + (s[n++] - '0');
    *end = s + n;
    return n == 0 || (n > 1 && s[0] == '0') ? -1 : v;
}

name_place name_split(const hf_config *c, const char *inner)
{
    const char *mtp = c->arch->family->mtp ? skip_prefix(inner, "mtp.") : NULL, *end;
    const char *layers = skip_prefix(mtp ? mtp : inner, "layers.");
    name_place  p = { .block = mtp ? c->n_layer : -1, .mtp = mtp != NULL, .rest = mtp ? mtp : inner };
    if (!layers) return p;
    const int64_t n = decimal(layers, &end);
    if (n < 0 || *end != '.') return (name_place){ .block = -1 };
    return (name_place){ .block = mtp ? c->n_layer + n : n, .rest = end + 1 };
}

bool name_matches(const char *pattern, const char *rest, int64_t *expert)
{
    const char  *star = strchr(pattern, '*'), *end;
    const size_t before = star ? (size_t)(star - pattern) : 0;
    *expert = 0;
    if (!star) return strcmp(pattern, rest) == 0;
    if (strncmp(pattern, rest, before) != 0) return false;
    *expert = decimal(rest + before, &end);
    return *expert >= 0 && strcmp(end, star + 1) == 0;
}

void name_of_source(char *out, size_t size, const hf_config *c, const char *hf, bool mtp, int64_t block,
                    int64_t expert)
{
    const bool guesses = block >= c->n_layer;
    const int64_t layer = guesses ? block - c->n_layer : block;
    char rest[128];
    const char *star = strchr(hf, '*');
    if (star && expert >= 0)
        snprintf(rest, sizeof rest, "%.*s%lld%s", (int)(star - hf), hf, (long long)expert, star + 1);
    else
        snprintf(rest, sizeof rest, "%s", hf);
    if (block < 0)    snprintf(out, size, "%s", rest);
    else if (mtp)     snprintf(out, size, "mtp.%s", rest);
    else              snprintf(out, size, "%slayers.%lld.%s", guesses ? "mtp." : "", (long long)layer, rest);
}

// ---- what is left out on purpose -----------------------------------------------------------------------------------

typedef struct {
    const char *part;           // after the prefixes, or at the end of the name if it begins with a dot
    const char *why;
} left_out_row;

static const left_out_row left_out[] = {
    { "vision_tower.",          "the vision tower: only the text half is converted" },
    { "vision_embedder.",       "the vision embedder: only the text half is converted" },
    { "multi_modal_projector.", "the vision projector: only the text half is converted" },
    { "embed_vision.",          "the vision projector: only the text half is converted" },
    { "audio_tower.",           "the audio tower: only the text half is converted" },
    { "embed_audio.",           "the audio projector: only the text half is converted" },
    { "visual.",                "the vision tower: only the text half is converted" },
    { ".rotary_emb.inv_freq",   "computed again from the rotary base" },
    { "mtp.",                   "the block that guesses the token after the next: --no-mtp" },
};
enum { N_LEFT_OUT = sizeof left_out / sizeof left_out[0], LEFT_OUT_MTP = N_LEFT_OUT - 1 };
_Static_assert((int)N_LEFT_OUT <= (int)MAX_LEFT_OUT, "a tally has room for every row");

int left_out_find(const hf_config *c, const char *name, const char *inner)
{
    const bool mtp = c->arch->family->mtp && c->n_mtp == 0;
    for (int i = 0; i < N_LEFT_OUT; i++) {
        const char *part = left_out[i].part;
        if (i == LEFT_OUT_MTP && !mtp) continue;
        if (part[0] == '.' ? ends_with(name, part) : skip_prefix(inner, part) != NULL) return i;
    }
    return -1;
}

void left_out_log(const left_out_tally tally[MAX_LEFT_OUT], progress *log)
{
    for (int i = 0; i < N_LEFT_OUT; i++)
        if (tally[i].n)
            progress_logf(log, "left out: %lld tensors '%s', %.1f MB (%s)", (long long)tally[i].n, left_out[i].part,
                          (double)tally[i].n_bytes / 1e6, left_out[i].why);
}
