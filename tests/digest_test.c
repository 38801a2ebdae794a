// Proves formats/sha256_two.h and formats/digest_queue.h: every digest against libcrypto's own, taken at once.
#include "bytes.h"
#include "formats/digest_queue.h"
#include "formats/sha256_two.h"

#include <fcntl.h>
#include <omp.h>
#include <openssl/evp.h>
#include <sys/stat.h>

static void digest_by_libcrypto(const void *src, int64_t n, char hex[SHA256_HEX + 1])
{
    unsigned char md[EVP_MAX_MD_SIZE];
    ck_assert_int_eq(EVP_Digest(src, (size_t)n, md, NULL, EVP_sha256(), NULL), 1);
    for (int i = 0; i < SHA256_HEX / 2; i++) sprintf(hex + 2 * i, "%02x", md[i]);
}

static uint64_t seed = 1;
static uint64_t next_random(uint64_t below)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (seed >> 33) % below;
}

enum { SIZE = 3 << 20 };
static uint8_t *noise;          // SIZE bytes

// ---- two at once ----------------------------------------------------------------------------------------------------

START_TEST(test_blocks)
{
    sha256_two_blocks *two = sha256_two_find();
    if (!two) {     // then the program never asks for them either
        puts("this processor has no SHA instructions: nothing of sha256_two to prove");
        return;
    }
    // FIPS 180-4's initial state; "abc" and the empty text, each padded to its one block by hand, at odd addresses.
    const uint32_t first[8] = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19 };
    const uint32_t abc[8] = { 0xba7816bf, 0x8f01cfea, 0x414140de, 0x5dae2223,
                              0xb00361a3, 0x96177a9c, 0xb410ff61, 0xf20015ad };
    const uint32_t none[8] = { 0xe3b0c442, 0x98fc1c14, 0x9afbf4c8, 0x996fb924,
                               0x27ae41e4, 0x649b934c, 0xa495991b, 0x7852b855 };
    uint8_t x[65] = { 0, 'a', 'b', 'c', 0x80, [64] = 24 }, y[67] = { [3] = 0x80 };
    uint32_t a[8], b[8];
    memcpy(a, first, sizeof a);
    memcpy(b, first, sizeof b);
    two(a, x + 1, b, y + 3, 1);
    ck_assert(memcmp(a, abc, sizeof a) == 0 && memcmp(b, none, sizeof b) == 0);
    two(a, x + 1, b, y + 3, 0);
    ck_assert(memcmp(a, abc, sizeof a) == 0 && memcmp(b, none, sizeof b) == 0);
}
END_TEST

// Two digests of random lengths in random parts, some of them together, some alone.
START_TEST(test_two_at_once)
{
    for (int round = 0; round < 300; round++) {
        const int64_t most = round < 100 ? 300 : 70000;
        const int64_t nx = (int64_t)next_random((uint64_t)most),
                      ny = round % 7 ? (int64_t)next_random((uint64_t)most) : nx;
        uint8_t *x = exact(noise + next_random(SIZE - 70000), nx), *y = exact(noise + next_random(SIZE - 70000), ny);
        char hex[SHA256_HEX + 1], expected[SHA256_HEX + 1];
        err e = { 0 };
        sha256 *a = sha256_new(&e), *b = sha256_new(&e);
        for (int64_t i = 0, k = 0; i < nx || k < ny;) {
            const int64_t part = round % 3 ? most : 100;
            int64_t dx = (int64_t)next_random((uint64_t)part) + 1, dy = (int64_t)next_random((uint64_t)part) + 1;
            if (dx > nx - i) dx = nx - i;
            if (dy > ny - k) dy = ny - k;
            if (next_random(4) == 0) ck_assert(sha256_add(a, x + i, dx, &e) && sha256_add(b, y + k, dy, &e));
            else                     ck_assert(sha256_add_two(a, x + i, dx, b, y + k, dy, &e));
            i += dx;
            k += dy;
        }
        digest_by_libcrypto(x, nx, expected);
        ck_assert(sha256_end(a, hex, &e));
        ck_assert_str_eq(hex, expected);
        digest_by_libcrypto(y, ny, expected);
        ck_assert(sha256_end(b, hex, &e));
        ck_assert_str_eq(hex, expected);
        free(x);
        free(y);
    }
}
END_TEST

