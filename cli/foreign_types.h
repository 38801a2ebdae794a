// foreign_types: quantization types that others write and hallmark does not, so that a message can tell a type that is
// known from a slip of the finger. Proved by tests/cli_text_test.c.
#ifndef HALLMARK_CLI_FOREIGN_TYPES_H
#define HALLMARK_CLI_FOREIGN_TYPES_H

typedef struct foreign_type {
    const char *name;       // small letters and digits alone, as the names are compared
    const char *what;       // whose it is, as a sentence says it
    const char *near;       // the file type here that is nearest in size
} foreign_type;

// said: a name in small letters and digits alone. NULL: no such type is known.
const foreign_type *foreign_type_find(const char *said);

#endif
