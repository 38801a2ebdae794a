// formats_c: the headers of formats/ that kernels need; they are C, and C++ must be told.
#ifndef HALLMARK_DEVICE_FORMATS_C_H
#define HALLMARK_DEVICE_FORMATS_C_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif
#include "../formats/dtype.h"
#include "../formats/err.h"
#ifdef __cplusplus
}
#endif
#endif
