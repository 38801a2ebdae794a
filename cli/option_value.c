// option_value: by an option's kind, and where a path is meant by what the help calls its value.
#include "option_value.h"
#include <string.h>

// Not empty, as a path, but no file's name.
static const char *const NOT_FILES[] = { "NAME", "REV", "SPEC", "PATTERN=TYPE", "URL" };

static value_kind path_value(const char *arg)
{
    for (int i = 0; i < N_ROWS(NOT_FILES); i++)
        if (strcmp(arg, NOT_FILES[i]) == 0) return VALUE_TEXT;
    if (strcmp(arg, "DIR") == 0) return VALUE_FOLDER;
    return strchr(arg, '=') ? VALUE_KEYED_FILE : VALUE_FILE;
}

value_kind option_value(const opt *o)
{
    if (strcmp(o->name, "--type") == 0) return VALUE_TYPE;
    if (strcmp(o->name, "--types") == 0) return VALUE_TYPES;
    switch (o->kind) {
    case OPT_FLAG:      return VALUE_NONE;
    case OPT_CHOICE:    return VALUE_CHOICE;
    case OPT_OUTPUT:
    case OPT_PATH:
    case OPT_PATHS:     return path_value(o->arg);
    case OPT_TEXT:
    case OPT_INT:
    case OPT_GIVEN_INT: return VALUE_TEXT;
    }
    return VALUE_TEXT;
}

bool command_takes_types(const command *c)
{
    for (int i = 0; i < c->n_opts; i++) {
        const value_kind v = option_value(&c->opts[i]);
        if (v == VALUE_TYPE || v == VALUE_TYPES) return true;
    }
    return false;
}

void type_names(text_buf *t, const char *between)
{
    int n;
    const file_type_info *type = file_type_table(&n);
    for (int i = 0; i < n; i++) text_printf(t, "%s%s", i ? between : "", type[i].name);
}
