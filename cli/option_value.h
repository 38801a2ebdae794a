// option_value: what an option's value is, for whoever helps to type it.
#ifndef HALLMARK_CLI_OPTION_VALUE_H
#define HALLMARK_CLI_OPTION_VALUE_H

#include "cli.h"
#include "../formats/text.h"

typedef enum {
    VALUE_NONE,             // a flag
    VALUE_TEXT,             // a number, a name, a specification: nothing can be offered
    VALUE_CHOICE,           // one of opt.choices
    VALUE_TYPE,             // a file type
    VALUE_TYPES,            // file types, separated by commas
    VALUE_FILE,
    VALUE_KEYED_FILE,       // WORD=FILE
    VALUE_FOLDER,
} value_kind;

value_kind option_value(const opt *o);

// One of the command's options takes file types.
bool command_takes_types(const command *c);

// The names of all file types, letters, digits and '_' each.
void type_names(text_buf *t, const char *between);

#endif
