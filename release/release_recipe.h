// release_recipe: how one artifact of a release is made: by a type and what changes its blocks, as a mix to order, or
// taken as a finished file.
//
// A recipe is set key by key, from the command line's words or from a recipe file, by one table of keys:
//   name           what its file is called behind the release's name: <name>-<NAME>.gguf (default: the type in
//   capitals) imatrix        an importance matrix                     effort, calibrate          as convert has them
//   tensor-type, output-type, embedding-type, pure          as convert has them
//   budget, max-kl, text, samples, chunk, exact             of a mix, as quantize has them
// A recipe file is JSON:
//   {"hallmark_recipe":1,"recipes":[{"type":"q4_k_m","imatrix":"imatrix.gguf","calibrate":["a.txt"]},
//    {"mix":true,"budget":"4.5bpw","text":["b.txt"],"samples":4},{"artifact":"done.gguf","name":"Q5-x"}]}
// Its paths begin at the folder that it is in.
// Proved by tests/recipe_test.c.
#ifndef HALLMARK_RELEASE_RELEASE_RECIPE_H
#define HALLMARK_RELEASE_RELEASE_RECIPE_H

#include "../quant/policy.h"
#include "../verify/verify.h"

typedef enum { RECIPE_TYPE, RECIPE_MIX, RECIPE_ARTIFACT } recipe_kind;

typedef struct { char **v; int n; } recipe_list;

typedef struct {
    recipe_kind kind;
    file_type   type;           // of RECIPE_TYPE
    char       *artifact;       // of RECIPE_ARTIFACT: the finished file
    char       *file;           // the recipe file that it comes from, or NULL
    // the first path that tells of folders beside that file's own, from '/' or by '..', as it is written there; or NULL
    char       *outside;
    char       *name, *imatrix, *output_type, *embedding_type, *budget, *max_kl;
    recipe_list calibrate, tensor_types, texts;
    bool        pure, exact, has_effort;
    int64_t     effort, samples, chunk;
} recipe;                       // owns its texts; recipe_free

void recipe_free(recipe *r);
void recipes_free(recipe *r, int n);        // and the array

// Sets a key from a text, or a key that is said without a value (value NULL: pure, exact). ERR_USAGE: there is no such
// key, or not for this kind; it is given twice; the value is none for it.
bool recipe_set(recipe *r, const char *key, const char *value, err *e);
bool recipe_key_is_path(const char *key);       // are its values paths?
bool recipe_key_is_number(const char *key);
// What only the whole recipe shows: what would do nothing, what is missing, what contradicts. ERR_USAGE.
bool recipe_check(const recipe *r, err *e);

// Appends the recipes of a file to *list. ERR_INPUT names the file, which recipe, and the key; nothing of it is kept
// then. r->file is `path`.
bool recipe_file_read(recipe **list, int *n, const char *path, err *e);

// Do its tensors become blocks, so that an importance matrix, an effort or a calibration can do something?
bool recipe_encodes(const recipe *r);
// Is it a type and nothing else?
bool recipe_is_plain(const recipe *r);

// The recipe in words, with names of files instead of paths, into `words`; "" for one that is plain.
void recipe_words(const recipe *r, char words[512]);
// The recipe as the command line takes it, freed by the caller; NULL when out of memory.
char *recipe_text(const recipe *r);

// The policy of its tensor types. o borrows from r and from *rules, which the caller frees. ERR_USAGE names a type.
bool recipe_overrides(const recipe *r, policy_overrides *o, type_rule **rules, err *e);
void recipe_rules_free(type_rule *rules, int n);

#endif
