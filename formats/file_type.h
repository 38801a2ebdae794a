// file_type: general.file_type: the names of mixes, as publishers and the command line write them.
#ifndef HALLMARK_FORMATS_FILE_TYPE_H
#define HALLMARK_FORMATS_FILE_TYPE_H

#include "gguf.h"

typedef enum {      // values are llama.cpp's general.file_type
    FT_F32 = 0, FT_F16 = 1, FT_Q4_0 = 2, FT_Q4_1 = 3, FT_Q8_0 = 7, FT_Q5_0 = 8, FT_Q5_1 = 9, FT_Q2_K = 10,
    FT_Q3_K_S = 11, FT_Q3_K_M = 12, FT_Q3_K_L = 13, FT_Q4_K_S = 14, FT_Q4_K_M = 15, FT_Q5_K_S = 16, FT_Q5_K_M = 17,
    FT_Q6_K = 18, FT_BF16 = 32,
    FT_INVALID = -1,
} file_type;

typedef struct {
    file_type   id;
    const char *name;           // as on the command line: "q4_k_m"
    const char *label;          // as publishers write it: "Q4_K_M"
    dtype       base;           // the type most tensors get
} file_type_info;

const file_type_info *file_type_find(const char *name);     // ignoring case; NULL if there is none
const file_type_info *file_type_of(int64_t id);             // NULL likewise
const file_type_info *file_type_table(int *n);

// What general.file_type says: the label of its row ("Q4_K_M"), or "?" where the key is absent or names a type without
// one. Static text. false, ERR_INPUT: the value is no integer.
bool file_type_label(const gguf *g, const char **label, err *e);

#endif
