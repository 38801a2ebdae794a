// utf8: one well-formed UTF-8 sequence at a time (Unicode 15, table 3-7: no overlong forms, no surrogates, nothing over
// U+10FFFF).
#ifndef HALLMARK_FORMATS_UTF8_H
#define HALLMARK_FORMATS_UTF8_H

#include <stdbool.h>
#include <stdint.h>

// Bytes of the sequence at p, of which n are readable: 1 to 4, or 0 if it is not well-formed (or n is 0).
static inline int utf8_len(const uint8_t *p, int64_t n)
{
    if (n < 1) return 0;
    if (p[0] < 0x80) return 1;
    if (p[0] < 0xc2 || p[0] > 0xf4) return 0;
    int len = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
    if (n < len) return 0;
    // The second byte's range shuts out overlong forms, surrogates and what lies beyond U+10FFFF.
    uint8_t lo = p[0] == 0xe0 ? 0xa0 : p[0] == 0xf0 ? 0x90 : 0x80;
    uint8_t hi = p[0] == 0xed ? 0x9f : p[0] == 0xf4 ? 0x8f : 0xbf;
    if (p[1] < lo || p[1] > hi) return 0;
    for (int i = 2; i < len; i++)
        if ((p[i] & 0xc0) != 0x80) return 0;
    return len;
}

// The number of the character of n bytes (utf8_len) at p.
static inline uint32_t utf8_number(const uint8_t *p, int n)
{
    uint32_t c = p[0] & (n == 1 ? 0x7fu : 0xffu >> (n + 1));
    for (int i = 1; i < n; i++) c = c << 6 | (p[i] & 0x3f);
    return c;
}

// The n bytes at p are the beginning of a sequence that is longer than n: more has to come.
static inline bool utf8_may_go_on(const uint8_t *p, int64_t n)
{
    const uint8_t fill[2][4] = { { 0x80, 0x80, 0x80, 0x80 }, { 0xbf, 0xbf, 0xbf, 0xbf } };
    uint8_t       whole[4];
    if (n < 1 || n > 3) return false;
    // what the second byte may be depends on the first; the lowest or the highest always may
    for (int k = 0; k < 2; k++) {
        for (int i = 0; i < 4; i++) whole[i] = i < n ? p[i] : fill[k][i];
        if (utf8_len(whole, 4) > n) return true;
    }
    return false;
}

#endif
