// report_table: what verify and release found, as the table at their end.
#ifndef HALLMARK_CLI_REPORT_TABLE_H
#define HALLMARK_CLI_REPORT_TABLE_H

#include "../verify/verify.h"

// One row a fixture: artifact, type, size, KV dtype, attention scale, free-run tokens equal, teacher-forced agreement,
// mean KL, verdict; then each failure and note as a line. file_bytes: [n]. To standard output; false when memory ran
// out.
bool report_table_print(const verify_report *reports, const int64_t *file_bytes, int n);

#endif
