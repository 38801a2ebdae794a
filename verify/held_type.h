// held_type: what type a file is by its tensors, whatever general.file_type says. Anyone can write that key; the tensors cannot lie.
//
// Looked at are the matrices of the layers (blk.*), which every mix treats by its own rules: the embeddings are one matrix that users
// give a type of their own, and in some models most of the weights. Where those matrices have exactly the types that policy gives for a file
// type, the file is of that type. Where they have those of no file type (rules of a user's own, another program's mix), it is held to the strictest
// budget of all types whose mix would spend no more bytes on them: who keeps as much as Q4_K_M does must do as well as Q4_K_M.
// Where general.file_type names a type with a stricter budget, that one holds: who calls a file Q4_K_M must do as well as Q4_K_M, too.
// Proved by tests/held_type_test.c.
#ifndef HALLMARK_VERIFY_HELD_TYPE_H
#define HALLMARK_VERIFY_HELD_TYPE_H

#include "gate.h"
#include "../formats/gguf.h"
#include "../quant/policy.h"

// The type whose drift budget g answers to: "Q4_K_M"; "?" when it spends less than any type with a row in the gate does (and not even about
// what the one does that it is named after), or has no layers.
// ERR_INPUT when the file does not say what the mixes depend on (layers, heads).
bool held_type(const gguf *g, const gate *limits, char label[16], err *e);

// Does general.file_type say what the tensors are? true where it is absent. ERR_VERDICT, found and expected: a type we do not know; the tensors are
// exactly those of another type; or they take less than nine tenths, or more than one and a half, of what the type's mix would.
bool held_type_check(const gguf *g, err *e);

// The quantized type whose name suits n tensors, whose types are those they are to have: the one that they are exactly, else the one whose mix spends
// most nearly what they do on the layers' matrices, among those that held_type_check lets stand. Mixes below the least type's reach take the nearest
// name, which the check then refuses. g says the rest of the model. Q8_0 where there are no layers. Errors as held_type.
bool held_type_name(const gguf *g, const policy_tensor *t, int64_t n, file_type *type, err *e);

#endif
