// measured: what an artifact says that its caches were measured to cost (measure/lab_record.h), where it is cited and
// where it is checked. No verdict of a fixture's rests on it.
// Proved by tests/lab_record_test.c.
#ifndef HALLMARK_VERIFY_MEASURED_H
#define HALLMARK_VERIFY_MEASURED_H

#include "../measure/lab_record.h"

enum { MEASURED_NOTE = 256 };

// One sentence on cache kv in that arithmetic, in words of ours and figures: what was measured of it, or why nothing is
// cited; "" where the file does not say anything of it. false: memory or the file failed.
bool measured_cite(const gguf *g, const char *arith, const char *kv, int n_threads, char note[MEASURED_NOTE], err *e);

// Is what it says of this file, whose digests were proved before? ERR_VERDICT: no, or it cannot be read. *claim: what it
// says, one sentence, "" where it says nothing; freed by the caller.
bool measured_check(const gguf *g, int n_threads, char **claim, err *e);

#endif
