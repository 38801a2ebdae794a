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
    if (r->kept) table_cell(t, "%s", "");
    else if (r->lossy)
        table_cell(t, "%d of its type, %d of the source%s", r->own, r->source,
                   r->own && r->source ? "" : ": one is missing");
    else table_cell(t, "%d of the source%s", r->source, r->source ? "" : ": it is missing");
}

static bool print_rows(const release_outline *o)
{
    static const char *const header[] = { "artifact", "made by", ">size", "fixtures", ">tokens to run", NULL };
    table t;
    table_begin(&t, header);
    for (int i = 0; i < o->n; i++) {
        const release_outline_row *r = &o->v[i];
        table_cell(&t, "%s", r->name);
        table_cell(&t, "%s", r->kept ? "kept, proved again" : r->made_by);
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

static void print_time(const release_outline *o)
{
    const double s = o->seconds;
    printf("%lld tokens through %lld weights", (long long)o->tokens, (long long)o->weights);
    if (isnan(s))      printf(": how long they take is not known before");
    else if (s < 60)   printf(": about %.0f s on this machine as busy as it is now", fmax(1, s));
    else if (s < 5400) printf(": about %.0f min on this machine as busy as it is now", s / 60);
    else               printf(": about %.1f h on this machine as busy as it is now", s / 3600);
    printf("; converting%s is not counted\n", any_searched(o) ? " and the search of mixes" : "");
}

static void print_rest(const release_outline *o, const char *hf_dir)
{
    char bytes[32], room[32];
    print_line(stdout, "source: %s (digest %s)", hf_dir, o->source);
    for (int i = 0; i < o->n_files; i++) print_line(stdout, "file: %s", o->files[i]);
    printf("all artifacts together: %s", human_bytes(o->bytes, bytes));
    if (o->room >= 0) printf("; free there: %s", human_bytes(o->room, room));
    putchar('\n');
    print_time(o);
    print_line(stdout, "Would be %spublished in %s; nothing was written", o->signs ? "signed and " : "", o->where);
}

static void row_json(json_out *j, const release_outline_row *r)
{
    json_open(j, '{');
    json_key_cstr(j, "artifact", r->name);
    json_key_bool(j, "kept", r->kept);
    json_key_cstr(j, "made_by", r->made_by);
    json_key_int(j, "bytes", r->bytes);
    json_key_int(j, "fixtures_of_its_type", r->own);
    json_key_int(j, "fixtures_of_the_source", r->source);
    json_key_int(j, "tokens", r->tokens);
    json_close(j, '}');
}

static void print_json(const release_outline *o)
{
    json_out j;
    json_begin(&j, answer_document());
    json_open(&j, '{');
    json_key_bool(&j, "dry_run", true);
    json_key_cstr(&j, "where", o->where);
    json_key_cstr(&j, "source_digest", o->source);
    json_key_bool(&j, "signed", o->signs);
    json_key_int(&j, "bytes", o->bytes);
    json_key_int(&j, "weights", o->weights);
    json_key_int(&j, "tokens", o->tokens);
    json_key_num(&j, "seconds", o->seconds, 3);
    json_key_open(&j, "artifacts", '[');
    for (int i = 0; i < o->n; i++) row_json(&j, &o->v[i]);
    json_close(&j, ']');
    json_key_open(&j, "files", '[');
    for (int i = 0; i < o->n_files; i++) json_cstr(&j, o->files[i]);
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
