// Runs a fuzz target over the files of folders: the seeds, the inputs that once broke something, and large ones.
#include "fuzz.h"

#include <dirent.h>
#include <string.h>

enum { CUTS = 100, LARGE = 1 << 20, LARGE_CUTS = 4 };

static int run_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (!f) { perror(path); return 1; }
    fseek(f, 0, SEEK_END);
    size_t   n = (size_t)ftell(f);
    uint8_t *p = malloc(n ? n : 1);
    rewind(f);
    int failed = !p || fread(p, 1, n, f) != n;
    fclose(f);
    if (failed) { fprintf(stderr, "%s: cannot read\n", path); free(p); return 1; }
    fprintf(stderr, "%s\n", path);          // the last one named is the one that ended it
    LLVMFuzzerTestOneInput(p, n);
    // And cut short, each from a block of its own size.
    const size_t step = n / (n > LARGE ? LARGE_CUTS : CUTS) + 1;
    for (size_t cut = 0; cut < n; cut += step) {
        uint8_t *q = malloc(cut ? cut : 1);
        if (!q) break;
        memcpy(q, p, cut);
        LLVMFuzzerTestOneInput(q, cut);
        free(q);
    }
    free(p);
    return 0;
}

int main(int argc, char **argv)
{
    int n = 0, failed = argc < 2;
    for (int i = 1; i < argc; i++) {
        DIR *d = opendir(argv[i]);
        if (!d) { perror(argv[i]); return 1; }
        for (struct dirent *e; (e = readdir(d));) {
            char path[4096];
            if (e->d_name[0] == '.') continue;
            snprintf(path, sizeof path, "%s/%s", argv[i], e->d_name);
            failed |= run_file(path);
            n++;
        }
        closedir(d);
    }
    printf("%d inputs replayed\n", n);
    return failed || n == 0;
}
