// options: the command line against a table of options.
#include "cli.h"
#include "foreign_options.h"
#include "foreign_types.h"
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const arith_choices[]  = { "f32", "bf16", NULL };
const char *const device_choices[] = { "auto", "cpu", "cuda", NULL };

enum { MAX_WORD = 32 };     // longer words are not compared: no name here is longer

static int min_int(int a, int b) { return a < b ? a : b; }

// Edit distance with swapped neighbours counted as one edit (optimal string alignment); both at most MAX_WORD long.
static int edit_distance(const char *a, const char *b)
{
    int d[MAX_WORD + 1][MAX_WORD + 1];
    int n = (int)strlen(a), m = (int)strlen(b);
    for (int i = 0; i <= n; i++) d[i][0] = i;
    for (int j = 0; j <= m; j++) d[0][j] = j;
    for (int i = 1; i <= n; i++)
        for (int j = 1; j <= m; j++) {
            int change = d[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            d[i][j] = min_int(change, min_int(d[i - 1][j], d[i][j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                d[i][j] = min_int(d[i][j], d[i - 2][j - 2] + 1);
        }
    return d[n][m];
}

static int max_int(int a, int b) { return a > b ? a : b; }

static const char *past_dashes(const char *word) { return word + strspn(word, "-"); }

// A slip of the finger: at most one letter in three is wrong, of the longer word; dashes are none.
static bool is_slip(const char *word, const char *name, int distance)
{
    return 3 * distance <= max_int((int)strlen(past_dashes(word)), (int)strlen(past_dashes(name)));
}

const char *nearest_name(const char *word, const char *const *names, int n)
{
    const char *best = NULL;
    int best_d = MAX_WORD;
    if (strlen(word) > MAX_WORD) return NULL;
    for (int i = 0; i < n; i++) {
        if (strlen(names[i]) > MAX_WORD) continue;
        // A word cut short is the likeliest slip of all.
        bool cut = strlen(word) >= 2 && strncmp(word, names[i], strlen(word)) == 0 && strcmp(word, "--") != 0;
        int d = cut ? 0 : edit_distance(word, names[i]);
        if (d < best_d) { best_d = d; best = names[i]; }
    }
    return best && is_slip(word, best, best_d) ? best : NULL;
}

// Does the command have what the other tool's option stands for?
static const opt *option_here(const command *c, const foreign_option *f)
{
    for (int i = 0; f && f->here && i < c->n_opts; i++)
        if (strcmp(c->opts[i].name, f->here) == 0) return &c->opts[i];
    return NULL;
}

static bool fail_unknown(const command *c, const char *word, err *e)
{
    const foreign_option *f = foreign_option_find(word);
    const opt *here = option_here(c, f);
    if (here)
        return err_set(e, ERR_USAGE, "unknown option '%s'; here it is '%s'", word,
                       here->letter ? here->letter : here->name);
    if (f && f->why) return err_set(e, ERR_USAGE, "unknown option '%s': %s", word, f->why);
    const char *names[64];
    int n = 0;
    names[n++] = "--help";
    for (int i = 0; i < c->n_opts && n < 64; i++) names[n++] = c->opts[i].name;
    const char *near = nearest_name(word, names, n);
    if (near) return err_set(e, ERR_USAGE, "unknown option '%s'; did you mean '%s'?", word, near);
    return err_set(e, ERR_USAGE, "unknown option '%s'", word);
}

// The option that `word` spells, up to an '=' that *value is then set after; NULL if there is none.
static const opt *find_opt(const command *c, const char *word, const char **value)
{
    *value = NULL;
    const char *eq = strncmp(word, "--", 2) == 0 ? strchr(word, '=') : NULL;
    size_t n = eq ? (size_t)(eq - word) : strlen(word);
    for (int i = 0; i < c->n_opts; i++) {
        const opt *o = &c->opts[i];
        bool same = strlen(o->name) == n && memcmp(o->name, word, n) == 0;
        if (!same && !eq && o->letter) same = strcmp(o->letter, word) == 0;
        if (!same) continue;
        if (eq) *value = eq + 1;
        return o;
    }
    return NULL;
}

static bool parse_int(const opt *o, const char *text, int64_t *out, err *e)
{
    char *end = NULL;
    errno = 0;
    long long v = strtoll(text, &end, 10);
    bool digits = text[0] == '-' ? text[1] >= '0' && text[1] <= '9' : text[0] >= '0' && text[0] <= '9';
    if (!digits || *end != '\0')
        return err_set(e, ERR_USAGE, "option %s: found '%s', expected a whole number", o->name, text);
    if (errno == ERANGE || v < o->lo || v > o->hi)
        return err_set(e, ERR_USAGE, "option %s: found %s, expected %lld to %lld", o->name, text,
                       (long long)o->lo, (long long)o->hi);
    *out = v;
    return true;
}

static bool parse_choice(const opt *o, const char *text, const char **out, err *e)
{
    char all[256] = "";
    int n = 0;
    for (; o->choices[n]; n++) {
        if (strcmp(o->choices[n], text) == 0) { *out = o->choices[n]; return true; }
        snprintf(all + strlen(all), sizeof all - strlen(all), "%s%s", n ? ", " : "", o->choices[n]);
    }
    const char *near = nearest_name(text, o->choices, n);
    if (near)
        return err_set(e, ERR_USAGE, "option %s: found '%s', expected one of %s; did you mean '%s'?", o->name, text,
                       all, near);
    return err_set(e, ERR_USAGE, "option %s: found '%s', expected one of %s", o->name, text, all);
}

static bool list_add(text_list *l, const char *text, int capacity, err *e)
{
    if (!l->v) l->v = calloc((size_t)capacity, sizeof *l->v);
    if (!l->v) return err_nomem(e, "the command line", (size_t)capacity * sizeof *l->v);
    l->v[l->n++] = text;
    return true;
}

static bool set_value(const opt *o, const char *text, char *options, int argc, bool again, err *e)
{
    void *field = options + o->offset;
    if (again && o->kind != OPT_PATHS && o->kind != OPT_FLAG)
        return err_set(e, ERR_USAGE, "option %s is given twice", o->name);
    if ((o->kind == OPT_PATH || o->kind == OPT_PATHS || o->kind == OPT_OUTPUT) && text[0] == '\0')
        return err_set(e, ERR_USAGE, "option %s: the value is empty", o->name);
    if (o->kind == OPT_OUTPUT && strcmp(text, "-") == 0)
        return err_set(e, ERR_USAGE,
                       "option %s: found '-', expected a name: the output is not written in order, so it cannot be a "
                       "pipe (a file called so: ./-)",
                       o->name);
    switch (o->kind) {
    case OPT_FLAG:   *(bool *)field = true; return true;
    case OPT_TEXT:
    case OPT_OUTPUT:
    case OPT_PATH:   *(const char **)field = text; return true;
    case OPT_PATHS:  return list_add(field, text, argc, e);
    case OPT_INT:    return parse_int(o, text, field, e);
    case OPT_GIVEN_INT: ((given_int *)field)->given = true; return parse_int(o, text, &((given_int *)field)->v, e);
    case OPT_CHOICE: return parse_choice(o, text, field, e);
    }
    return false;
}

// Parses the option at argv[*i] and, if it takes one from there, its value.
static bool parse_one(const command *c, int argc, char **argv, int *i, char *options, bool *seen, err *e)
{
    const char *word = argv[*i], *value;
    const opt *o = find_opt(c, word, &value);
    if (!o) return fail_unknown(c, word, e);
    if (o->kind == OPT_FLAG) {
        if (value) return err_set(e, ERR_USAGE, "option %s takes no value (found '%s')", o->name, value);
    } else if (!value) {
        if (*i + 1 >= argc) return err_set(e, ERR_USAGE, "option %s needs a value: %s %s", o->name, o->name, o->arg);
        value = argv[++*i];
    }
    bool again = seen[o - c->opts];
    seen[o - c->opts] = true;
    return set_value(o, value, options, argc, again, e);
}

static bool check_complete(const command *c, const text_list *args, const bool *seen, err *e)
{
    if (args->n < c->min_args)
        return err_set(e, ERR_USAGE, "an argument is missing: hallmark %s %.*s", c->name,
                       (int)strcspn(c->synopsis, "\n"), c->synopsis);
    if (c->max_args >= 0 && args->n > c->max_args)
        return err_set(e, ERR_USAGE, "unexpected argument '%s'", args->v[c->max_args]);
    for (int i = 0; i < args->n; i++)
        if (args->v[i][0] == '\0') return err_set(e, ERR_USAGE, "an argument is empty");
    for (int i = 0; i < c->n_opts; i++)
        if (c->opts[i].required && !seen[i])
            return err_set(e, ERR_USAGE, "option %s %s is missing",
                           c->opts[i].letter ? c->opts[i].letter : c->opts[i].name, c->opts[i].arg);
    return true;
}

bool options_parse(const command *c, int argc, char **argv, void *options, text_list *args, bool *help, err *e)
{
    bool seen[64] = { false }, rest = false;
    *help = false;
    for (int i = 0; i < argc; i++) {
        const char *word = argv[i];
        if (!rest && strcmp(word, "--") == 0) { rest = true; continue; }
        if (rest || word[0] != '-' || word[1] == '\0') {
            if (!list_add(args, word, argc, e)) return false;
        } else if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
            *help = true;
            return true;
        } else if (!parse_one(c, argc, argv, &i, options, seen, e)) {
            return false;
        }
    }
    return check_complete(c, args, seen, e);
}

void options_free(const command *c, void *options, text_list *args)
{
    for (int i = 0; i < c->n_opts; i++)
        if (c->opts[i].kind == OPT_PATHS) free(((text_list *)(void *)((char *)options + c->opts[i].offset))->v);
    free(args->v);
    args->v = NULL;
    args->n = 0;
}

// A type's name as it is said: small letters and digits alone, so that Q4KM, q4-k-m and q4_k_m are one. "" when it is
// longer than any name here.
static const char *squeeze(char out[MAX_WORD + 1], const char *name)
{
    size_t n = 0;
    for (; *name; name++) {
        if (!isalnum((unsigned char)*name)) continue;
        if (n == MAX_WORD) return strcpy(out, "");
        out[n++] = (char)tolower((unsigned char)*name);
    }
    out[n] = '\0';
    return out;
}

const char *nearest_type(const char *word, const char *const *names, int n)
{
    char said[MAX_WORD + 1], mixed[MAX_WORD + 2], forms[64][MAX_WORD + 1];
    const char *form[64];
    if (n > 64) n = 64;
    for (int i = 0; i < n; i++) form[i] = squeeze(forms[i], names[i]);
    snprintf(mixed, sizeof mixed, "%sm", squeeze(said, word));     // q4_k: llama-quantize takes it for q4_k_m
    for (int k = 0; said[0] && k < 2; k++)
        for (int i = 0; i < n; i++)
            if (strcmp(k ? mixed : said, form[i]) == 0) return names[i];
    const char *near = said[0] ? nearest_name(said, form, n) : NULL;
    for (int i = 0; near && i < n; i++)
        if (form[i] == near) return names[i];
    return NULL;
}

const foreign_type *foreign_type_said(const char *name)
{
    char said[MAX_WORD + 1];
    return foreign_type_find(squeeze(said, name));
}

const file_type_info *file_type_arg(const char *name, err *e)
{
    const char *names[64];
    char all[512] = "";
    int n = 0, count = 0;
    const file_type_info *t = file_type_find(name), *table = file_type_table(&n);
    if (t) return t;
    for (int i = 0; i < n && count < 64; i++) {
        names[count++] = table[i].name;
        snprintf(all + strlen(all), sizeof all - strlen(all), "%s%s", i ? " " : "", table[i].name);
    }
    const foreign_type *known = foreign_type_said(name);
    const char *near = nearest_type(name, names, count);
    if (known)
        err_set(e, ERR_USAGE, "type '%s' is known (%s), and hallmark does not write it; nearest in size: '%s'. "
                "Types: %s", name, known->what, known->near, all);
    else if (near) err_set(e, ERR_USAGE, "unknown type '%s'; did you mean '%s'? Types: %s", name, near, all);
    else           err_set(e, ERR_USAGE, "unknown type '%s'. Types: %s", name, all);
    return NULL;
}
