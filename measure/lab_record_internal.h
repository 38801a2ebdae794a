// lab_record_internal: what writer and reader of a record share. Nobody else includes this.
#ifndef HALLMARK_MEASURE_LAB_RECORD_INTERNAL_H
#define HALLMARK_MEASURE_LAB_RECORD_INTERNAL_H

#include "../formats/err.h"
#include <stdbool.h>

enum { LAB_RECORD_CATEGORY = 32 };      // the longest name of a category

// A text that the record owns.
bool lab_record_keep(char **to, const char *s, err *e);

// Letters, digits, '_' and '-': what --text takes.
bool lab_record_is_category(const char *s);

#endif
