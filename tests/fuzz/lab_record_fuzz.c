// Any bytes as what a laboratory run measured (hallmark.kv.measured): refused in one line, or they are the very bytes
// that are written for it, and can be shown.
#include "fuzz.h"
#include "measure/lab_record.h"

#include <string.h>

int fuzz_one(const uint8_t *data, size_t size)
{
    lab_record rec;
    err        e = { 0 };
    text_buf   words = { 0 };
    if (!lab_record_read(&rec, (const char *)data, (int64_t)size, "file.gguf", &e)) {
        must_be_refusal(&e);
        lab_record_free(&rec);
        return 0;
    }
    char *again = lab_record_text(&rec);
    MUST(again && strlen(again) == size && memcmp(again, data, size) == 0);
    lab_record_put_run(&words, &rec);
    lab_record_put_table(&words, &rec);
    lab_record_put_advice(&words, TEXT_MD, &rec);
    for (int i = 0; i < rec.n_caches; i++) lab_record_put_cache(&words, &rec, i);
    char *shown = text_take(&words);
    MUST(shown != NULL);
    use(strlen(shown));
    free(shown);
    free(again);
    lab_record_free(&rec);
    return 0;
}
