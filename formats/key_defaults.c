#include "key_defaults.h"
#include <stddef.h>
#include <string.h>

static const struct { const char *arch, *name; double value; } DEFAULTS[] = {     // arch NULL: every one
    { "gemma4", "final_logit_softcapping", 30 },
    { "gemma3", "final_logit_softcapping", 0 },
    { "gemma4", "attention.scale", 1 },                     // gemma3: from the head size, by a formula
    { "gemma3", "attention.sliding_window", 0 },
    { "gemma3", "attention.sliding_window_pattern", 6 },    // every sixth layer is a full-attention one
    { "llama", "attention.sliding_window", 0 },             // llama.cpp does not read it
    { "qwen2", "attention.sliding_window", 0 },
    { "qwen3", "attention.sliding_window", 0 },
    { "llama", "final_logit_softcapping", 0 },
    { "qwen2", "final_logit_softcapping", 0 },
    { "qwen3", "final_logit_softcapping", 0 },
    { NULL, "rope.freq_base", 10000 },
    { NULL, "rope.freq_base_swa", 10000 },
    { NULL, "rope.scaling.factor", 1 },
    { NULL, "attention.shared_kv_layers", 0 },
    { NULL, "expert_count", 0 },
};

bool key_default(const char *arch, const char *name, double *value)
{
    for (size_t i = 0; i < sizeof DEFAULTS / sizeof *DEFAULTS; i++) {
        if (strcmp(DEFAULTS[i].name, name) != 0 || (DEFAULTS[i].arch && strcmp(DEFAULTS[i].arch, arch) != 0)) continue;
        *value = DEFAULTS[i].value;
        return true;
    }
    return false;
}
