// Any bytes as a verification record: in a file that claims it (hallmark.verification), and as a release's report.json,
// which may be longer. What does not hold is a verdict in one line; what can be read as a report can be written and is
// the same again.
#include "formats/json.h"
#include "fuzz.h"
#include "release/json_diff.h"
#include "verify/record.h"

#include <string.h>

// A file with one tensor, its digests, and the record.
static gguf *file_with(const char *record, uint8_t **bytes)
{
    err        e = { 0 };
    int64_t    header_bytes, file_bytes, n;
    uint8_t   *header = NULL;
    char       digests[1][SHA256_HEX + 1], padded[CLAIMS_RECORD_BYTES];
    gguf_plan *p = gguf_plan_new(32, &e);
    MUST(p && gguf_plan_str(p, "general.architecture", "gemma4", &e) && gguf_plan_u32(p, "general.file_type", 0, &e));
    MUST(gguf_plan_tensor(p, "t", DT_F32, 1, (int64_t[]){ 8 }, &e) && claims_plan(p, "F32", NULL, &e));
    MUST(sha256_bytes((uint8_t[32]){ 0 }, 32, digests[0], &e));
    MUST(gguf_plan_layout(p, &header_bytes, &file_bytes, &e) && claims_set_digests(p, digests, &e));
    MUST(claims_pad_record(record, padded, &e) && gguf_plan_strn(p, KEY_HM_VERIFICATION, padded, sizeof padded, &e));
    MUST(gguf_plan_header(p, &header, &n, &e));
    *bytes = calloc(1, (size_t)file_bytes);
    MUST(*bytes != NULL);
    memcpy(*bytes, header, (size_t)n);
    free(header);
    gguf_plan_free(p);
    gguf *g = gguf_open_mem(*bytes, file_bytes, "record.gguf", &e);
    MUST(g != NULL);
    return g;
}

// The digests that the record would need, put in it: what stands behind them is then looked at too.
static void check_as_if_it_fitted(const gguf *g, cJSON *rec)
{
    err  e = { 0 };
    char tensors[SHA256_HEX + 1], metadata[SHA256_HEX + 1];
    MUST(claims_weights_digest(g, tensors, &e) && claims_metadata_digest(g, metadata, &e));
    cJSON_DeleteItemFromObjectCaseSensitive(rec, "tensors");
    cJSON_DeleteItemFromObjectCaseSensitive(rec, "metadata");
    MUST(cJSON_AddStringToObject(rec, "tensors", tensors) && cJSON_AddStringToObject(rec, "metadata", metadata));
    if (!record_check(g, rec, &e)) must_be_verdict(&e);
}

static void as_record(const uint8_t *data, size_t size)
{
    err      e = { 0 };
    cJSON   *rec = NULL;
    uint8_t *bytes;
    char    *text = strndup((const char *)data, size < CLAIMS_RECORD_BYTES ? size : CLAIMS_RECORD_BYTES);
    MUST(text != NULL);
    gguf *g = file_with(text, &bytes);
    if (!record_read(g, &rec, &e)) {
        must_be_verdict(&e);
    } else if (rec) {
        verify_report r;
        use(record_names_all(rec));
        if (!record_check(g, rec, &e)) must_be_verdict(&e);
        e = (err){ 0 };
        if (record_report(g, rec, &r, &e)) verify_report_free(&r);
        else                               must_be_verdict(&e);
        check_as_if_it_fitted(g, rec);
    }
    cJSON_Delete(rec);
    gguf_close(g);
    free(bytes);
    free(text);
}

// Written and read again; what was left out of the first may be another way to say the same, so the second is compared
// with the third.
static void as_report(const cJSON *json)
{
    err e = { 0 };
    verify_report r, again;
    if (!verify_report_read(&r, json, "report.json", &e)) { must_be_verdict(&e); return; }
    cJSON *once = verify_report_json(&r);
    MUST(once != NULL);
    if (verify_report_read(&again, once, "report.json", &e)) {
        cJSON *twice = verify_report_json(&again);
        MUST(twice && json_same(twice, once, "report.json", &e));
        cJSON_Delete(twice);
        verify_report_free(&again);
    }
    cJSON_Delete(once);
    verify_report_free(&r);
}

int fuzz_one(const uint8_t *data, size_t size)
{
    err e = { 0 };
    as_record(data, size);
    cJSON *json = json_parse((const char *)data, (int64_t)size, "report.json", &e);
    if (!json) { must_be_refusal(&e); return 0; }
    MUST(json_same(json, json, "report.json", &e));
    as_report(json);
    cJSON_Delete(json);
    return 0;
}
