// choice: see choice.h.
#include "choice.h"

#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- names, for messages -------------------------------------------------------------------------------------------

// Adds text to a list of names, with a comma; false: there is no room left for it.
static bool list_add(char *list, size_t room, const char *text)
{
    const size_t n = strlen(list);
    if (n + strlen(text) + 3 > room) return false;
    snprintf(list + n, room - n, "%s%s", n ? ", " : "", text);
    return true;
}

// The name of a tensor of any layer: blk.N.ffn_up.weight.
static void kind_of(char *kind, size_t room, const char *name)
{
    int layer, used = 0;
    if (sscanf(name, "blk.%d.%n", &layer, &used) == 1 && used > 0) snprintf(kind, room, "blk.N.%s", name + used);
    else                                                           snprintf(kind, room, "%s", name);
}

static int by_text(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

// The kinds of tensors whose type an option may choose, each once, as far as there is room.
static void list_choosable(char *list, size_t room, const policy_tensor *t, int64_t n)
{
    enum { KIND_BYTES = 128 };
    char  *text  = malloc((size_t)(n + 1) * KIND_BYTES);
    char **kinds = malloc((size_t)(n + 1) * sizeof *kinds);
    int64_t k = 0;
    list[0] = '\0';
    for (int64_t i = 0; text && kinds && i < n; i++) {
        if (!policy_may_change(&t[i])) continue;
        kinds[k] = text + k * KIND_BYTES;
        kind_of(kinds[k++], KIND_BYTES, t[i].name);
    }
    if (k > 1) qsort(kinds, (size_t)k, sizeof *kinds, by_text);
    for (int64_t i = 0; i < k; i++)
        if ((i == 0 || strcmp(kinds[i], kinds[i - 1]) != 0) && !list_add(list, room, kinds[i])) break;
    free(kinds);
    free(text);
}

// ---- options that decide nothing -----------------------------------------------------------------------------------

typedef struct { int64_t fixed, choosable; const char *first_fixed, *first_choosable; } matches;

// The names that hold the pattern. It was compiled before, so it can be.
static bool count_matches(matches *m, const char *pattern, const policy_tensor *t, int64_t n, err *e)
{
    regex_t r;
    *m = (matches){ 0 };
    if (regcomp(&r, pattern, REG_EXTENDED | REG_NOSUB) != 0)
        return err_set(e, ERR_USAGE, "tensor pattern '%s': cannot be read", pattern);
    for (int64_t i = 0; i < n; i++) {
        if (regexec(&r, t[i].name, 0, NULL, 0) != 0) continue;
        if (policy_may_change(&t[i])) {
            if (m->choosable++ == 0) m->first_choosable = t[i].name;
        } else if (m->fixed++ == 0) {
            m->first_fixed = t[i].name;
        }
    }
    regfree(&r);
    return true;
}

static bool refuse_rule(const type_rule *r, const policy_tensor *t, int64_t n, err *e)
{
    matches m;
    char could[600];
    const char *type = dtype_name(r->type);
    if (!count_matches(&m, r->pattern, t, n, e)) return false;
    list_choosable(could, sizeof could, t, n);
    if (m.choosable > 0)
        return err_set(e, ERR_USAGE,
                       "--tensor-type '%s=%s' decides nothing: tensor '%s' and all others that it names are decided "
                       "by another option (the first --tensor-type that matches, --embedding-type, --output-type)",
                       r->pattern, type, m.first_choosable);
    if (m.fixed > 0)
        return err_set(e, ERR_USAGE,
                       "--tensor-type '%s=%s' names only tensors whose type is fixed ('%s'); it could name: %s",
                       r->pattern, type, m.first_fixed, could);
    return err_set(e, ERR_USAGE, "--tensor-type '%s=%s' names no tensor; it could name: %s", r->pattern, type, could);
}

static bool all_obeyed(const choice_opts *o, const policy_told *told, const policy_tensor *t, int64_t n, err *e)
{
    const policy_overrides *v = o->model->overrides;
    for (int i = 0; v && i < v->n_rules; i++)
        if (told->decided[i] == 0) return refuse_rule(&v->rules[i], t, n, e);
    if (!v || v->output == DT_INVALID || told->output > 0) return true;
    if (v->embedding == DT_INVALID)
        return err_set(e, ERR_USAGE, "--output-type %s decides nothing: the output matrix is tied to the embedding, "
                       "whose type %s decides; --embedding-type names it", dtype_name(v->output),
                       v->pure ? "--pure" : "a --tensor-type");
    // Both are often given together, whatever the model: the embedding's own option goes first where they are one
    // matrix.
    progress_logf(o->log, "warning: --output-type %s decides nothing: the output matrix is tied to the embedding, "
                  "which --embedding-type makes %s", dtype_name(v->output), dtype_name(v->embedding));
    return true;
}

// ---- blocks that do not fit ----------------------------------------------------------------------------------------

enum { MAX_PAIRS = 64 };
typedef struct { dtype wanted, to; int64_t n; } fallback;

static void count_fallback(fallback *list, int *n, dtype wanted, dtype to)
{
    for (int i = 0; i < *n; i++)
        if (list[i].wanted == wanted && list[i].to == to) { list[i].n++; return; }
    if (*n < MAX_PAIRS) list[(*n)++] = (fallback){ wanted, to, 1 };
}

static bool tell_fallbacks(const choice_opts *o, const policy_tensor *t, int64_t n, const dtype *types,
                           const dtype *wanted, err *e)
{
    fallback list[MAX_PAIRS];
    int64_t  first = -1, count = 0, choosable = 0;
    int      n_list = 0;
    char     text[500] = "";
    for (int64_t i = 0; i < n; i++) {
        choosable += policy_may_change(&t[i]);
        if (types[i] == wanted[i]) continue;
        if (count++ == 0) first = i;
        count_fallback(list, &n_list, wanted[i], types[i]);
    }
    if (count == 0) return true;
    for (int i = 0; i < n_list; i++) {
        char one[64];
        snprintf(one, sizeof one, "%lld %s instead of %s", (long long)list[i].n, dtype_name(list[i].to),
                 dtype_name(list[i].wanted));
        if (!list_add(text, sizeof text, one)) break;
    }
    const char *label = file_type_of(o->type)->label;
    if (o->strict)
        return err_set(e, ERR_USAGE,
                       "--strict-types: %lld of %lld matrices cannot be what %s gives them (%s); the first is '%s', "
                       "with rows of %lld",
                       (long long)count, (long long)choosable, label, text, t[first].name,
                       (long long)t[first].shape[t[first].n_dims - 1]);
    progress_logf(o->log,
                  "warning: %lld of %lld matrices have rows that no block of their %s type fits, and take another: %s "
                  "(--dry-run lists them, --strict-types refuses)",
                  (long long)count, (long long)choosable, label, text);
    return true;
}

bool choice_make(const choice_opts *o, const policy_tensor *t, int64_t n, dtype *types, dtype *wanted, err *e)
{
    const int n_rules = o->model->overrides ? o->model->overrides->n_rules : 0;
    policy_told told = { .wanted = wanted, .decided = calloc((size_t)n_rules + 1, sizeof *told.decided) };
    if (!told.decided) return err_nomem(e, "the rules", (size_t)n_rules * sizeof *told.decided);
    const bool ok = policy_choose_telling(o->type, o->model, t, n, types, &told, e) && all_obeyed(o, &told, t, n, e) &&
                    tell_fallbacks(o, t, n, types, wanted, e);
    free(told.decided);
    return ok;
}
