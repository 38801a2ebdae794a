// held_type: whose drift budget a file answers to: that of what its tensors are, whatever general.file_type says
// (quant/type_of.h).
// Proved by tests/held_type_test.c.
#ifndef HALLMARK_VERIFY_HELD_TYPE_H
#define HALLMARK_VERIFY_HELD_TYPE_H

#include "../quant/type_of.h"
#include "gate.h"

// type_of_budget with the gate's budgets: "Q4_K_M"; "?": none of its rows.
bool held_type(const gguf *g, const gate *limits, char label[16], err *e);

#endif
