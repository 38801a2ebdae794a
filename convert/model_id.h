// model_id: what the name of a model says, by the rules of gguf-py's Metadata, so that keys made from it are
// llama.cpp's. Proved by tests/model_card_test.c, beside gguf-py's own answers.
#ifndef HALLMARK_CONVERT_MODEL_ID_H
#define HALLMARK_CONVERT_MODEL_ID_H

#include "../formats/err.h"
#include <stdint.h>

// "gemma-4-E2B-it" becomes "Gemma 4 E2B It": words in lower case get a capital, versions and sizes stay. Letters of any
// script; id is UTF-8. malloc'd, NULL when out of memory. (Metadata.id_to_title)
char *model_id_title(const char *id);

// The parts of "google/gemma-3-270m" (get_model_id_components). Owned; NULL where the id does not say it.
typedef struct { char *organization, *name, *version; } model_id;
// n_params: of the model at hand; it tells a size ("7B") from the length of a context ("128k"). 0: unknown.
bool model_id_split(model_id *m, const char *id, int64_t n_params, err *e);
void model_id_free(model_id *m);

#endif
