#define _GNU_SOURCE
#include "command_words.h"
#include "option_value.h"
#include "recipe_args.h"
#include "../formats/file_map.h"
#include "../measure/lab_plan.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

// Takes the word over, which is NULL where memory ran out.
static bool take(command_words *w, char *word, err *e)
{
    if (word && w->n == w->room) {
        const int room = w->room ? 2 * w->room : 16;
        char **grown = realloc(w->v, (size_t)room * sizeof *grown);
        if (grown) {
            w->v = grown;
            w->room = room;
        }
    }
    if (word && w->n < w->room) {
        w->v[w->n++] = word;
        return true;
    }
    free(word);
    return err_nomem(e, "the command line", 0);
}

// ---- what is published of a word ------------------------------------------------------------------------------------

// Of "dir/name/", too, the name.
static char *base_name(const char *path)
{
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/') n--;
    size_t from = n;
    while (from > 0 && path[from - 1] != '/') from--;
    return strndup(path + from, n - from);
}

// "coding=a/b.txt" is "coding=b.txt".
static char *keyed_base_name(const char *value)
{
    const char *path = lab_text_path(value);
    char *base = base_name(path), *both = NULL;
    if (base && asprintf(&both, "%.*s%s", (int)(path - value), value, base) < 0) both = NULL;
    free(base);
    return both;
}

static char *value_without_folders(const opt *o, const char *value)
{
    if (strcmp(o->name, "--artifact") == 0) return recipe_args_base_names(value, true);
    switch (option_value(o)) {
    case VALUE_TYPES:      return recipe_args_base_names(value, false);
    case VALUE_KEYED_FILE: return keyed_base_name(value);
    case VALUE_FILE:
    case VALUE_FOLDER:     return base_name(value);
    default:               return strdup(value);
    }
}

// What is not there is no path, but a model's id (hf_path).
static char *argument_without_folders(const char *arg)
{
    struct stat st;
    return lstat(arg, &st) == 0 ? base_name(arg) : strdup(arg);
}

// ---- word by word ---------------------------------------------------------------------------------------------------

static bool add(command_words *w, const char *word, err *e) { return take(w, strdup(word), e); }

static bool add_number(command_words *w, const opt *o, int64_t v, err *e)
{
    char text[32];
    snprintf(text, sizeof text, "%lld", (long long)v);
    return add(w, o->name, e) && add(w, text, e);
}

static bool add_text(command_words *w, const opt *o, const char *value, words_how how, err *e)
{
    if (!value) return true;
    return add(w, o->name, e)
        && take(w, how == WORDS_AS_TYPED ? strdup(value) : value_without_folders(o, value), e);
}

// A number that is 0 was not given, where its absence means 0.
static bool add_option(command_words *w, const opt *o, const void *field, words_how how, err *e)
{
    const text_list *list = field;
    const given_int *given = field;
    switch (o->kind) {
    case OPT_FLAG:      return !*(const bool *)field || add(w, o->name, e);
    case OPT_TEXT:
    case OPT_PATH:
    case OPT_OUTPUT:
    case OPT_CHOICE:    return add_text(w, o, *(const char *const *)field, how, e);
    case OPT_INT:       return *(const int64_t *)field == 0 || add_number(w, o, *(const int64_t *)field, e);
    case OPT_GIVEN_INT: return !given->given || add_number(w, o, given->v, e);
    case OPT_PATHS:
        for (int i = 0; i < list->n; i++)
            if (!add_text(w, o, list->v[i], how, e)) return false;
        return true;
    }
    return false;
}

static bool add_argument(command_words *w, const char *arg, words_how how, err *e)
{
    return take(w, how == WORDS_AS_TYPED ? strdup(arg) : argument_without_folders(arg), e);
}

bool command_words_of(command_words *w, const command *c, const void *options, const text_list *args, words_how how,
                      err *e)
{
    *w = (command_words){ 0 };
    bool ok = add(w, "hallmark", e) && add(w, c->name, e);
    for (int i = 0; ok && i < args->n; i++) ok = add_argument(w, args->v[i], how, e);
    for (int i = 0; ok && i < c->n_opts; i++)
        ok = add_option(w, &c->opts[i], (const char *)options + c->opts[i].offset, how, e);
    if (!ok) command_words_free(w);
    return ok;
}

void command_words_free(command_words *w)
{
    for (int i = 0; i < w->n; i++) free(w->v[i]);
    free(w->v);
    *w = (command_words){ 0 };
}
