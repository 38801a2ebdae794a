// fuzz: what the targets share. A target is one function, fuzz_one; guard.c holds it to a limit of processor time.
#ifndef HALLMARK_TESTS_FUZZ_H
#define HALLMARK_TESTS_FUZZ_H

#include "formats/err.h"

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

// The target: any bytes. The result is always 0.
int fuzz_one(const uint8_t *data, size_t size);
// What libFuzzer and replay.c call (guard.c): fuzz_one, ended by SIGABRT when it takes more processor time than an
// input of that size may.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// What must hold whatever the input; a build without asserts checks it too.
#define MUST(cond)                                                                          \
    do {                                                                                    \
        if (!(cond)) {                                                                      \
            fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #cond);       \
            abort();                                                                        \
        }                                                                                   \
    } while (0)

// The same for a call that sets e where it fails.
#define MUST_DO(call, e)                                                                    \
    do {                                                                                    \
        if (!(call)) {                                                                      \
            fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #call, (e)->msg);        \
            abort();                                                                        \
        }                                                                                   \
    } while (0)

// One printable line that says why not.
static inline void must_be_a_line(const err *e)
{
    MUST(e->msg[0] != '\0');
    for (const char *p = e->msg; *p; p++) MUST((unsigned char)*p >= 0x20 && *p != 0x7f);
}

// A refusal is bad input (or no memory, which the fuzzer's limits may cause).
static inline void must_be_refusal(const err *e)
{
    MUST(e->kind == ERR_INPUT || e->kind == ERR_SYSTEM);
    must_be_a_line(e);
}

// The same where a file's claims are judged: what does not hold is a verdict.
static inline void must_be_verdict(const err *e)
{
    MUST(e->kind == ERR_VERDICT || e->kind == ERR_SYSTEM);
    must_be_a_line(e);
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
