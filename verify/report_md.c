// Reports as Markdown, for a model card: one table, then what deserves a sentence.
#include "verify.h"
#include "recipe.h"
#include "../formats/figures.h"
#include "../formats/text.h"
#include <math.h>
#include <string.h>

static void put_text(text_buf *t, const char *s) { text_puts(t, TEXT_MD, s); }

static void put_named(text_buf *t, const char *words, const char *s)
{
    text_words(t, words);
    put_text(t, s);
}

static void put_code(text_buf *t, const char *words, const char *s)
{
    text_words(t, words);
    text_puts(t, TEXT_MD_CODE, s);
}

// A server that gives text only gives no distribution.
static bool sees_distance(const verify_report *r) { return !r->remote.api[0] || r->remote.ids_seen; }

static void put_row(text_buf *t, const verify_report *r, const verify_fixture_result *f)
{
    text_words(t, "| ");
    put_text(t, r->artifact);
    text_words(t, " | ");
    put_text(t, r->type);
    text_words(t, " | ");
    if (r->remote.api[0]) text_words(t, "-");       // a server's file is not seen
    else                  figure_put_size(t, r->file_bytes);
    text_words(t, " | ");
    put_text(t, r->kv);
    text_words(t, strcmp(r->kv, r->kv_required) == 0 ? " | " : " (not what it requires) | ");
    if (isnan(r->attention_scale)) text_words(t, "- | ");
    else                           text_printf(t, "%.6g | ", (double)r->attention_scale);
    if (!f) {
        text_printf(t, "none | - | - | - | %s |\n",
                    r->derivation.made && !r->derivation.passed ? "fail" : "not verified");
        return;
    }
    put_text(t, f->name);
    text_words(t, ", ");
    put_text(t, f->dtype);
    text_printf(t, ", %s | ", f->kind == CHECK_EXACT ? "exact" : "drift");
    char part[VERIFY_PART];
    verify_part_words(f, part);
    if (!f->ran) { text_printf(t, "not run | - | - | %s%s |\n", verify_fixture_verdict(f), part); return; }
    text_printf(t, "%lld of %lld (%lld of %lld prompts whole", (long long)f->free_run_tokens_equal,
                (long long)f->free_run_tokens,
        (long long)f->free_run_equal, (long long)f->cases);
    if (f->free_run_ties > 0)
        text_printf(t, ", %lld ended at a tie, limit %.1f", (long long)f->free_run_ties, f->free_run_ties_limit);
    text_printf(t, ") | %lld of %lld", (long long)f->teacher_forced_equal, (long long)f->steps);
    if (f->ties_differing > 0) text_printf(t, " (%lld at ties)", (long long)f->ties_differing);
    if (isfinite(f->kl_mean))  text_printf(t, " | %.3g", f->kl_mean);
    else if (r->remote.api[0]) text_words(t, " | not seen");
    else                       text_words(t, verify_distance_was_left_out(f) ? " | not taken" : " | not finite");
    text_printf(t, " | %s%s |\n", verify_fixture_verdict(f), part);
}

static void put_derivation(text_buf *t, const verify_report *r)
{
    const verify_derivation *d = &r->derivation;
    if (!d->made) return;
    text_words(t, d->passed ? "- " : "- Failure, ");
    put_text(t, r->artifact);
    if (!d->passed) {
        text_words(t, ", derivation: ");
        put_text(t, d->reason);
        text_words(t, "\n");
        return;
    }
    text_printf(t, ": each of its %lld tensors was encoded again from the source: the same bytes",
                (long long)d->tensors);
    if (d->encoded > 0) {
        text_printf(t, "; decoded, the %lld that are blocks are within %.3g of their source, ", (long long)d->encoded,
                    d->error_max);
        put_text(t, d->error_tensor);
        text_words(t, " the farthest");
    }
    text_words(t, ".\n");
}

// What the fixture says of its making; nothing of a record that is older than that.
static void put_reference(text_buf *t, const verify_reference *x, const verify_fixture_result *f)
{
    if (!x->prompts[0]) return;
    text_words(t, " Its reference: ");
    put_text(t, x->model);
    if (x->revision[0]) put_code(t, ", commit ", x->revision);
    put_named(t, ", by Transformers ", x->transformers);
    put_named(t, " and torch ", x->torch);
    put_named(t, " in ", f->dtype);
    put_named(t, " on ", x->device);
    put_named(t, ", attention ", x->attention);
    if (x->experts[0]) put_named(t, ", experts ", x->experts);
    if (x->linear_attention[0]) put_named(t, ", linear attention ", x->linear_attention);
    const int64_t prompts = f->cases_held > 0 ? f->cases_held : f->cases;
    text_printf(t, "; %lld prompts, %lld tokens of each", (long long)prompts, (long long)x->tokens);
    put_code(t, ", the prompts' SHA-256 ", x->prompts);
    text_words(t, ".");
}

// By what it was judged and made; nothing of a record that is older than that.
static void put_making(text_buf *t, const verify_report *r)
{
    if (!r->program.version[0]) return;
    put_named(t, "- ", r->artifact);
    put_named(t, ": judged by hallmark ", r->program.version);
    put_code(t, ", commit ", r->program.commit);
    put_named(t, ", on ", r->device);
    put_named(t, " (", r->processor);
    put_named(t, "); gate ", r->judged_by.name);
    put_code(t, ", SHA-256 ", r->judged_by.sha256);
    if (r->file_sha256[0]) put_code(t, "; the whole file's SHA-256 ", r->file_sha256);
    if (r->source.digest[0]) put_code(t, "; source digest ", r->source.digest);
    if (r->source.repository[0]) put_named(t, ", of ", r->source.repository);
    if (r->source.revision[0]) put_code(t, ", commit ", r->source.revision);
    text_words(t, ".\n");
}

