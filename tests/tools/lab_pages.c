// lab_pages DIR: writes reports of made-up laboratory results, to be looked at in a browser. For the hand: it judges
// nothing.
#include "../lab_sample.h"
#include "measure/lab_report.h"

static bool write_forms(const char *dir, const char *name, const sample_opts *o)
{
    static const char *const suffixes[] = { "html", "md", "json" };
    lab_sample *s = lab_sample_new(o);
    bool ok = true;
    for (int i = 0; i < 3; i++) {
        char path[4096];
        err  e = { 0 };
        snprintf(path, sizeof path, "%s/%s.%s", dir, name, suffixes[i]);
        if (lab_report_write(&s->result, path, &e)) continue;
        fprintf(stderr, "%s\n", e.msg);
        ok = false;
    }
    lab_sample_free(s);
    return ok;
}

int main(int argc, char **argv)
{
    static const struct { const char *name; sample_opts o; } pages[] = {
        { "one", { 1, 1, 1, 512, .text = NULL } }, { "nothing-lost", { 3, 1, 12, 512, .nothing_lost = true } },
        { "dozen", { 12, 1, 24, 8192, .text = NULL } }, { "forty", { 40, 1, 48, 32768, .text = NULL } },
        { "files", { 5, 4, 24, 4096, .text = NULL } }, { "layers", { 20, 1, 12, 2048, .by_layer = true } },
        { "many-files", { 10, 4, 12, 2048, .text = NULL } },
    };
    bool ok = argc == 2;
    if (!ok) fprintf(stderr, "usage: lab_pages DIR\n");
    const size_t n = sizeof pages / sizeof pages[0];
    for (size_t i = 0; ok && i < n; i++) ok = write_forms(argv[1], pages[i].name, &pages[i].o);
    return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}
