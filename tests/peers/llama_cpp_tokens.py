#!/usr/bin/env python3
"""Does llama.cpp load an artifact, cut texts into the same ids, and continue a fixture's prompts with its tokens?

  pip install xllamacpp            (a built llama.cpp; its C functions are called directly)
  llama_cpp_tokens.py MODEL.gguf FIXTURE.json.gz [--tokens 96]

Greedy, F32 caches, no flash attention. Says for each case how many tokens agree before the first difference, and ends
with status 1 if any case differs. Ids of prompts are compared too, and only reported: llama.cpp has rules of its own
there.
"""
import argparse
import ctypes
import glob
import gzip
import json
import os
import sys

F32, F16, NO_FLASH = 0, 1, 0
# Offsets in llama_context_params, checked against the defaults that stand there.
N_CTX, N_BATCH, N_UBATCH, THREADS, THREADS_BATCH, FLASH, TYPE_K, TYPE_V = 0, 4, 8, 28, 32, 52, 104, 108


class Params(ctypes.Structure):     # longer than the structure is: what is behind it is not looked at
    _fields_ = [("bytes", ctypes.c_ubyte * 512)]

    def get(self, at):
        return int.from_bytes(bytes(self.bytes[at : at + 4]), "little", signed=True)

    def put(self, at, value):
        self.bytes[at : at + 4] = value.to_bytes(4, "little", signed=True)


class Batch(ctypes.Structure):
    POINTERS = ("token", "embd", "pos", "n_seq", "seq", "logits")
    _fields_ = [("n", ctypes.c_int32)] + [(name, ctypes.c_void_p) for name in POINTERS]


class Peer:
    def __init__(self, path, n_ctx):
        import importlib.util

        folder = os.path.dirname(importlib.util.find_spec("xllamacpp").origin)
        self.lib = lib = ctypes.CDLL(glob.glob(os.path.join(folder, "*.so"))[0])
        self.silent = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)(lambda *_: None)
        lib.llama_log_set(self.silent, None)
        lib.llama_backend_init()
        for name, result in (("llama_model_default_params", Params), ("llama_context_default_params", Params),
                             ("llama_model_load_from_file", ctypes.c_void_p),
                             ("llama_init_from_model", ctypes.c_void_p),
                             ("llama_get_logits_ith", ctypes.POINTER(ctypes.c_float)),
                             ("llama_get_memory", ctypes.c_void_p),
                             ("llama_model_get_vocab", ctypes.c_void_p), ("llama_batch_get_one", Batch)):
            getattr(lib, name).restype = result
        lib.llama_model_load_from_file.argtypes = [ctypes.c_char_p, Params]
        lib.llama_init_from_model.argtypes = [ctypes.c_void_p, Params]
        lib.llama_decode.argtypes = [ctypes.c_void_p, Batch]
        lib.llama_get_logits_ith.argtypes = [ctypes.c_void_p, ctypes.c_int32]
        lib.llama_get_memory.argtypes = lib.llama_model_get_vocab.argtypes = [ctypes.c_void_p]
        lib.llama_memory_clear.argtypes = [ctypes.c_void_p, ctypes.c_bool]
        lib.llama_vocab_n_tokens.argtypes = [ctypes.c_void_p]
        lib.llama_tokenize.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int32, ctypes.c_void_p,
                                       ctypes.c_int32, ctypes.c_bool, ctypes.c_bool]
        self.model = lib.llama_model_load_from_file(path.encode(), lib.llama_model_default_params())
        if not self.model:
            sys.exit(f"{path}: llama.cpp does not load it")
        p = lib.llama_context_default_params()
        if (p.get(TYPE_K), p.get(TYPE_V), p.get(FLASH)) != (F16, F16, -1):
            sys.exit("this llama.cpp has another llama_context_params; this script knows that of October 2026")
        for at, value in ((N_CTX, n_ctx), (N_BATCH, n_ctx), (N_UBATCH, n_ctx), (THREADS, 1), (THREADS_BATCH, 1),
                          (FLASH, NO_FLASH), (TYPE_K, F32), (TYPE_V, F32)):
            p.put(at, value)
        self.ctx = lib.llama_init_from_model(self.model, p)
        self.vocab = lib.llama_model_get_vocab(self.model)
        self.n_vocab = lib.llama_vocab_n_tokens(self.vocab)

    def ids_of(self, text):
        room = len(text.encode()) + 8
        out = (ctypes.c_int32 * room)()
        n = self.lib.llama_tokenize(self.vocab, text.encode(), len(text.encode()), out, room, True, True)
        return list(out[:n])

    def next_id(self, ids):
        tokens = (ctypes.c_int32 * len(ids))(*ids)
        if self.lib.llama_decode(self.ctx, self.lib.llama_batch_get_one(tokens, len(ids))) != 0:
            sys.exit("llama_decode failed")
        logits = self.lib.llama_get_logits_ith(self.ctx, -1)
        row = logits[: self.n_vocab]
        return max(range(self.n_vocab), key=row.__getitem__)

    def agreeing(self, prompt, want):
        self.lib.llama_memory_clear(self.lib.llama_get_memory(self.ctx), True)
        ids = prompt
        for i, w in enumerate(want):
            if self.next_id(ids) != w:
                return i
            ids = [w]
        return len(want)


def main():
    args = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    args.add_argument("model")
    args.add_argument("fixture")
    args.add_argument("--tokens", type=int, default=96)
    a = args.parse_args()
    with gzip.open(a.fixture, "rt", encoding="utf-8") as f:
        next(f)                     # what the fixture says of itself
        cases = [json.loads(line) for line in f]
    peer = Peer(a.model, max(len(c["prompt_ids"]) for c in cases) + a.tokens + 8)
    equal = same_prompts = 0
    for c in cases:
        want = c["generated_ids"][: a.tokens]
        same, prompt = peer.agreeing(c["prompt_ids"], want), peer.ids_of(c["prompt"]) == c["prompt_ids"]
        equal += same == len(want)
        same_prompts += prompt
        print(f"{c['id']}: {same} of {len(want)} tokens agree{'' if prompt else '; the prompt has other ids'}")
    print(f"{equal} of {len(cases)} cases are equal; {same_prompts} prompts have the same ids")
    return 0 if equal == len(cases) else 1


if __name__ == "__main__":
    sys.exit(main())
