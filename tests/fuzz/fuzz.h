// fuzz: what the targets share.
#ifndef HALLMARK_TESTS_FUZZ_H
#define HALLMARK_TESTS_FUZZ_H

#include "formats/err.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// What must hold whatever the input; a build without asserts checks it too.
#define MUST(cond)                                                                          \
    do {                                                                                    \
        if (!(cond)) {                                                                      \
            fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #cond);       \
            abort();                                                                        \
        }                                                                                   \
    } while (0)

// A refusal is bad input (or no memory, which the fuzzer's limits may cause), in one printable line.
static inline void must_be_refusal(const err *e)
{
    MUST(e->kind == ERR_INPUT || e->kind == ERR_SYSTEM);
    MUST(e->msg[0] != '\0');
    for (const char *p = e->msg; *p; p++) MUST((unsigned char)*p >= 0x20 && *p != 0x7f);
}

// Reads every byte, so that a sanitizer sees one that is not there.
static inline unsigned touch(const void *p, int64_t n)
{
    unsigned sum = 0;
    for (int64_t i = 0; i < n; i++) sum += ((const uint8_t *)p)[i];
    return sum;
}

// Keeps the compiler from seeing that a sum is not needed.
static inline void use(unsigned v) { __asm__ volatile("" : : "r"(v)); }

#endif
