// lab_record_internal: what writer and reader of a record share. Nobody else includes this.
#ifndef HALLMARK_MEASURE_LAB_RECORD_INTERNAL_H
#define HALLMARK_MEASURE_LAB_RECORD_INTERNAL_H

#include <stdbool.h>

enum { LAB_RECORD_CATEGORY = 32 };      // the longest name of a category

// Letters, digits, '_' and '-': what --text takes.
bool lab_record_is_category(const char *s);

#endif