static void put_measures(text_buf *t, const verify_report *r)
{
    for (int64_t i = 0; i < r->n_fixtures; i++) {
        const verify_fixture_result *f = &r->fixtures[i];
        if (!f->ran) continue;
        text_words(t, "- ");
        put_text(t, r->artifact);
        text_words(t, " against ");
        put_text(t, f->name);
        if (!sees_distance(r) || isnan(f->kl_mean)) text_words(t, ": no distance was seen");
        else
            text_printf(t, ": mean KL %.3g (limit %.3g), largest %.3g; largest log-probability difference %.3g",
                        f->kl_mean, f->kl_limit, f->kl_max, f->logprob_diff_max);
        if (isfinite(f->logprob_limit)) text_printf(t, " (limit %.3g)", f->logprob_limit);
        if (f->kind == CHECK_EXACT)
            text_printf(t,
                        "; %lld of %lld steps are left open by the reference itself, %lld of them differ (limit %.1f)",
                        (long long)f->ties, (long long)f->steps, (long long)f->ties_differing, f->ties_limit);
        else {
            text_printf(t, "; agreement asked for: %.1f %% (budget of ", 100 * f->top1_limit);
            put_text(t, f->budget);
            text_words(t, ")");
            if (isfinite(f->rounding_kl_mean))
                text_printf(t, "; rounding its weights once more costs a mean KL of %.3g, %lld of %lld steps stay",
                            f->rounding_kl_mean, (long long)f->rounding_top1_equal, (long long)f->steps);
        }
        text_words(t, ". Fixture SHA-256 ");
        text_puts(t, TEXT_MD_CODE, f->file_digest);
        text_words(t, ".");
        put_reference(t, &f->reference, f);
        text_words(t, "\n");
    }
}

static void put_remote(text_buf *t, const verify_report *r)
{
    const verify_remote_info *m = &r->remote;
    if (!m->api[0]) return;
    text_words(t, "- ");
    put_text(t, r->artifact);
    text_printf(t, ": a server with the API of %s, asked %lld questions; by its own words its version is ", m->api,
                (long long)m->questions);
    put_text(t, m->server[0] ? m->server : "unsaid");
    text_words(t, " and its model ");
    put_text(t, m->model[0] ? m->model : "unsaid");
    text_words(t, ".\n");
}

static void put_finding(text_buf *t, const char *kind, const verify_report *r, const char *what, const char *sentence)
{
    put_named(t, kind, r->artifact);
    put_named(t, ", ", what);
    put_named(t, ": ", sentence);
    text_words(t, "\n");
}

static void put_findings(text_buf *t, const verify_report *r)
{
    if (r->gate[0] && strcmp(r->gate, "built-in") != 0) {
        text_words(t, "- Note, ");
        put_text(t, r->artifact);
        text_words(t, ": judged by limits other than the built-in ones, SHA-256 ");
        text_puts(t, TEXT_MD_CODE, r->gate);
        text_words(t, ".\n");
    }
    for (int64_t i = 0; i < r->n_notes; i++) {
        text_words(t, "- Note, ");
        put_text(t, r->artifact);
        text_words(t, ": ");
        put_text(t, r->notes[i]);
        text_words(t, "\n");
    }
    for (int64_t i = 0; i < r->n_fixtures; i++) {
        const verify_fixture_result *f = &r->fixtures[i];
        for (int64_t j = 0; j < f->n_why; j++) put_finding(t, "- Inconclusive, ", r, f->why[j].what, f->why[j].text);
        for (int64_t j = 0; j < f->n_failures; j++)
            put_finding(t, "- Failure, ", r, f->failures[j].what, f->failures[j].text);
        if (f->failures_total > f->n_failures)
            text_printf(t, "- ... and %lld more failures\n", (long long)(f->failures_total - f->n_failures));
    }
}

char *verify_report_md(const verify_report *const *r, int n)
{
    text_buf t = { 0 };
    text_words(&t, "| artifact | type | size | KV cache | attention scale | fixture | free-run tokens equal "
                   "| teacher-forced agreement | mean KL | verdict |\n"
                   "|---|---|---|---|---|---|---|---|---|---|\n");
    for (int i = 0; i < n; i++) {
        if (r[i]->n_fixtures == 0) put_row(&t, r[i], NULL);
        for (int64_t j = 0; j < r[i]->n_fixtures; j++) put_row(&t, r[i], &r[i]->fixtures[j]);
    }
    text_words(&t, "\n");
    for (int i = 0; i < n; i++) verify_recipe_put(&t, r[i]->artifact, &r[i]->recipe);
    for (int i = 0; i < n; i++) put_derivation(&t, r[i]);
    for (int i = 0; i < n; i++) put_remote(&t, r[i]);
    for (int i = 0; i < n; i++) put_measures(&t, r[i]);
    for (int i = 0; i < n; i++) put_making(&t, r[i]);
    for (int i = 0; i < n; i++) put_findings(&t, r[i]);
    return text_take(&t);
}
