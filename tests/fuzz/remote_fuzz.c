// Any bytes as the answer of a server: refused in one line, or ids of a vocabulary with log-probabilities that are
// numbers. The first byte says which server, and whether it scores or generates.
#include "fuzz.h"
#include "formats/checked.h"
#include "formats/json.h"
#include "verify/remote_api.h"

#include <math.h>
#include <string.h>

enum { N_IDS = 3, N_PROBS = 4 };

static void check_answer(const remote_answer *a)
{
    MUST(a->n >= 0 && a->n <= a->room);
    for (int64_t i = 0; i < a->n; i++) {
        const remote_step *s = &a->steps[i];
        MUST(s->top >= 0 && s->top < LIMIT_VOCAB);
        MUST(s->n >= 0 && s->n <= a->n_probs);
        for (int k = 0; k < s->n; k++) {
            MUST(s->probs[k].id >= 0 && s->probs[k].id < LIMIT_VOCAB);
            MUST(isfinite(s->probs[k].logprob) && s->probs[k].logprob <= 0);
        }
    }
    if (a->text) use(touch(a->text, (int64_t)strlen(a->text)));
}

static void read_as(const remote_api *api, const cJSON *doc, bool scores)
{
    static const int32_t  ids[N_IDS] = { 1, 2, 3 };
    const remote_question q = { .ids = ids, .n_ids = N_IDS, .from = 1, .n_new = 2, .n_probs = N_PROBS,
                                .forced_id = -1, .scores = scores && api->scores };
    remote_answer a;
    err           e = { 0 };
    MUST_DO(remote_answer_new(&a, 2, N_PROBS, &e), &e);
    if (api->read(&a, &q, doc, "answer", &e)) check_answer(&a);
    else must_be_refusal(&e);
    remote_answer_free(&a);
}

int fuzz_one(const uint8_t *data, size_t size)
{
    if (size < 1) return 0;
    err   e = { 0 };
    char *text = calloc(size, 1);       // its escapes are rewritten in place
    if (!text) return 0;
    memcpy(text, data + 1, size - 1);
    cJSON *doc = json_parse_nul(text, (int64_t)size - 1, LIMIT_JSON_VALUES, "answer", &e);
    const remote_api *api = REMOTE_APIS[data[0] & 3];
    if (!doc) must_be_refusal(&e);
    else {
        remote_server s = { 0 };
        if (api->is(doc)) api->describe(&s, doc, doc);
        MUST(memchr(s.model, 0, sizeof s.model) && memchr(s.version, 0, sizeof s.version));
        read_as(api, doc, data[0] & 4);
    }
    cJSON_Delete(doc);
    free(text);
    return 0;
}
