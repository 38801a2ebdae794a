// outline_table: see outline_table.h.
#include "outline_table.h"
#include "answer.h"
#include "text_out.h"
#include <math.h>

static void put_size(table *t, const release_outline_row *r)
{
    char text[32];
    if (r->bytes == 0) table_cell(t, "%s", "not known before");
    else table_cell(t, "%s%s", r->searched ? "at most " : "", human_bytes(r->bytes, text));
}

static void put_fixtures(table *t, const release_outline_row *r)
{
    const bool misses = r->source == 0 || (r->lossy && r->own == 0);
    if (r->kept) table_cell(t, "%s", "");
    else if (r->lossy)
        table_cell(t, "%d %sof its weights, %d of the source%s", r->own, r->own_known ? "" : "perhaps ", r->source,
                   misses ? ": one is missing" : "");
    else table_cell(t, "%d of the source%s", r->source, misses ? ": it is missing" : "");
}

static bool print_rows(const release_outline *o)
{
    static const char *const header[] = { "artifact", "made by", ">size", "fixtures", ">tokens to run", NULL };
    const char *kept = o->fate == OUTLINE_UNVERIFIED ? "kept where it is" : "kept, proved again";
    table t;
    table_begin(&t, header);
    for (int i = 0; i < o->n; i++) {
        const release_outline_row *r = &o->v[i];
        table_cell(&t, "%s", r->name);
        table_cell(&t, "%s", r->kept ? kept : r->made_by);
        put_size(&t, r);
        put_fixtures(&t, r);
        table_cell(&t, "%lld", (long long)r->tokens);
    }
    return table_print(&t, stdout);
}

static bool any_searched(const release_outline *o)
{
    for (int i = 0; i < o->n; i++)
        if (o->v[i].searched) return true;
    return false;
}

static bool any_unknown(const release_outline *o)
{
    for (int i = 0; i < o->n; i++)
        if (!o->v[i].own_known) return true;
    return false;
}

static void print_time(const release_outline *o)
{
    const double s = o->seconds;
    const bool searched = any_searched(o), measures = o->measures && o->fate != OUTLINE_UNVERIFIED;
    printf("%s%lld tokens through %lld weights", any_unknown(o) ? "at most " : "", (long long)o->tokens,
           (long long)o->weights);
    if (isnan(s))      printf(": how long they take is not known before");
    else if (s < 60)   printf(": about %.0f s on this machine as busy as it is now", fmax(1, s));
    else if (s < 5400) printf(": about %.0f min on this machine as busy as it is now", s / 60);
    else               printf(": about %.1f h on this machine as busy as it is now", s / 3600);
    printf("; not counted: converting%s%s\n", searched ? ", the search of mixes" : "",
           measures ? ", measuring caches (--lab)" : "");
}

static void print_missing(const release_outline *o)
{
    if (!o->n_missing) return;
    printf("\nMissing: what Transformers says of this checkpoint. These commands make it; those with --weights once "
           "the release has made the file:\n");
    for (int i = 0; i < o->n_missing; i++) print_line(stdout, "    %s", o->missing[i]);
    putchar('\n');
}

static void print_fate(const release_outline *o)
{
    const char *how = o->signs ? "signed and " : "";
    if (o->fate == OUTLINE_UNVERIFIED)
        print_line(stdout, "Would not be published: a fixture is missing. What is made would be in %s if no "
                   "comparison fails, exit status 1; nothing was written", o->where);
    else if (o->fate == OUTLINE_UNKNOWN)
        print_line(stdout, "Would be %spublished in %s if all comparisons hold and the fixtures that may be of an "
                   "artifact's own weights are, which is known once it is made; else all would be in %s.unverified, "
                   "exit status 1, with the commands that make what is missing; nothing was written", how, o->where,
                   o->where);
    else
        print_line(stdout, "Would be %spublished in %s if all comparisons hold; nothing was written", how, o->where);
}

static void print_rest(const release_outline *o, const char *hf_dir)
{
    char bytes[32], room[32];
    print_line(stdout, "source: %s (digest %s)", hf_dir, o->source);
    for (int i = 0; i < o->n_files; i++)
        print_line(stdout, "file: %s%s", o->files[i].name,
                   o->files[i].perhaps ? " (if an artifact answers to it)" : "");
    printf("all artifacts together: %s", human_bytes(o->bytes, bytes));
    if (o->room >= 0) printf("; free there: %s", human_bytes(o->room, room));
    putchar('\n');
    print_time(o);
    print_missing(o);
    print_fate(o);
}

static void row_json(json_out *j, const release_outline_row *r)
{
    json_open(j, '{');
    json_key_cstr(j, "artifact", r->name);
    json_key_bool(j, "kept", r->kept);
    json_key_cstr(j, "made_by", r->made_by);
    json_key_int(j, "bytes", r->bytes);
    json_key_int(j, "fixtures_of_its_weights", r->own);
    json_key_bool(j, "is_known_of_its_weights", r->own_known);
    json_key_int(j, "fixtures_of_the_source", r->source);
    json_key_int(j, "tokens", r->tokens);
    json_close(j, '}');
}

static const char *const FATES[] = { "published", "published or unverified", "unverified" };

static void files_json(json_out *j, const release_outline *o, const char *key, bool perhaps)
{
    json_key_open(j, key, '[');
    for (int i = 0; i < o->n_files; i++)
        if (o->files[i].perhaps == perhaps) json_cstr(j, o->files[i].name);
    json_close(j, ']');
}

static void print_json(const release_outline *o)
{
    json_out j;
    json_begin(&j, answer_document());
    json_open(&j, '{');
    json_key_bool(&j, "dry_run", true);
    json_key_cstr(&j, "where", o->where);
    json_key_cstr(&j, "source_digest", o->source);
    json_key_cstr(&j, "would_be", FATES[o->fate]);
    json_key_bool(&j, "signed", o->signs && o->fate != OUTLINE_UNVERIFIED);
    json_key_bool(&j, "measures_caches", o->measures && o->fate != OUTLINE_UNVERIFIED);
    json_key_int(&j, "bytes", o->bytes);
    json_key_int(&j, "weights", o->weights);
    json_key_int(&j, "tokens", o->tokens);
    json_key_num(&j, "seconds", o->seconds, 3);
    json_key_open(&j, "artifacts", '[');
    for (int i = 0; i < o->n; i++) row_json(&j, &o->v[i]);
    json_close(&j, ']');
    files_json(&j, o, "files", false);
    files_json(&j, o, "files_perhaps", true);
    json_key_open(&j, "missing", '[');
    for (int i = 0; i < o->n_missing; i++) json_cstr(&j, o->missing[i]);
    json_close(&j, ']');
    json_close(&j, '}');
}

bool outline_print(const release_outline *o, const char *hf_dir, err *e)
{
    if (answer_is_json()) {
        print_json(o);
        return true;
    }
    if (!print_rows(o)) return err_nomem(e, "the table", 0);
    print_rest(o, hf_dir);
    return true;
}
