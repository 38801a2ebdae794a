#define _GNU_SOURCE
#include "command_words.h"
#include "../formats/file_map.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool add(command_words *w, const char *word, err *e)
{
    if (w->n == w->room) {
        const int room = w->room ? 2 * w->room : 16;
        char **grown = realloc(w->v, (size_t)room * sizeof *grown);
        if (!grown) return err_nomem(e, "the command line", (size_t)room * sizeof *grown);
        w->v = grown;
        w->room = room;
    }
    char *copy = strdup(word);
    if (copy) w->v[w->n++] = copy;
    return copy || err_nomem(e, "the command line", strlen(word) + 1);
}

static bool add_pair(command_words *w, const opt *o, const char *value, err *e)
{
    return add(w, o->name, e) && add(w, value, e);
}

static bool add_number(command_words *w, const opt *o, int64_t v, err *e)
{
    char text[32];
    snprintf(text, sizeof text, "%lld", (long long)v);
    return add_pair(w, o, text, e);
}

static bool add_text(command_words *w, const opt *o, const char *value, const char *secret, err *e)
{
    if (!value) return true;
    return add_pair(w, o, secret && strcmp(o->name, secret) == 0 ? path_base(value) : value, e);
}

// A number that is 0 was not given, where its absence means 0.
static bool add_option(command_words *w, const opt *o, const void *field, const char *secret, err *e)
{
    const text_list *list = field;
    const given_int *given = field;
    switch (o->kind) {
    case OPT_FLAG:      return !*(const bool *)field || add(w, o->name, e);
    case OPT_TEXT:
    case OPT_PATH:
    case OPT_OUTPUT:
    case OPT_CHOICE:    return add_text(w, o, *(const char *const *)field, secret, e);
    case OPT_INT:       return *(const int64_t *)field == 0 || add_number(w, o, *(const int64_t *)field, e);
    case OPT_GIVEN_INT: return !given->given || add_number(w, o, given->v, e);
    case OPT_PATHS:
        for (int i = 0; i < list->n; i++)
            if (!add_text(w, o, list->v[i], secret, e)) return false;
        return true;
    }
    return false;
}

bool command_words_of(command_words *w, const command *c, const void *options, const text_list *args,
                      const char *secret, err *e)
{
    *w = (command_words){ 0 };
    bool ok = add(w, "hallmark", e) && add(w, c->name, e);
    for (int i = 0; ok && i < args->n; i++) ok = add(w, args->v[i], e);
    for (int i = 0; ok && i < c->n_opts; i++)
        ok = add_option(w, &c->opts[i], (const char *)options + c->opts[i].offset, secret, e);
    if (!ok) command_words_free(w);
    return ok;
}

void command_words_free(command_words *w)
{
    for (int i = 0; i < w->n; i++) free(w->v[i]);
    free(w->v);
    *w = (command_words){ 0 };
}
