// file_type: see file_type.h.
#include "file_type.h"

#include <string.h>
#include <strings.h>

static const file_type_info file_types[] = {
    { FT_F32,    "f32",    "F32",    DT_F32  }, { FT_BF16,   "bf16",   "BF16",   DT_BF16 },
    { FT_F16,    "f16",    "F16",    DT_F16  }, { FT_Q8_0,   "q8_0",   "Q8_0",   DT_Q8_0 },
    { FT_Q4_0,   "q4_0",   "Q4_0",   DT_Q4_0 }, { FT_Q4_1,   "q4_1",   "Q4_1",   DT_Q4_1 },
    { FT_Q5_0,   "q5_0",   "Q5_0",   DT_Q5_0 }, { FT_Q5_1,   "q5_1",   "Q5_1",   DT_Q5_1 },
    { FT_Q2_K,   "q2_k",   "Q2_K",   DT_Q2_K }, { FT_Q3_K_S, "q3_k_s", "Q3_K_S", DT_Q3_K },
    { FT_Q3_K_M, "q3_k_m", "Q3_K_M", DT_Q3_K }, { FT_Q3_K_L, "q3_k_l", "Q3_K_L", DT_Q3_K },
    { FT_Q4_K_S, "q4_k_s", "Q4_K_S", DT_Q4_K }, { FT_Q4_K_M, "q4_k_m", "Q4_K_M", DT_Q4_K },
    { FT_Q5_K_S, "q5_k_s", "Q5_K_S", DT_Q5_K }, { FT_Q5_K_M, "q5_k_m", "Q5_K_M", DT_Q5_K },
    { FT_Q6_K,   "q6_k",   "Q6_K",   DT_Q6_K },
};

const file_type_info *file_type_table(int *n)
{
    *n = (int)(sizeof file_types / sizeof file_types[0]);
    return file_types;
}

const file_type_info *file_type_find(const char *name)
{
    for (size_t i = 0; i < sizeof file_types / sizeof file_types[0]; i++)
        if (strcasecmp(name, file_types[i].name) == 0) return &file_types[i];
    return NULL;
}

const file_type_info *file_type_of(int64_t id)
{
    for (size_t i = 0; i < sizeof file_types / sizeof file_types[0]; i++)
        if (file_types[i].id == id) return &file_types[i];
    return NULL;
}

bool file_type_label(const gguf *g, const char **label, err *e)
{
    int64_t id;
    *label = "?";
    if (!gguf_get_i64_or(g, "general.file_type", -1, &id, e)) return false;
    const file_type_info *t = file_type_of(id);
    if (t) *label = t->label;
    return true;
}
