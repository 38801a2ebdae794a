// lab_report: which form a path asks for; see lab_report.h.
#include "lab_report.h"
#include "../formats/outfile.h"
#include <stdlib.h>
#include <string.h>

typedef char *report_form(const lab_result *r);

static const struct { const char *suffix; report_form *form; } FORMS[] = {
    { ".json", lab_report_json }, { ".md", lab_report_md }, { ".html", lab_report_html },
};
enum { N_FORMS = sizeof FORMS / sizeof FORMS[0] };

static report_form *form_of(const char *path)
{
    const char  *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    const size_t n = strlen(name);
    for (int i = 0; i < N_FORMS; i++) {
        const size_t tail = strlen(FORMS[i].suffix);
        if (n > tail && strcmp(name + n - tail, FORMS[i].suffix) == 0) return FORMS[i].form;
    }
    return NULL;
}

bool lab_report_suffix_ok(const char *path) { return form_of(path) != NULL; }

bool lab_report_write(const lab_result *r, const char *path, err *e)
{
    report_form *form = form_of(path);
    if (!form) return err_set(e, ERR_USAGE, "%s: a report ends with .json, .md or .html", path);
    char *text = form(r);
    bool  ok = text ? outfile_write_whole(path, text, (int64_t)strlen(text), e) : err_nomem(e, "a report", 0);
    free(text);
    return ok;
}
