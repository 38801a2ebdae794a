// Proves formats/keyed_hash.h: the arithmetic against long numbers, one hash however a string is put together, another
// place under another key.
#include "formats/keyed_hash.h"
#include "suite.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

START_TEST(test_arithmetic)
{
    const uint64_t p = HASH_PRIME, edges[] = { 0, 1, 2, p / 2, p - 2, p - 1, ((uint64_t)1 << 60) + 12345 };
    for (size_t i = 0; i < sizeof edges / sizeof edges[0]; i++)
        for (size_t k = 0; k < sizeof edges / sizeof edges[0]; k++) {
            ck_assert_uint_eq(hash_mul(edges[i], edges[k]), (uint64_t)((unsigned __int128)edges[i] * edges[k] % p));
            ck_assert_uint_eq(hash_add(edges[i], edges[k]), (edges[i] + edges[k]) % p);
        }
}
END_TEST

START_TEST(test_ends_and_beginnings)
{
    static const char s[] = "a string of some thirty bytes.\0\xff";
    const int64_t n = sizeof s - 1;
    hash_key k;
    err      e = { 0 };
    ck_assert(hash_key_draw(&k, &e));
    uint64_t left = 0;
    for (int64_t i = 0; i <= n; i++) {
        uint64_t right = 0, power = 1;
        for (int64_t b = n - 1; b >= i; b--) right = hash_prepend(&k, right, (uint8_t)s[b], &power);
        ck_assert_uint_eq(right, hash_bytes(&k, s + i, n - i));
        ck_assert_uint_eq(left, hash_bytes(&k, s, i));
        if (i < n) left = hash_append(&k, left, (uint8_t)s[i]);
    }
    ck_assert_uint_ne(hash_bytes(&k, "\0\0", 1), hash_bytes(&k, "\0\0", 2));
    ck_assert_uint_ne(hash_pair(&k, 1, 2), hash_pair(&k, 2, 1));
    ck_assert_uint_ne(hash_pair(&k, 0, 0), hash_pair(&k, 0, 1));
}
END_TEST

// Where strings stand side by side under one key they do not under the next, and under no key do more meet in one of n
// places than chance has it.
START_TEST(test_keys)
{
    enum { N = 4096, PLACES = 4096, KEYS = 8 };
    static uint8_t count[PLACES];
    uint64_t first[KEYS];
    char     text[16];
    for (int j = 0; j < KEYS; j++) {
        hash_key k;
        err      e = { 0 };
        int      most = 0;
        ck_assert(hash_key_draw(&k, &e));
        ck_assert(k.point >= (uint64_t)1 << 60 && k.point < HASH_PRIME);
        memset(count, 0, sizeof count);
        for (int i = 0; i < N; i++) {
            const int n = snprintf(text, sizeof text, "%d", i);
            uint8_t *c = &count[hash_place(&k, hash_bytes(&k, text, n)) % PLACES];
            if (++*c > most) most = *c;
        }
        // of 4096 balls in 4096 places the fullest has 6 or 7; 16 comes once in 10^10 times
        ck_assert_int_lt(most, 16);
        first[j] = hash_place(&k, hash_bytes(&k, "a", 1));
        for (int i = 0; i < j; i++) ck_assert_uint_ne(first[i], first[j]);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("keyed_hash");
    TCase *c = tcase_create("keyed_hash");
    tcase_add_test(c, test_arithmetic);
    tcase_add_test(c, test_ends_and_beginnings);
    tcase_add_test(c, test_keys);
    suite_add_tcase(s, c);
    return run_suite(s);
}
