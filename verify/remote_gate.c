// What a server's answers are held to, and what a report of them says.
#include "remote_run.h"
#include "reference.h"
#include "../formats/json.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

// What sound runs of a runtime in another arithmetic cost, in float32: floors of mean KL and of the largest difference
// of log-probabilities. Measured with llama.cpp's server (xllamacpp 2026.10), F32 files and caches, four cases of each
// tiny checkpoint: see tests/peers/README.md.
typedef struct {
    const char *api, *activation;       // NULL: any; activation: a part of its name in the config
    double      kl, logprob;
    const char *why;
} noise;
static const noise NOISES[] = {
    // Found 1.7e-9 to 1.1e-8, and 0.0023 to 0.0032.
    { "llama", "gelu", 3e-7, 0.02, "llama.cpp, whose CPU looks GELU up in a table of half precision" },
    // Found 2.7e-14 to 5.7e-13, and 9e-6 to 4.3e-5.
    { NULL, NULL, 1e-10, 5e-4, "float32 in another order of additions" },
};

static const char *activation_of(const fixture *f)
{
    const cJSON *text = json_get(f->config, "text_config"), *c = text ? text : f->config;
    const char  *name = cJSON_GetStringValue(json_get(c, "hidden_activation"));
    if (!name) name = cJSON_GetStringValue(json_get(c, "hidden_act"));
    return name ? name : "";
}

static const noise *noise_of(const asker *v, const fixture *f)
{
    const noise *n = NOISES;
    for (;; n++) {                              // the last row is for all
        const bool other_api = n->api && strcmp(n->api, v->peer.api->name) != 0;
        if (!other_api && (!n->activation || strstr(activation_of(f), n->activation))) return n;
    }
}

// A gate file is taken as it stands.
static bool widens(const asker *v, const fixture *f)
{
    return !v->o->gate_path && v->kind == CHECK_EXACT && strcmp(f->dtype, "float32") == 0;
}

void remote_gate_for(asker *v, const fixture *f)
{
    v->limits = v->base;
    v->limits.has_rounding = false;             // nobody can round the weights of a server
    if (!widens(v, f)) return;
    const noise *n = noise_of(v, f);
    gate_exact  *x = &v->limits.float32;
    x->kl_floor      = fmax(x->kl_floor, n->kl);
    x->logprob_floor = fmax(x->logprob_floor, n->logprob);
}

// Fewer ids, or steps, than a fixture must hold measure nothing.
void remote_check_given(asker *v)
{
    char text[160];
    const gate *g = &v->limits;
    // Of a part of the cases less is no fault of the server's, and no pass.
    if (v->k.no_distance && v->k.f->n_held == 0 && (double)v->text_asked < g->min_steps) {
        snprintf(text, sizeof text, "%lld of %lld steps can be asked about as text, the least is %.0f",
                 (long long)v->text_asked, (long long)v->text_steps, g->min_steps);
        result_fail_whole(v->k.r, "seen", text);
    }
    if (v->k.no_distance) return;
    // One step in eight may be without, as in tie.h.
    const bool few = 8 * v->unseen > v->k.r->steps;
    if (few) v->least_probs = 0;
    if (!few && (v->least_probs >= g->min_top_k || v->least_probs >= v->k.n_vocab)) return;
    snprintf(text, sizeof text, "the server gives log-probabilities of %d ids a step, the least is %.0f",
             v->least_probs, g->min_top_k);
    if (!few || !reference_leaves_open(v->k.r, v->k.f, "seen", text)) result_fail_whole(v->k.r, "seen", text);
}

// ---- what is said --------------------------------------------------------------------------------------------------

