// version: which hallmark this is, for records, reports and provenance. No time stamp: the same sources give the same
// program.
// Proved by tests/report_test.c and tests/e2e/cli_contract.sh.
#ifndef HALLMARK_FORMATS_VERSION_H
#define HALLMARK_FORMATS_VERSION_H

const char *hallmark_version(void);     // "0.1.0"
// The commit of the clone that it was built from, 40 hex digits, with "-dirty" behind them where tracked files were not
// as committed; "unknown" where it was no clone.
const char *hallmark_commit(void);

#endif
