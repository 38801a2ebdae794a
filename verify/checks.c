// checks: see checks.h.
#include "checks.h"
#include "compare.h"
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *look_word(look_state s)
{
    static const char *const words[] = { "held", "did not hold", "open", "not made" };
    return words[s];
}

bool look_is_of(const look *row, const verify_failure *x)
{
    return strcmp(row->what, x->what) == 0 && (!row->case_id[0] || strcmp(row->case_id, x->case_id) == 0);
}

void looks_free(looks *l)
{
    free(l->v);
    *l = (looks){ 0 };
}

// NULL when out of memory.
static look *add(looks *l, const char *what, const char *title, look_state state)
{
    if (l->n == l->room && !l->failed) {
        const int64_t room = 2 * l->room + 16;
        look *grown = realloc(l->v, (size_t)room * sizeof *grown);
        l->failed = !grown;
        if (grown) l->v = grown;
        if (grown) l->room = room;
    }
    if (l->failed) return NULL;
    look *row = &l->v[l->n++];
    *row = (look){ .what = what, .title = title, .against = "", .state = state };
    return row;
}

static void say(look *row, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void say(look *row, const char *fmt, ...)
{
    va_list ap;
    if (!row) return;
    va_start(ap, fmt);
    vsnprintf(row->text, sizeof row->text, fmt, ap);
    va_end(ap);
}

// ---- the artifact ---------------------------------------------------------------------------------------------------

static void add_derivation(looks *l, const verify_derivation *d)
{
    if (!d->made) return;
    look *row = add(l, "derivation", "tensors are what the source gives", d->passed ? LOOK_HELD : LOOK_BROKE);
    if (!d->passed)
        say(row, "%s", d->reason);
    else if (d->encoded > 0)
        say(row, "each of its %lld tensors was encoded again from the source: the same bytes; the %lld of blocks are "
                 "within %.3g of it, %s the farthest",
            (long long)d->tensors, (long long)d->encoded, d->error_max, d->error_tensor);
    else
        say(row, "each of its %lld tensors was encoded again from the source: the same bytes", (long long)d->tensors);
}

void looks_add_artifact(looks *l, const verify_report *r)
{
    const bool lacks = r->incomplete || r->n_fixtures == 0;
    add_derivation(l, &r->derivation);
    look *row = add(l, "fixtures", "fixtures to be compared with", lacks ? LOOK_OPEN : LOOK_HELD);
    if (!lacks)                  say(row, "compared with %lld", (long long)r->n_fixtures);
    else if (r->n_fixtures == 0) say(row, "it was compared with no fixture: nothing was run");
    else                         say(row, "a fixture that this type answers to is missing");
}

// ---- before a run ---------------------------------------------------------------------------------------------------

// A check of the whole fixture that leaves nothing but a failure: without one it held.
static bool add_plain(looks *l, const verify_fixture_result *f, const char *what, const char *title, const char *held)
{
    const verify_failure *x = result_failure(f, what);
    say(add(l, what, title, x ? LOOK_BROKE : LOOK_HELD), "%s", x ? x->text : held);
    return x == NULL;
}

static void add_not_made(looks *l, const char *what, const char *title, const char *why)
{
    say(add(l, what, title, LOOK_NOT_MADE), "%s", why);
}

// What the file says of itself: its digests, its type, a record that is in it.
static void add_claims(looks *l, const verify_fixture_result *f)
{
    static const char *const whats[] = { "digest", "type", "record" };
    for (int i = 0; i < 3; i++)
        if (result_failure(f, whats[i])) {
            add_plain(l, f, whats[i], "what the file says of itself", "");
            return;
        }
    add_plain(l, f, "digest", "what the file says of itself",
              "what it says of digests, type and record agrees with its bytes");
}

// A fixture of another source is an unusable input, and in no report.
static void add_source(looks *l, const verify_report *r)
{
    static const char title[] = "the fixture is of this artifact";
    if (r->source.digest[0])
        say(add(l, "source", title, LOOK_HELD), "its digest of the source, or of the weights, is the artifact's");
    else
        add_not_made(l, "source", title, "the file does not say which source it was made from");
}

static look_state state_of(part_state s)
{
    return s == PART_BROKE ? LOOK_BROKE : s == PART_NOT_JUDGED ? LOOK_NOT_MADE : LOOK_HELD;
}

static look *add_case(looks *l, const char *what, const char *title, const verify_case *c, part_state s)
{
    look *row = add(l, what, title, state_of(s));
    if (row) snprintf(row->case_id, sizeof row->case_id, "%s", c->id);
    return row;
}

// The case's own failure, if it was kept: a fixture keeps so many.
static bool say_failure(look *row, const verify_fixture_result *f)
{
    for (int64_t i = 0; row && i < f->n_failures; i++) {
        if (!look_is_of(row, &f->failures[i])) continue;
        say(row, "%s", f->failures[i].text);
        return true;
    }
    return false;
}

static void add_tokenizer(looks *l, const verify_fixture_result *f)
{
    static const char title[] = "the prompt's ids";
    for (int64_t i = 0; i < f->n_traced; i++) {
        look *row = add_case(l, "tokenizer", title, &f->traced[i], f->traced[i].prompt_ids);
        if (!say_failure(row, f))
            say(row, f->traced[i].prompt_ids == PART_BROKE ? "they are not Transformers' own"
                                                           : "the tokenizer gives Transformers' ids");
    }
    if (f->n_traced == 0)
        add_plain(l, f, "tokenizer", title, "the tokenizer gives Transformers' ids for every prompt");
}

static void add_options(looks *l, const verify_report *r, const verify_fixture_result *f)
{
    char held[160];
    snprintf(held, sizeof held, "computed in %s, as the fixture (%s)", r->arith, f->dtype);
    add_plain(l, f, "arith", "arithmetic as the fixture's", held);
    snprintf(held, sizeof held, "the KV cache is %s, which the artifact requires", r->kv_required);
    add_plain(l, f, "kv", "KV cache as required", held);
}

// ---- a run ----------------------------------------------------------------------------------------------------------

static const verify_why *why_of(const verify_fixture_result *f, const char *what)
{
    for (int64_t i = 0; i < f->n_why; i++)
        if (strcmp(f->why[i].what, what) == 0) return &f->why[i];
    return NULL;
}

// What is asked of the fixture, not of the artifact: where it does not hold, nothing is known of the artifact.
static void add_open(looks *l, const verify_fixture_result *f, const char *what, const char *title, const char *held)
{
    const verify_why *w = why_of(f, what);
    if (w) say(add(l, what, title, LOOK_OPEN), "%s", w->text);
    else   add_plain(l, f, what, title, held);
}

static void add_fixture_is_a_measure(looks *l, const verify_fixture_result *f)
{
    char held[160];
    snprintf(held, sizeof held, "%lld cases, %lld steps", (long long)f->cases, (long long)f->steps);
    if (why_of(f, "part")) add_open(l, f, "part", "all cases of the fixture were asked", "");
    add_open(l, f, "minimum", "the fixture is long enough", held);
    add_open(l, f, "tokens", "the free run is as long as asked for", "each case has as many tokens");
    if (f->kind != CHECK_EXACT) return;
    snprintf(held, sizeof held, "from itself: mean KL %.3g, largest log-probability difference %.3g", f->self_kl_mean,
             f->self_logprob_diff_max);
    add_open(l, f, "reference", "the reference is near itself", held);
}

static void add_finite(looks *l, const verify_fixture_result *f)
{
    const verify_failure *x = result_failure(f, "finite");
    say(add(l, "finite", "logits are numbers", x ? LOOK_BROKE : LOOK_HELD), "%s", x ? x->text : "at every step");
}

static void add_free_case(looks *l, const verify_fixture_result *f, const verify_case *c)
{
    look *row = add_case(l, "free_run", "free run", c, c->free_run);
    const long long equal = c->free_equal;
    if (c->free_run != PART_BROKE)
        say(row, c->free_run == PART_TIE ? "%lld ids are equal; the next is at a tie of the reference's, where ours is "
                                           "among those near the top" : "%lld of %lld ids are equal",
            equal, f->cases > 0 ? (long long)(f->free_run_tokens / f->cases) : 0);
    else if (!say_failure(row, f))
        say(row, "%lld ids are equal, the next is not", equal);
}

static void add_forced_case(looks *l, const verify_fixture_result *f, const verify_case *c)
{
    look *row = add_case(l, "teacher_forced", "best id of each step", c, c->forced);
    int64_t equal = 0, ties = 0;
    for (int64_t i = 0; i < c->n_steps; i++) {
        equal += c->steps[i].state == PART_HELD;
        ties  += c->steps[i].state == PART_TIE;
    }
    if (c->forced != PART_BROKE || !say_failure(row, f))
        say(row, "%lld of %lld are equal; %lld are another at a tie of the reference's", (long long)equal,
            (long long)c->n_steps, (long long)ties);
}

static void add_tokens(looks *l, const verify_fixture_result *f)
{
    for (int64_t i = 0; i < f->n_traced; i++) add_free_case(l, f, &f->traced[i]);
    for (int64_t i = 0; i < f->n_traced; i++) add_forced_case(l, f, &f->traced[i]);
    if (f->n_traced > 0) return;
    const bool whole = f->free_run_equal + f->free_run_ties == f->cases;
    say(add(l, "free_run", "free run", whole ? LOOK_HELD : LOOK_BROKE),
        "%lld of %lld cases are equal, %lld end at a tie of the reference's", (long long)f->free_run_equal,
        (long long)f->cases, (long long)f->free_run_ties);
    const bool same = f->teacher_forced_equal + f->ties_differing == f->steps;
    say(add(l, "teacher_forced", "best id of each step", same ? LOOK_HELD : LOOK_BROKE),
        "%lld of %lld are equal, %lld are another at a tie of the reference's", (long long)f->teacher_forced_equal,
        (long long)f->steps, (long long)f->ties_differing);
}

// A limit of all cases together: beyond it a part of them leaves it open, which the result says.
static look_state within(const verify_fixture_result *f, const char *what, bool holds)
{
    return holds ? LOOK_HELD : why_of(f, what) && !result_failure(f, what) ? LOOK_OPEN : LOOK_BROKE;
}

static look_state at_most(double found, double limit) { return found <= limit ? LOOK_HELD : LOOK_BROKE; }

static void add_distances(looks *l, const verify_fixture_result *f)
{
    say(add(l, "distance", "mean KL", within(f, "distance", f->kl_mean <= f->kl_limit)),
        "found %.3g, the limit is %.3g", f->kl_mean, f->kl_limit);
    say(add(l, "logprob", "largest log-probability difference", at_most(f->logprob_diff_max, f->logprob_limit)),
        "found %.3g, the limit is %.3g", f->logprob_diff_max, f->logprob_limit);
}

static const char NO_LOGPROBS[] = "the server gives no log-probabilities";

static void add_exact(looks *l, const verify_report *r, const verify_fixture_result *f)
{
    add_tokens(l, f);
    const bool few = (double)f->ties_differing <= f->ties_limit && (double)f->free_run_ties <= f->free_run_ties_limit;
    say(add(l, "ties", "share of ties", within(f, "ties", few)),
        "the reference leaves %lld of %lld steps open, %lld of them differ, the limit is %.1f; the free run of %lld "
        "cases ends at a tie, the limit is %.1f",
        (long long)f->ties, (long long)f->steps, (long long)f->ties_differing, f->ties_limit,
        (long long)f->free_run_ties, f->free_run_ties_limit);
    if (r->remote.api[0] && !r->remote.ids_seen)
        add_not_made(l, "distance", "distances", "the server gives text, and no log-probabilities");
    else if (r->remote.api[0] && isnan(f->kl_mean)) add_not_made(l, "distance", "distances", NO_LOGPROBS);
    else if (verify_distance_was_left_out(f))
        add_not_made(l, "distance", "distances", "a rounding chooses the experts at each step of this part");
    else add_distances(l, f);
}

static void add_drift(looks *l, const verify_report *r, const verify_fixture_result *f)
{
    const double top1 = f->steps > 0 ? (double)f->teacher_forced_equal / (double)f->steps : 0;
    if (isnan(f->kl_limit)) {
        add_plain(l, f, "drift", "drift has a budget", "");
        return;
    }
    say(add(l, "drift", "drift: agreement with the source model", within(f, "drift", top1 >= f->top1_limit)),
        "%.2f %% of %lld steps have its best id, the budget of %s asks for %.2f %%", 100 * top1, (long long)f->steps,
        f->budget, 100 * f->top1_limit);
    if (r->remote.api[0] && isnan(f->kl_mean)) {
        add_not_made(l, "drift", "drift: mean KL from the source model", NO_LOGPROBS);
        return;
    }
    look *row = add(l, "drift", "drift: mean KL from the source model", within(f, "drift", f->kl_mean <= f->kl_limit));
    if (isfinite(f->rounding_kl_mean))
        say(row, "found %.3g, the budget of %s is %.3g; rounding its weights once more costs %.3g", f->kl_mean,
            f->budget, f->kl_limit, f->rounding_kl_mean);
    else
        say(row, "found %.3g, the budget of %s is %.3g", f->kl_mean, f->budget, f->kl_limit);
}

static void add_run(looks *l, const verify_report *r, const verify_fixture_result *f)
{
    add_fixture_is_a_measure(l, f);
    add_finite(l, f);
    if (f->kind == CHECK_EXACT) add_exact(l, r, f);
    else                        add_drift(l, r, f);
}

// Of a server nothing is seen but its answers.
static void add_answers(looks *l, const verify_report *r, const verify_fixture_result *f)
{
    static const char why[] = "not seen through a server";
    add_not_made(l, "source", "weights of the fixture's source", why);
    add_not_made(l, "arith", "arithmetic as the fixture's", why);
    add_not_made(l, "kv", "KV cache as required", why);
    add_plain(l, f, "metadata", "ids of the fixture within the vocabulary", "all are");
    if (r->remote.ids_seen) add_not_made(l, "tokenizer", "the tokenizer's ids", "the server is given ids");
    else add_plain(l, f, "tokenizer", "the prompts' ids by the tokenizer that was named", "they are Transformers'");
    if (r->remote.ids_seen)
        add_plain(l, f, "vocabulary", "ids of the answers within the fixture's vocabulary", "all are");
    add_open(l, f, "seen", "enough in the answers to compare", "as much as the gate asks of a fixture");
    if (f->ran) add_run(l, r, f);
}

static void add_fixture(looks *l, const verify_report *r, const verify_fixture_result *f)
{
    static const char run[] = "the run and what it is compared by";
    if (r->remote.api[0]) {
        add_answers(l, r, f);
        return;
    }
    add_source(l, r);
    add_claims(l, f);
    if (!add_plain(l, f, "metadata", "metadata against the source's config", "every key agrees")) {
        add_not_made(l, "run", run, "the metadata are not the source's: what follows from that would bury it");
        return;
    }
    add_tokenizer(l, f);
    add_options(l, r, f);
    if (f->ran) add_run(l, r, f);
    else        add_not_made(l, "run", run, "what was found before it stands against it");
}

// Rows follow the order of a verification; a failure that none of them tells of, and a verdict that none bears out,
// is a row all the same: no list of what held may hide it.
static bool is_told(const looks *l, int64_t from, const verify_failure *x)
{
    for (int64_t i = from; i < l->n; i++)
        if (l->v[i].state == LOOK_BROKE && look_is_of(&l->v[i], x)) return true;
    return false;
}

static void add_untold(looks *l, int64_t from, const verify_fixture_result *f)
{
    bool told = f->passed;
    for (int64_t i = 0; i < f->n_failures; i++) {
        const verify_failure *x = &f->failures[i];
        if (is_told(l, from, x)) continue;
        look *row = add(l, x->what, x->what, LOOK_BROKE);
        say(row, "%s", x->text);
        if (row) snprintf(row->case_id, sizeof row->case_id, "%s", x->case_id);
    }
    for (int64_t i = from; i < l->n; i++) told |= l->v[i].state == LOOK_BROKE || l->v[i].state == LOOK_OPEN;
    if (!told) say(add(l, "verdict", "the verdict", LOOK_BROKE), "it does not pass");
}

void looks_add_fixture(looks *l, const verify_report *r, const verify_fixture_result *f)
{
    const int64_t before = l->n;
    add_fixture(l, r, f);
    add_untold(l, before, f);
    for (int64_t i = before; i < l->n; i++) l->v[i].against = f->name;
}
