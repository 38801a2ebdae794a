// kv_types: the dtypes of a KV cache, for the tables of the launchers.
#ifndef HALLMARK_RUNTIME_CUDA_KV_TYPES_CUH
#define HALLMARK_RUNTIME_CUDA_KV_TYPES_CUH

#include "../../quant/cuda/formats_c.h"

#define FOR_KV_TYPES(X) X(DT_F32) X(DT_BF16) X(DT_F16) X(DT_Q8_0) X(DT_Q4_0)

static inline bool unknown_kv(dtype t, err *e) { return err_set(e, ERR_SYSTEM, "device cuda: no kernel for a KV cache of type %s", dtype_name(t)); }

#endif
