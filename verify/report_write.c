// Which form of a report a path asks for; see verify.h.
#include "verify.h"
#include "../formats/dir_list.h"
#include "../formats/outfile.h"
#include <stdlib.h>
#include <string.h>

typedef char *report_form(const verify_report *const *r, int n);

static const struct { const char *suffix; report_form *form; } FORMS[] = {
    { ".json", verify_report_json_text }, { ".md", verify_report_md }, { ".html", verify_report_html },
    { ".xml", verify_report_junit },
};

static report_form *form_of(const char *path)
{
    for (size_t i = 0; i < sizeof FORMS / sizeof *FORMS; i++)
        if (text_ends_with(path, FORMS[i].suffix)) return FORMS[i].form;
    return NULL;
}

bool verify_report_suffix_ok(const char *path) { return form_of(path) != NULL; }

bool verify_report_write(const verify_report *const *r, int n, const char *path, err *e)
{
    report_form *form = form_of(path);
    if (!form) return err_set(e, ERR_USAGE, "%s: a report's name ends in " VERIFY_REPORT_SUFFIXES, path);
    char *s = form(r, n);
    if (!s) return err_nomem(e, "the report", 0);
    bool ok = outfile_write_whole(path, s, (int64_t)strlen(s), e);
    free(s);
    return ok;
}
