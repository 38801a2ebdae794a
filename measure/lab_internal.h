// lab_internal: what the laboratory's own files share. Nobody else includes this.
#ifndef HALLMARK_MEASURE_LAB_INTERNAL_H
#define HALLMARK_MEASURE_LAB_INTERNAL_H

#include "../runtime/backend.h"
#include "lab_plan.h"

// lab_plan.c. Chunks of all texts, in their order; ERR_INPUT: a text has none.
bool lab_plan_chunks(lab_plan *p, err *e);
// The arithmetic that the plan names.
arith lab_plan_arith(const lab_plan *p);
// lab_plan_json.c. p->json and p->digest from the rest.
bool lab_plan_describe(lab_plan *p, err *e);
// lab_llama.c. What llama.cpp's programs take for this cache, malloc'd; *words NULL: they have none like it.
bool lab_llama_words(char **words, const char *kv, const hparams *h, err *e);
// lab_texts.c. Reads "category=pattern" or "pattern" in that vocabulary.
bool lab_text_read(lab_text *t, const tokenizer *words, const char *arg, err *e);
void lab_text_free(lab_text *t);
// ERR_INPUT: it is shorter than a chunk.
bool lab_text_holds(const lab_text *t, int64_t chunk, err *e);

#endif
