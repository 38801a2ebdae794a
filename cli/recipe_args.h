// recipe_args: recipes of a release as words of the command line (release/release_recipe.h):
//   --types RECIPE,RECIPE,...      RECIPE: TYPE[:KEY=VALUE | :FLAG]..., or mix:budget=SIZE:text=FILE...
//   --artifact FILE[:KEY=VALUE]...
// A ',' or ':' within a value is written '\,' and '\:', a '\' before one of them '\\'; any other '\' stands for itself.
// Proved by tests/recipe_test.c and tests/e2e/recipes.sh.
#ifndef HALLMARK_CLI_RECIPE_ARGS_H
#define HALLMARK_CLI_RECIPE_ARGS_H

#include "cli.h"

// Append to *list, which recipes_free frees in any case. ERR_USAGE names the option, the recipe and the word.
bool recipe_args_types(recipe **list, int *n, const char *text, err *e);
bool recipe_args_artifact(recipe **list, int *n, const char *text, err *e);

// The same words with the last name alone of each path, as they may be published; artifact: of --artifact, whose first
// part is a path, too. malloc'd; NULL when out of memory.
char *recipe_args_base_names(const char *text, bool artifact);

typedef struct { const char *imatrix; text_list calibrate; given_int effort; } recipe_defaults;
// Given to each recipe that has no such key of its own and whose tensors become blocks; to a finished file where it
// says that it was made so. ERR_USAGE: to none.
bool recipe_args_defaults(recipe *list, int n, const recipe_defaults *d, err *e);

#endif
