// Encodes a text with a file's tokenizer, a few times over, and prints the best: megabytes and tokens a second.
//
//     tokenizer_bench MODEL.gguf TEXT [rounds]
//
// Take a real vocabulary and a text of some megabytes; with a small one the words repeat and the figure flatters.
#include "formats/file_map.h"
#include "runtime/tokenizer.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static bool bench(const tokenizer *t, const file_map *text, int rounds, err *e)
{
    double  best = 1e30;
    int64_t n_ids = 0;
    for (int i = 0; i < rounds; i++) {
        int32_t *ids;
        double   t0 = seconds();
        if (!tokenizer_encode(t, (const char *)text->data, text->size, true, true, &ids, &n_ids, e)) return false;
        double took = seconds() - t0;
        if (took < best) best = took;
        free(ids);
    }
    printf("%.1f MB/s, %.0f tokens/s\n", (double)text->size / best / 1e6, (double)n_ids / best);
    return true;
}

int main(int argc, char **argv)
{
    err        e = { 0 };
    file_map   text = { 0 };
    gguf      *g = NULL;
    tokenizer *t = NULL;
    int        rounds = argc == 4 ? atoi(argv[3]) : 5;
    if (argc < 3 || argc > 4 || rounds < 1) {
        fprintf(stderr, "usage: %s MODEL.gguf TEXT [rounds]\n", argv[0]);
        return ERR_USAGE;
    }
    bool ok = file_map_open(&text, argv[2], &e) && (g = gguf_open(argv[1], &e)) && (t = tokenizer_new(g, &e)) &&
              bench(t, &text, rounds, &e);
    if (!ok) fprintf(stderr, "%s\n", e.msg);
    tokenizer_free(t);
    gguf_close(g);
    file_map_close(&text);
    return ok ? 0 : (int)e.kind;
}