static bool note_gate(asker *v, const fixture *f, err *e)
{
    const verify_fixture_result *x = v->k.r;
    if (v->kind == CHECK_DRIFT)
        return report_note(v->r, e, "gate: the budget of drift of %s, at least %.4g %% of steps and a mean KL of "
                                    "%.3g; what rounding costs this model cannot be measured through a server",
                           x->budget, 100 * x->top1_limit, x->kl_limit);
    if (v->k.no_distance)
        return report_note(v->r, e, "gate: each text equal but where the reference itself leaves it open");
    return report_note(v->r, e, "gate for %s: the fixture's own noise%s%s: mean KL %.3g, log-probabilities within %.3g",
                       f->dtype, v->o->gate_path ? ", by the gate file" : widens(v, f) ? ", and that of " : "",
                       widens(v, f) ? noise_of(v, f)->why : "", x->kl_limit, x->logprob_limit);
}

static bool note_text(asker *v, err *e)
{
    if (v->recounted > 0
        && !report_note(v->r, e, "of %lld prompts the server counts another number of tokens than the fixture has "
                                 "ids: it may add a token of its own, or cut texts otherwise",
                        (long long)v->recounted)) return false;
    return report_note(v->r, e, "ids were not seen: %s takes and gives text; %lld of %lld steps were compared as "
                                "text, all free runs but %lld, and no distance",
                       v->peer.api->title, (long long)v->text_asked, (long long)v->text_steps,
                       (long long)v->text_no_free);
}

static bool note_seen(asker *v, err *e)
{
    if (v->k.no_distance) return note_text(v, e);
    if (v->unseen > 0
        && !report_note(v->r, e, "at %lld of %lld steps the server gives an id and no log-probabilities: no distance "
                                 "is taken there",
                        (long long)v->unseen, (long long)v->k.r->steps)) return false;
    if (v->unseen == v->k.r->steps) return true;
    return report_note(v->r, e, "distances are over the ids that the server gives, %d of a step at least, and one "
                                "bucket for all others: no more than over the vocabulary",
                       v->least_probs);
}

static bool note_departure(asker *v, const fixture *f, err *e)
{
    const departure *l = &v->left;
    char got[48] = "another text", by[64] = "";
    if (!l->c) return true;
    if (l->got >= 0) snprintf(got, sizeof got, "%d", l->got);
    if (!isnan(l->logprob_diff))
        snprintf(by, sizeof by, "; log-probabilities there are up to %.3g apart", l->logprob_diff);
    const fixture_step *s = &l->c->steps[l->step];
    const double margin = f->top_k > 1 ? (double)s->logits[0] - (double)s->logits[1] : NAN;
    return report_note(v->r, e, "the first step that leaves: case '%.40s', step %lld: Transformers chose %d by a "
                                "margin of %.3g, the server %s%s",
                       l->c->id, (long long)l->step, l->c->generated_ids[l->step], margin, got, by);
}

static bool note_distance(asker *v, err *e)
{
    const departure *l = &v->far;
    return !l->c || report_note(v->r, e, "the first step whose log-probabilities leave: case '%.40s', step %lld: "
                                        "they are up to %.3g apart, the limit is %.3g",
                                l->c->id, (long long)l->step, l->logprob_diff, v->k.r->logprob_limit);
}

bool remote_note_fixture(asker *v, const fixture *f, err *e)
{
    return note_gate(v, f, e) && note_seen(v, e) && note_departure(v, f, e) && note_distance(v, e);
}

bool remote_note_server(asker *v, err *e)
{
    static const char *const HOW[] = {
        [SPECULATES]        = "the server guesses tokens ahead (speculative decoding), which can change greedy ids; "
                              "it is asked not to",
        [SPECULATES_UNSEEN] = "whether the server guesses tokens ahead (speculative decoding), which can change "
                              "greedy ids, is not seen",
    };
    const remote_speculation s = v->speculation != SPECULATES_UNSEEN ? v->speculation : v->peer.server.speculation;
    if (!report_note(v->r, e, "what the server runs, weights, arithmetic and cache, is not seen: the verdict is "
                              "about its answers"))
        return false;
    return s == SPECULATES_NOT || report_note(v->r, e, "%s", HOW[s]);
}
