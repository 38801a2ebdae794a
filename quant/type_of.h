// type_of: what type a file is by its tensors, whatever general.file_type says. Anyone can write that key; the
// tensors cannot lie.  Looked at are the matrices of the layers (blk.*), which every mix treats by its own rules: the
// embeddings are one matrix that users give a type of their own, and in some models most of the weights. Where those
// matrices have exactly the types that policy gives for a file type, the file is of that type. Where they have those
// of no file type (rules of a user's own, another program's mix), it is held to the strictest budget of all types
// whose mix would spend no more bytes on them: who keeps as much as Q4_K_M does must do as well as Q4_K_M. Where
// general.file_type names a type with a stricter budget, that one holds: who calls a file Q4_K_M must do as well as
// Q4_K_M, too. Proved by tests/held_type_test.c.
#ifndef HALLMARK_QUANT_TYPE_OF_H
#define HALLMARK_QUANT_TYPE_OF_H

#include "../formats/gguf.h"
#include "policy.h"

// How strict a type's budget is: of two the one with the smaller `most` is stricter, and of equal ones the one with
// the larger `least`.
typedef struct { double most, least; } type_budget;
// The budget of a type by its label; false: it has none.
typedef bool (*type_budget_of)(const void *ctx, const char *label, type_budget *b);

// The type whose budget g answers to: "Q4_K_M"; "?" when it spends less than any type with a budget does (and not
// even about what the one does that it is named after), or has no layers. ERR_INPUT when the file does not say what
// the mixes depend on (layers, heads).
bool type_of_budget(const gguf *g, type_budget_of budget, const void *ctx, char label[16], err *e);

// Does general.file_type say what the tensors are? true where it is absent. ERR_VERDICT, found and expected: a type
// we do not know; the tensors are exactly those of another type; or they take less than nine tenths, or more than one
// and a half, of what the type's mix would.
bool type_of_check(const gguf *g, err *e);

// The quantized type whose name suits n tensors, whose types are those they are to have: the one that they are
// exactly, else the one whose mix spends most nearly what they do on the layers' matrices, among those that
// type_of_check lets stand. Mixes below the least type's reach take the nearest name, which the check then refuses. g
// says the rest of the model. Q8_0 where there are no layers. Errors as type_of_budget.
bool type_of_name(const gguf *g, const policy_tensor *t, int64_t n, file_type *type, err *e);

#endif
