#include "foreign_types.h"
#include <stddef.h>
#include <string.h>

#define IQ    "llama.cpp's, made with an importance matrix"
#define MIX   "a mix of Q types of those who publish GGUF files, without one definition"
#define FP8   "an 8-bit float of safetensors checkpoints"
#define BLOCK "blocks of 4-bit floats"
#define OTHER "of other runtimes, not of GGUF"

static const foreign_type TYPES[] = {
    { "iq1s", IQ, "q2_k" }, { "iq1m", IQ, "q2_k" }, { "iq2xxs", IQ, "q2_k" }, { "iq2xs", IQ, "q2_k" },
    { "iq2s", IQ, "q2_k" }, { "iq2m", IQ, "q2_k" }, { "iq3xxs", IQ, "q3_k_s" }, { "iq3xs", IQ, "q3_k_s" },
    { "iq3s", IQ, "q3_k_s" }, { "iq3m", IQ, "q3_k_m" }, { "iq4xs", IQ, "q4_k_s" }, { "iq4nl", IQ, "q4_k_s" },
    { "q10", "llama.cpp's, of one bit", "q2_k" }, { "q20", "llama.cpp's, of two bits", "q2_k" },
    { "tq10", "llama.cpp's, of three values", "q2_k" }, { "tq20", "llama.cpp's, of three values", "q2_k" },
    { "q2ks", "llama.cpp's, made with an importance matrix", "q2_k" },
    { "q2kl", MIX, "q2_k" }, { "q2kxl", MIX, "q2_k" }, { "q3kxl", MIX, "q3_k_l" }, { "q4kl", MIX, "q4_k_m" },
    { "q4kxl", MIX, "q4_k_m" }, { "q5kl", MIX, "q5_k_m" }, { "q5kxl", MIX, "q5_k_m" }, { "q6kl", MIX, "q6_k" },
    { "q6kxl", MIX, "q6_k" }, { "q8kxl", MIX, "q8_0" },
    { "q81", "ggml's, for products alone", "q8_0" }, { "q8k", "ggml's, for products alone", "q8_0" },
    { "q4044", "llama.cpp's of 2024, Q4_0 in another order", "q4_0" },
    { "q4048", "llama.cpp's of 2024, Q4_0 in another order", "q4_0" },
    { "q4088", "llama.cpp's of 2024, Q4_0 in another order", "q4_0" },
    { "mxfp4", BLOCK, "q4_0" }, { "mxfp4moe", BLOCK, "q4_0" }, { "nvfp4", BLOCK, "q4_0" },
    { "fp8", FP8, "q8_0" }, { "f8", FP8, "q8_0" }, { "float8", FP8, "q8_0" }, { "e4m3", FP8, "q8_0" },
    { "e5m2", FP8, "q8_0" }, { "fp8e4m3", FP8, "q8_0" }, { "fp8e5m2", FP8, "q8_0" }, { "f8e4m3", FP8, "q8_0" },
    { "f8e5m2", FP8, "q8_0" }, { "float8e4m3fn", FP8, "q8_0" },
    { "int8", OTHER, "q8_0" }, { "w8a8", OTHER, "q8_0" }, { "int4", OTHER, "q4_k_m" }, { "fp4", OTHER, "q4_k_m" },
    { "nf4", OTHER, "q4_k_m" }, { "awq", OTHER, "q4_k_m" }, { "gptq", OTHER, "q4_k_m" }, { "w4a16", OTHER, "q4_k_m" },
    { "exl2", OTHER, "q4_k_m" }, { "exl3", OTHER, "q4_k_m" }, { "hqq", OTHER, "q4_k_m" },
    { "f64", "64-bit floats", "f32" }, { "fp64", "64-bit floats", "f32" }, { "float64", "64-bit floats", "f32" },
};

static const foreign_type *find(const char *said)
{
    for (size_t i = 0; i < sizeof TYPES / sizeof *TYPES; i++)
        if (strcmp(TYPES[i].name, said) == 0) return &TYPES[i];
    return NULL;
}

// Unsloth's names begin with UD.
const foreign_type *foreign_type_find(const char *said)
{
    const foreign_type *t = find(said);
    return t || strncmp(said, "ud", 2) != 0 ? t : find(said + 2);
}
