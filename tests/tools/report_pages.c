// report_pages DIR: writes reports of made-up verifications, to be looked at in a browser and read by other programs.
// For the hand: it judges nothing.
#include "../report_sample.h"

static bool write_forms(const char *dir, const char *name, const report_opts *o)
{
    static const char *const suffixes[] = { "html", "xml", "md", "json" };
    report_sample *s = report_sample_new(o);
    const verify_report *list[] = { &s->report };
    bool ok = true;
    for (int i = 0; i < 4; i++) {
        char path[4096];
        err  e = { 0 };
        snprintf(path, sizeof path, "%s/%s.%s", dir, name, suffixes[i]);
        if (verify_report_write(list, 1, path, &e)) continue;
        fprintf(stderr, "%s\n", e.msg);
        ok = false;
    }
    report_sample_free(s);
    return ok;
}

int main(int argc, char **argv)
{
    // no characters of XML, its syntax, its ends, what turns the direction of writing, a byte that is no UTF-8
    static const char hostile[] = "a\001\033[2J\xef\xbf\xbe\xef\xbf\xbf\n\t<b>&lt;]]>\"'</failure>\xe2\x80\xae\xff.x y";
    static const struct { const char *name; report_opts o; } pages[] = {
        { "hostile", { SAMPLE_FAIL, 2, 6, 24, 5, true, hostile } },
        { "pass", { SAMPLE_PASS, 2, 14, 64, 35, true, NULL } }, { "fail", { SAMPLE_FAIL, 2, 14, 64, 35, true, NULL } },
        { "inconclusive", { SAMPLE_INCONCLUSIVE, 1, 3, 40, 6, true, NULL } },
        { "unverified", { SAMPLE_UNVERIFIED, 2, 14, 64, 35, true, NULL } },
        { "not-run", { SAMPLE_NOT_RUN, 1, 14, 64, 35, true, NULL } },
        { "dead", { SAMPLE_DEAD, 1, 4, 32, 12, true, NULL } },
        { "record", { SAMPLE_PASS, 2, 14, 64, 35, false, NULL } },
        { "many", { SAMPLE_FAIL, 1, 200, 512, 62, true, NULL } },
    };
    bool ok = argc == 2;
    if (!ok) fprintf(stderr, "usage: report_pages DIR\n");
    const size_t n = sizeof pages / sizeof pages[0];
    for (size_t i = 0; ok && i < n; i++) ok = write_forms(argv[1], pages[i].name, &pages[i].o);
    return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}
