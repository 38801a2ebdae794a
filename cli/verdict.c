// verdict: the answer of the commands that only judge.
#include "answer.h"
#include "check_words.h"
#include "text_out.h"
#include <math.h>
#include <string.h>

static void claims_json(json_out *j, const check_told *c)
{
    json_key_open(j, "measured", '[');
    for (int i = 0; i < c->n; i++) {
        json_open(j, '{');
        json_key_cstr(j, "artifact", c->v[i].artifact);
        json_key_cstr(j, "claim", c->v[i].claim);
        json_key_bool(j, "proved", false);
        json_close(j, '}');
    }
    json_close(j, ']');
}

static void claims_text(const check_told *c)
{
    for (int i = 0; i < c->n; i++)
        print_line(stdout, "note: %s says, and this does not prove ('hallmark lab' on the same texts would): %s",
                   c->v[i].artifact, c->v[i].claim);
}

const char *cli_verdict_word(const verdict *v, const err *e)
{
    if (e->kind == ERR_NONE) return "pass";
    if (!v->judged) return "error";
    return v->proof && v->proof->undecided[0] ? "inconclusive" : "fail";
}

static bool holds(const verdict *v, const err *e) { return strcmp(cli_verdict_word(v, e), "fail") != 0; }

// As verify's report has it (verify/report_json.c).
static void why_json(json_out *j, const verdict *v)
{
    const check_proof *p = v->proof;
    json_key_open(j, "why", '[');
    json_open(j, '{');
    json_key_cstr(j, "fixture", p->undecided_by);
    json_key_cstr(j, "what", p->undecided_what);
    json_key_cstr(j, "text", p->undecided);
    json_key_num(j, "prompts_needed", p->prompts_needed > 0 ? (double)p->prompts_needed : NAN, 9);
    json_key_num(j, "steps_needed", p->steps_needed > 0 ? (double)p->steps_needed : NAN, 9);
    json_close(j, '}');
    json_close(j, ']');
}

static void verdict_members(json_out *j, const verdict *v, const err *e)
{
    json_key_cstr(j, "artifact", v->artifact);
    if (v->source) json_key_cstr(j, "source", v->source);
    if (!v->judged) {
        answer_error_member(j, e);
        return;
    }
    json_key_cstr(j, "verdict", cli_verdict_word(v, e));
    json_key_cstr(j, "reason", e->kind == ERR_NONE ? NULL : e->msg);
    if (e->kind != ERR_NONE && holds(v, e)) why_json(j, v);
    if (v->gate_sha256) {
        json_key_open(j, "gate", '{');
        json_key_cstr(j, "name", v->gate);
        json_key_cstr(j, "sha256", v->gate_sha256);
        json_close(j, '}');
    }
    if (e->kind == ERR_NONE && v->claims && v->claims->n > 0) claims_json(j, v->claims);
    if (v->proof) check_words_json(j, v->proof, v->artifact, holds(v, e));
}

// A document, or an element of the list of a document of several.
static void verdict_json(const verdict *v, const err *e)
{
    json_out own, *j = v->list ? v->list : &own;
    if (!v->list) json_begin(j, answer_document());
    json_open(j, '{');
    verdict_members(j, v, e);
    json_close(j, '}');
}

static void verdict_text(const verdict *v, const err *e)
{
    text_write(stdout, TEXT_PLAIN, v->artifact, strlen(v->artifact));
    fputs(": ", stdout);
    fputs(e->kind == ERR_NONE ? v->yes : holds(v, e) ? "inconclusive" : v->no, stdout);
    if (v->source) text_write(stdout, TEXT_PLAIN, v->source, strlen(v->source));
    putchar('\n');
    if (v->gate_sha256)
        print_line(stdout, "note: held to gate %s (sha256 %s), not the built-in one", v->gate ? v->gate : "of its own",
                   v->gate_sha256);
    if (e->kind == ERR_NONE && v->claims) claims_text(v->claims);
    if (v->proof) check_words_print(v->proof, v->artifact, holds(v, e));
}

int cli_verdict(const command *c, const verdict *v, const err *e)
{
    if (v->list || (v->judged && v->json)) verdict_json(v, e);
    else if (v->judged)                    verdict_text(v, e);
    return e->kind == ERR_NONE ? 0 : (v->list ? cli_tell : cli_fail)(c, e);
}
