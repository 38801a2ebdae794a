// outline_table: what `release --dry-run` answers.
#ifndef HALLMARK_CLI_OUTLINE_TABLE_H
#define HALLMARK_CLI_OUTLINE_TABLE_H

#include "../release/release_outline.h"

// As a table and lines, or with --json as a document. ERR_SYSTEM when out of memory.
bool outline_print(const release_outline *o, const char *hf_dir, err *e);

#endif