// The count of bits is 64 wide, in two words: past 2^32 bits, half a gigabyte.
START_TEST(test_more_bits_than_a_word_counts)
{
    enum { TIMES = 180 };       // 540 MiB
    char hex[2][SHA256_HEX + 1], expected[SHA256_HEX + 1];
    unsigned char md[EVP_MAX_MD_SIZE];
    err e = { 0 };
    sha256 *a = sha256_new(&e), *b = sha256_new(&e);
    EVP_MD_CTX *c = EVP_MD_CTX_new();
    ck_assert(EVP_DigestInit_ex(c, EVP_sha256(), NULL) == 1);
    for (int i = 0; i < TIMES; i++)
        ck_assert(sha256_add_two(a, noise, SIZE, b, noise, SIZE, &e) && EVP_DigestUpdate(c, noise, SIZE) == 1);
    ck_assert(EVP_DigestFinal_ex(c, md, NULL) == 1);
    EVP_MD_CTX_free(c);
    for (int i = 0; i < SHA256_HEX / 2; i++) sprintf(expected + 2 * i, "%02x", md[i]);
    ck_assert(sha256_end(a, hex[0], &e) && sha256_end(b, hex[1], &e));
    ck_assert_str_eq(hex[0], expected);
    ck_assert_str_eq(hex[1], expected);
}
END_TEST

// ---- the queue ------------------------------------------------------------------------------------------------------

typedef struct { progress p; int64_t bytes; } counter;
static void count(progress *p, const char *item, int64_t n)
{
    __atomic_fetch_add(&((counter *)p)->bytes, n, __ATOMIC_RELAXED);
}

// Bytes in memory, ranges of a file and whole files, of sizes about a chunk and far from it.
static const int64_t sizes[] = { 0, 1, 63, 64, 65, 262143, 262144, 262145, 2000000, 5, 0, 700000 };
enum { N_SIZES = sizeof sizes / sizeof *sizes, N = 3 * N_SIZES };

typedef struct {
    char *dir, *paths[N_SIZES], *all;
    int fd;
    char expected[N_SIZES][SHA256_HEX + 1];
    int64_t bytes;
} made;

static void make(made *m)
{
    *m = (made){ .dir = new_dir() };
    m->all = strdup(in_dir(m->dir, "all"));
    write_file(m->all, noise, SIZE);
    m->fd = open(m->all, O_RDONLY);
    ck_assert_int_ge(m->fd, 0);
    for (int i = 0; i < N_SIZES; i++) {
        char name[16];
        snprintf(name, sizeof name, "f%d", i);
        m->paths[i] = strdup(in_dir(m->dir, name));
        write_file(m->paths[i], noise + i, sizes[i]);
        digest_by_libcrypto(noise + i, sizes[i], m->expected[i]);
        m->bytes += 3 * sizes[i];
    }
}

static digest_queue *queue_of(const made *m, progress *p)
{
    err e = { 0 };
    digest_queue *q = digest_queue_new(N, p, &e);
    ck_assert_msg(q != NULL, "%s", e.msg);
    for (int i = 0; i < N_SIZES; i++) {
        digest_queue_add_bytes(q, noise + i, sizes[i], "bytes");
        digest_queue_add_range(q, m->fd, i, sizes[i], "range", m->all);
        digest_queue_add_file(q, m->paths[i], "file");
    }
    ck_assert_int_eq(digest_queue_bytes(q), m->bytes);
    return q;
}

static void check_queue(const digest_queue *q, const made *m)
{
    char hex[SHA256_HEX + 1];
    for (int i = 0; i < N; i++) {
        err e = { 0 };
        ck_assert_msg(digest_queue_get(q, i, hex, &e), "%s", e.msg);
        ck_assert_msg(strcmp(hex, m->expected[i / 3]) == 0, "digest %d (%lld bytes): %s", i, (long long)sizes[i / 3],
                      hex);
    }
}

static void drop(made *m)
{
    close(m->fd);
    for (int i = 0; i < N_SIZES; i++) free(m->paths[i]);
    free(m->all);
    drop_dir(m->dir);
}

START_TEST(test_queue)
{
    made m;
    make(&m);
    for (int threads = 0; threads < 9; threads++) {
        counter c = { .p = { .add = count } };
        digest_queue *q = queue_of(&m, &c.p);
        ck_assert(digest_queue_waits(q) && digest_queue_share(q) == 0);
        digest_queue_run(q, threads);
        ck_assert(!digest_queue_waits(q) && digest_queue_share(q) == 1 && !digest_queue_step(q));
        ck_assert_int_eq(c.bytes, m.bytes);
        check_queue(q, &m);
        digest_queue_free(q);
    }
    digest_queue_free(queue_of(&m, NULL));      // never begun
    digest_queue *q = queue_of(&m, NULL);
    ck_assert(digest_queue_step(q));            // half done: the sanitizer sees what is left behind
    digest_queue_free(q);
    digest_queue_free(NULL);
    drop(&m);
}
END_TEST

