// Any bytes as the plan of a laboratory's folder, and as the body of a cell, to which head and digest are added:
// refused in one line, or a plan whose text is those bytes, or a cell whose figures can be reported.
#include "fuzz.h"
#include "measure/lab_report.h"
#include "measure/lab_state.h"

#include <string.h>

static const char PLAN[] = "{\n\t\"format\":\t1,\n\t\"program\":\t\"p\",\n\t\"arith\":\t\"f32\",\n\t\"base_kv\":"
                           "\t\"f32\",\n\t\"base_context_bytes\":\t1000,\n\t\"state_bytes\":\t0,\n"
                           "\t\"n_vocab\":\t100,\n\t\"bos\":\t-1,\n\t\"chunk\":\t6,\n\t\"skip\":\t2,\n\t\"samples\":"
                           "\t1,\n\t\"context\":\t10,\n\t\"budget\":\t0,\n"
                           "\t\"artifacts\":\t[{\n\t\t\t\"name\":\t\"a\",\n\t\t\t\"type\":\t\"F32\",\n"
                           "\t\t\t\"digest\":"
                           "\t\"0000000000000000000000000000000000000000000000000000000000000000\"\n\t\t}],\n"
                           "\t\"texts\":\t[{\n\t\t\t\"category\":\t\"c\",\n\t\t\t\"name\":\t\"t\",\n"
                           "\t\t\t\"sha256\":\t\"0000000000000000000000000000000000000000000000000000000000000000\","
                           "\n\t\t\t\"tokens\":\t6\n\t\t}],\n"
                           "\t\"candidates\":\t[{\n\t\t\t\"artifact\":\t0,\n\t\t\t\"kv\":\t\"q8_0\",\n\t\t\t\"context_"
                           "bytes\":\t10\n\t\t}]\n}\n";

static void check_plan(const uint8_t *data, size_t size)
{
    err      e = { 0 };
    lab_plan p;
    if (lab_plan_read(&p, (const char *)data, (int64_t)size, "plan.json", &e)) {
        MUST(strlen(p.json) == size && memcmp(p.json, data, size) == 0);
        MUST(p.n_chunks >= p.n_texts && lab_points(&p) >= 1);
        for (int64_t i = 0; i < p.n_chunks; i++) {
            MUST(p.chunks[i].text >= 0 && p.chunks[i].text < p.n_texts);
            MUST(p.chunks[i].first + p.chunk <= p.texts[p.chunks[i].text].tokens);
        }
        for (int i = 0; i < p.n_candidates; i++)
            MUST(p.candidates[i].artifact >= 0 && p.candidates[i].artifact < p.n_artifacts);
    } else {
        must_be_refusal(&e);
    }
    lab_plan_free(&p);
}

static void report(const lab_plan *p, lab_cell *c)
{
    err        e = { 0 };
    lab_result r;
    const lab_cells cells = { .cells = c, .n_chunks = 1, .n_points = lab_points(p), .n_candidates = 1 };
    MUST_DO(lab_result_of(&r, p, &cells, 0, &e), &e);
    char *json = lab_report_json(&r), *html = lab_report_html(&r), *md = lab_report_md(&r);
    MUST(json && html && md);
    free(json);
    free(html);
    free(md);
    lab_result_free(&r);
}

// The input stands for what follows the head: counts, points and places.
static void check_cell(const lab_plan *p, const uint8_t *data, size_t size)
{
    err      e = { 0 };
    lab_cell c;
    const size_t n = 8 + SHA256_HEX + size + SHA256_HEX;
    uint8_t *file = malloc(n);
    char     hex[SHA256_HEX + 1];
    if (!file) return;
    memcpy(file, "HMLABC1\n", 8);
    memcpy(file + 8, p->digest, SHA256_HEX);
    memcpy(file + 8 + SHA256_HEX, data, size);
    MUST_DO(sha256_bytes(file, (int64_t)(n - SHA256_HEX), hex, &e), &e);
    memcpy(file + n - SHA256_HEX, hex, SHA256_HEX);
    if (lab_cell_read(file, (int64_t)n, "a.cell", p, 0, 0, &c, &e)) {
        report(p, &c);
        lab_cell_free(&c);
    } else {
        must_be_refusal(&e);
    }
    free(file);
}

int fuzz_one(const uint8_t *data, size_t size)
{
    err      e = { 0 };
    lab_plan p;
    check_plan(data, size);
    MUST_DO(lab_plan_read(&p, PLAN, (int64_t)sizeof PLAN - 1, "the plan", &e), &e);
    check_cell(&p, data, size);
    lab_plan_free(&p);
    return 0;
}
