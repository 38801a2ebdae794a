#include "prompt.h"
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_BYTES = 64 << 20, STEP = 1 << 16 };

// The whole stream; a pipe has no size to ask for.
static bool read_all(prompt_text *p, FILE *f, const char *name, err *e)
{
    for (int64_t room = 0;; room += STEP) {
        char *more = realloc(p->owned, (size_t)room + STEP + 1);
        if (!more) return err_nomem(e, "the prompt", (size_t)room + STEP);
        p->owned = more;
        p->n += (int64_t)fread(more + p->n, 1, (size_t)(room + STEP - p->n), f);
        if (ferror(f)) return err_errno(e, true, name, "read");
        if (p->n > MOST_BYTES)
            return err_set(e, ERR_INPUT, "%s: found more than %d bytes, expected a prompt", name, (int)MOST_BYTES);
        if (p->n < room + STEP) return true;
    }
}

// What an editor, or echo, puts after the last line.
static int64_t without_line_end(const char *s, int64_t n)
{
    if (n > 0 && s[n - 1] == '\n') n--;
    else return n;
    return n > 0 && s[n - 1] == '\r' ? n - 1 : n;
}

static bool read_stream(prompt_text *p, FILE *f, const char *name, err *e)
{
    if (!f) return err_errno(e, true, name, "open");
    const bool ok = read_all(p, f, name, e);
    if (f != stdin) fclose(f);
    if (ok) p->n = without_line_end(p->owned, p->n);
    else    prompt_free(p);
    p->s = p->owned;
    return ok;
}

bool prompt_read(prompt_text *p, const char *text, const char *file, err *e)
{
    *p = (prompt_text){ .s = text };
    if (strcmp(text ? text : file, "-") == 0) return read_stream(p, stdin, "standard input", e);
    if (!text) return read_stream(p, fopen(file, "rb"), file, e);
    p->n = (int64_t)strlen(text);
    return true;
}

void prompt_free(prompt_text *p)
{
    free(p->owned);
    *p = (prompt_text){ .s = NULL };
}

// ---- ids ------------------------------------------------------------------------------------------------------------

static const char *past_spaces(const char *p)
{
    while (isspace((unsigned char)*p)) p++;
    return p;
}

// One comma at most, with spaces around it. Spaces alone part two ids, too.
static const char *past_separator(const char *p)
{
    p = past_spaces(p);
    return *p == ',' ? past_spaces(p + 1) : p;
}

static bool one_id(const char **at, int64_t n_vocab, int32_t *id, err *e)
{
    const char *p = *at;
    char *end;
    errno = 0;
    const long long v = strtoll(p, &end, 10);
    const bool parted = *end == ',' || *end == '\0' || isspace((unsigned char)*end);
    if (*p < '0' || *p > '9' || !parted)
        return err_set(e, ERR_USAGE, "option --ids: found '%.40s', expected whole numbers separated by commas", p);
    if (errno == ERANGE || v >= n_vocab)
        return err_set(e, ERR_USAGE, "option --ids: found %.*s, expected 0 to %lld (the vocabulary)", (int)(end - p), p,
                       (long long)n_vocab - 1);
    *id = (int32_t)v;
    *at = end;
    return true;
}

bool prompt_ids(const char *text, int64_t n_vocab, int32_t **ids, int64_t *n, err *e)
{
    const size_t most = strlen(text) / 2 + 1;           // an id takes a digit and what parts it from the next
    const char *p = past_spaces(text);
    *n = 0;
    *ids = malloc(most * sizeof **ids);
    if (!*ids) return err_nomem(e, "the prompt's ids", most * sizeof **ids);
    do {
        if (!one_id(&p, n_vocab, &(*ids)[*n], e)) return false;
        ++*n;
        const char *next = past_separator(p);
        if (*next == '\0' && *past_spaces(p) == '\0') return true;
        p = next;
    } while (true);
}