// Threads that digest something of their own and take the queue along, while others work on it alone.
START_TEST(test_beside)
{
    made m;
    make(&m);
    for (int round = 0; round < 20; round++) {
        digest_queue *q = queue_of(&m, NULL);
        bool good = true;
#pragma omp parallel num_threads(5) reduction(&&: good)
        {
            const int64_t n = 100000 * (omp_get_thread_num() + 1) + round;
            char hex[SHA256_HEX + 1], expected[SHA256_HEX + 1];
            err e = { 0 };
            if (omp_get_thread_num() == 4) {
                for (int i = 0; i < 3; i++) digest_queue_step(q);
            } else {
                sha256 *s = sha256_new(&e);
                good = digest_queue_beside(q, s, noise, 7, &e) && digest_queue_beside(q, s, noise + 7, n, &e) &&
                       digest_queue_beside(q, s, noise, 0, &e) && sha256_end(s, hex, &e);
                digest_by_libcrypto(noise, n + 7, expected);
                good = good && strcmp(hex, expected) == 0;
            }
        }
        ck_assert(good);
        digest_queue_run(q, 2);
        check_queue(q, &m);
        digest_queue_free(q);
    }
    drop(&m);
}
END_TEST

START_TEST(test_what_cannot_be_read)
{
    char *dir = new_dir(), *missing = strdup(in_dir(dir, "missing")), *good = strdup(in_dir(dir, "good")),
         *pipe = strdup(in_dir(dir, "pipe"));
    char hex[SHA256_HEX + 1], expected[SHA256_HEX + 1];
    write_file(good, noise, 1000);
    ck_assert_int_eq(mkfifo(pipe, 0600), 0);
    digest_by_libcrypto(noise, 1000, expected);
    const int fd = open(good, O_RDONLY);
    for (int threads = 1; threads < 4; threads++) {
        err e[6] = { 0 };
        digest_queue *q = digest_queue_new(6, NULL, &e[0]);
        ck_assert(q != NULL);
        digest_queue_add_file(q, missing, "missing");
        digest_queue_add_file(q, dir, "dir");
        digest_queue_add_file(q, pipe, "pipe");
        digest_queue_add_range(q, fd, 500, 501, "short", good);
        digest_queue_add_range(q, -1, 0, 10, "closed", "a-file");
        digest_queue_add_file(q, good, "good");
        digest_queue_run(q, threads);
        for (int i = 0; i < 5; i++) ck_assert(!digest_queue_get(q, i, hex, &e[i]));
        check_refused(&e[0], ERR_INPUT, missing, "cannot open");
        check_refused(&e[1], ERR_INPUT, dir, "found a folder, expected a regular file");
        check_refused(&e[2], ERR_INPUT, pipe, "found a pipe, expected a regular file");
        check_refused(&e[3], ERR_INPUT, good, "offset 1000: found the end, expected 1 more bytes");
        ck_assert(e[4].kind != ERR_NONE && strstr(e[4].msg, "a-file: cannot read"));
        ck_assert(digest_queue_get(q, 5, hex, &e[5]));      // the others are not disturbed
        ck_assert_str_eq(hex, expected);
        digest_queue_free(q);
    }
    close(fd);
    free(missing);
    free(good);
    free(pipe);
    drop_dir(dir);
}
END_TEST

int main(void)
{
    noise = malloc(SIZE);
    for (int i = 0; i < SIZE; i++) noise[i] = (uint8_t)next_random(256);
    Suite *s = suite_create("digest");
    TCase *t = tcase_create("all");
    tcase_set_timeout(t, 300);
    tcase_add_test(t, test_blocks);
    tcase_add_test(t, test_two_at_once);
    tcase_add_test(t, test_more_bits_than_a_word_counts);
    tcase_add_test(t, test_queue);
    tcase_add_test(t, test_beside);
    tcase_add_test(t, test_what_cannot_be_read);
    suite_add_tcase(s, t);
    const int status = run_suite(s);
    free(noise);
    return status;
}
