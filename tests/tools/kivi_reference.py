#!/usr/bin/env python3
"""KIVI's cache as the paper describes it, token by token: tests/golden/kivi.bin, which tests/kivi_test.c reads.

    kivi_reference.py OUT.bin

Liu et al. 2024, "KIVI: A Tuning-Free Asymmetric 2bit Quantization for KV Cache" (arXiv 2402.02750), section 3 and its
decoding algorithm: a key joins the residual; once that holds r keys, all of them are quantized, in groups of g tokens
for each channel, and the residual is empty. A value joins the residual; what is beyond the newest r is quantized, in
groups of g channels for each token. Quantization: zero = min, scale = (max - min) / (2^bits - 1), code = round((x -
zero) / scale). Zero and scale are kept in half precision and codes are made with what is kept.

The file, little-endian: int32 T, H, D, g, r; keys and values F32 [T][H][D]; for 2 bits, then for 4: of keys, scale and
zero F16 [n][H][D] for the n groups that are whole, codes U8 and values F32 [n g][H][D]; of values, scale and zero F16
[T][H][D / g], codes U8 and values F32 [T][H][D]; then for each query whether it sees a key whole U8 [T][T], and a
value.
"""
import struct
import sys

import numpy as np

T, H, D, G, R = 37, 2, 24, 8, 16


def inputs(seed):
    x = np.random.default_rng(seed).standard_normal((T, H, D)).astype(np.float32)
    x[:, :, 3] *= 40                        # channels that stand out, as those of keys do
    x[:, 1, 7] += 1000
    x[:, 0, 5] = 0.25                       # no range
    x[:, 0, 6] = np.where(np.arange(T) % 2, 0.0, -0.0)
    x[:, 1, 8:16] = 300                     # nor along the head
    x[:, :, 9] *= 1e-6                      # scales among the subnormal numbers of half precision
    x[:, 1, 10] *= 1e-9                     # and below
    x[4:6, 1, 11] = (-65000, 65000)         # nearly all that half precision has
    return x


def quantize(x, bits, axis):
    """x grouped along axis: codes, and the scale and zero of each group."""
    low, high, top = x.min(axis, keepdims=True), x.max(axis, keepdims=True), np.float32(2 ** bits - 1)
    zero = (low + np.float32(0)).astype(np.float16)
    scale = ((high - low) / top).astype(np.float16)
    kept_zero, kept_scale = zero.astype(np.float32), scale.astype(np.float32)
    with np.errstate(divide="ignore", invalid="ignore"):
        code = np.rint((x - kept_zero) / kept_scale)
    code = np.where(kept_scale == 0, np.float32(0), np.clip(code, 0, top)).astype(np.float32)
    return scale.squeeze(axis), zero.squeeze(axis), code, code * kept_scale + kept_zero


def cached_keys(k, bits):
    n = T // G                              # groups of which every key is there
    scale, zero, code, value = quantize(k[:n * G].reshape(n, G, H, D), bits, 1)
    return scale, zero, code.reshape(n * G, H, D), value.reshape(n * G, H, D)


def cached_values(v, bits):
    scale, zero, code, value = quantize(v.reshape(T, H, D // G, G), bits, 3)
    return scale, zero, code.reshape(T, H, D), value.reshape(T, H, D)


def seen_whole():
    """Which keys and which values each query sees whole: the residuals after its own token came."""
    keys, values = np.zeros((T, T), np.uint8), np.zeros((T, T), np.uint8)
    residual_k, residual_v = [], []
    for p in range(T):
        residual_k.append(p)
        residual_v.append(p)
        if len(residual_k) == R:
            residual_k = []
        residual_v = residual_v[-R:]
        keys[p, residual_k] = 1
        values[p, residual_v] = 1
    return keys, values


def main():
    k, v = inputs(1), inputs(2)
    with open(sys.argv[1], "wb") as f:
        f.write(struct.pack("<5i", T, H, D, G, R))
        f.write(k.tobytes() + v.tobytes())
        for bits in (2, 4):
            for scale, zero, code, value in (cached_keys(k, bits), cached_values(v, bits)):
                assert np.isfinite(scale).all() and np.isfinite(zero).all() and value.dtype == np.float32
                f.write(scale.tobytes() + zero.tobytes() + code.astype(np.uint8).tobytes() + value.tobytes())
        for whole in seen_whole():
            f.write(whole.tobytes())


if __name__ == "__main__":
    main()
