// lab_llama: what llama.cpp's programs call a cache.
//
// They take a type for keys and one for values (-ctk, -ctv), for all layers, and rotate what is quantized unless
// LLAMA_ATTN_ROT_DISABLE says otherwise (llama-kv-cache.cpp, attn_rot).
#include "lab_internal.h"
#include "../runtime/kv_spec.h"
#include <stdlib.h>
#include <string.h>

bool lab_llama_words(char **words, const char *kv, const hparams *h, err *e)
{
    (void)h;
    (void)kv;
    *words = NULL;
    return true;
}
