// recipe: what a report and a record say of how an artifact was made, where that is not by its type alone: in words,
// and each file that went into it by name and SHA-256.
//   "recipe":{"words":s,"inputs":[{"kind":"imatrix"|"calibration"|"text"|"artifact"|"recipe","name":s,"sha256":hex}]}
// The words are the maker's; what a file itself claims of its making must agree with them (verify_recipe_fits).
// Proved by tests/recipe_test.c.
#ifndef HALLMARK_VERIFY_RECIPE_H
#define HALLMARK_VERIFY_RECIPE_H

#include "../formats/gguf.h"
#include "../formats/text.h"
#include "verify.h"

// Adds a file; its name is cut where it is too long, and made safe to show. ERR_SYSTEM.
bool verify_recipe_input(verify_recipe *r, const char *kind, const char *name, const char *hex, err *e);
void verify_recipe_free(verify_recipe *r);
// *to is empty before, and to be freed.
bool verify_recipe_copy(verify_recipe *to, const verify_recipe *from, err *e);

// Adds "recipe" to o where there are words. false when out of memory.
bool verify_recipe_add(cJSON *o, const verify_recipe *r);
// Reads what verify_recipe_add wrote, hostile until checked; o NULL: there is none. ERR_VERDICT names the key.
bool verify_recipe_read(verify_recipe *r, const cJSON *o, const char *where, err *e);
// A line of Markdown, where there are words.
void verify_recipe_put(text_buf *t, const char *artifact, const verify_recipe *r);

// Does the file claim the calibration and the importance matrix that the recipe names, and no other? ERR_VERDICT names
// the key. A recipe without words says nothing.
bool verify_recipe_fits(const verify_recipe *r, const gguf *g, err *e);

#endif
