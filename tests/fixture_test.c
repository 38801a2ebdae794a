// Proves formats/fixture.h.
#include "bytes.h"
#include "formats/checked.h"
#include "formats/fixture.h"
#include "formats/json.h"

#include <math.h>
#include <zlib.h>

// ---- making fixtures -----------------------------------------------------------------------------------------------

static void put_gzip(buffer *out, const void *text, int64_t n, int level)
{
    z_stream z = { 0 };
    ck_assert_int_eq(deflateInit2(&z, level, Z_DEFLATED, 15 + 16, 9, Z_DEFAULT_STRATEGY), Z_OK);
    uLong    room = deflateBound(&z, (uLong)n) + 100;
    uint8_t *p    = malloc(room);
    z.next_in   = (Bytef *)(uintptr_t)text;
    z.avail_in  = (uInt)n;
    z.next_out  = p;
    z.avail_out = (uInt)room;
    ck_assert_int_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
    put(out, p, (int64_t)z.total_out);
    deflateEnd(&z);
    free(p);
}

static fixture *open_text(const char *text, err *e)
{
    buffer gz = { 0 };
    put_gzip(&gz, text, (int64_t)strlen(text), 6);
    uint8_t *p = exact(gz.p, gz.n);
    fixture *f = fixture_open_mem(p, gz.n, "fix.json.gz", e);
    free(p);
    bytes_free(&gz);
    return f;
}

#define HEX0 "0000000000000000000000000000000000000000000000000000000000000000"
#define MODEL                                                                                                          \
    "\"model\":{\"name\":\"tiny\",\"revision\":null,\"source_digest\":\"" HEX0 "\",\"config\":{\"hidden_size\":4}}"
#define VERSIONS "\"device\":\"cpu\",\"attention\":\"eager\",\"transformers\":\"5.23.0\",\"torch\":\"2.13.0\""
#define HEAD(dtype, cases)                                                                                             \
    "{\"hallmark_fixture\":1," MODEL ",\"dtype\":\"" dtype "\"," VERSIONS ",\"tokens\":2,\"top_k\":2,\"cases\":" cases \
    ",\"weights\":null}\n"
#define IDS "\"prompt_ids\":[2,645],\"generated_ids\":[5,6]"
#define STEPS                                                                                                          \
    "\"steps\":[{\"ids\":[5,7],\"logprobs\":[-0.25,-2.5],\"logits\":[3.5,1.25]},{\"ids\":[6,9],\"logprobs\":[-1e-9,-"  \
    "20],\"logits\":[2,2]}]"
#define PROBES                                                                                                         \
    "\"probes\":[{\"layer\":-1,\"index\":[0,3],\"value\":[0.5,-0.001],\"norm\":2.5},{\"layer\":0,\"index\":[],"        \
    "\"value\":[],\"norm\":0}]"
#define RUN                                                                                                            \
    "{\"top\":[5,6],\"second\":[7,9],\"margin\":[2.25,0],\"margin_of_base\":[2.25,-0.5],\"kl\":[0,1e-12],\"logprob_"   \
    "diff_max\":0.001}"
#define SELF "\"self\":{\"a\":" RUN ",\"b\":" RUN "}"
#define CASE(id, rest) "{\"id\":\"" id "\",\"category\":\"chat\",\"prompt\":\"h\\u00e9\\u0000\\n\"," rest "}\n"
#define WHOLE IDS "," STEPS "," PROBES
#define GOOD HEAD("float32", "1") CASE("a", WHOLE)

START_TEST(test_good)
{
    err      e = { 0 };
    fixture *f = open_text(HEAD("bfloat16", "2") CASE("a", WHOLE "," SELF) CASE("b", WHOLE "," SELF), &e);
    ck_assert_msg(f != NULL, "%s", e.msg);
    ck_assert(f->tokens == 2 && f->top_k == 2 && f->n_cases == 2 && strcmp(f->dtype, "bfloat16") == 0 &&
              strcmp(f->model_name, "tiny") == 0);
    ck_assert(f->revision == NULL && f->weights_file == NULL && f->weights_type == NULL &&
              f->weights_digest[0] == '\0');
    ck_assert_str_eq(f->source_digest, HEX0);
    ck_assert(strcmp(f->device, "cpu") == 0 && strcmp(f->transformers, "5.23.0") == 0 &&
              strcmp(f->torch, "2.13.0") == 0);
    int64_t v;
    ck_assert(json_i64(f->config, "hidden_size", 0, 10, &v, "config", &e) && v == 4);
    const fixture_case *c = &f->cases[1];
    ck_assert(strcmp(c->id, "b") == 0 && strcmp(c->category, "chat") == 0);
    ck_assert_int_eq(c->prompt_bytes, 5);
    ck_assert_mem_eq(c->prompt, "h\xc3\xa9\0\n", 6);      // a prompt may hold NUL
    ck_assert(c->n_prompt == 2 && c->prompt_ids[1] == 645 && c->generated_ids[1] == 6);
    ck_assert(c->steps[0].ids[1] == 7 && c->steps[0].logprobs[1] == -2.5f && c->steps[1].logits[1] == 2.0f);
    ck_assert(c->n_probes == 2 && c->probes[0].layer == -1 && c->probes[0].n == 2 && c->probes[0].index[1] == 3 &&
              c->probes[0].value[1] == -0.001f);
    ck_assert(c->probes[0].norm == 2.5 && c->probes[1].n == 0);
    ck_assert(c->n_self == 2 && c->self[1].second[1] == 9 && c->self[0].margin_of_base[1] == -0.5f &&
              c->self[0].kl[1] == 1e-12 && c->self[1].logprob_diff_max == 0.001);
    fixture_close(f);
    f = open_text(GOOD, &e);
    ck_assert_msg(f && f->cases[0].n_self == 0, "%s", e.msg);
    fixture_close(f);
}
END_TEST

// Evenly spread, in their order; and all are freed.
START_TEST(test_sample)
{
    static const struct { int64_t n; const char *left; bool part; } rows[] = {
        { 0, "abcde", false }, { 1, "a", true }, { 2, "ac", true }, { 3, "abd", true }, { 4, "abcd", true },
        { 5, "abcde", false }, { 9, "abcde", false },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        err      e = { 0 };
        char     left[8] = "", all[SHA256_HEX + 1], asked[SHA256_HEX + 1];
        fixture *f = open_text(HEAD("float32", "5") CASE("a", WHOLE) CASE("b", WHOLE) CASE("c", WHOLE) CASE("d", WHOLE)
                               CASE("e", WHOLE), &e);
        ck_assert_msg(f != NULL, "%s", e.msg);
        ck_assert(fixture_prompts_digest(f, all, &e) && fixture_sample(f, rows[i].n, &e));
        ck_assert(fixture_prompts_digest(f, asked, &e));
        ck_assert_str_eq(asked, all);                       // the file's, whatever was left of it
        for (int64_t k = 0; k < f->n_cases; k++) strcat(left, f->cases[k].id);
        ck_assert_str_eq(left, rows[i].left);
        ck_assert_int_eq(f->n_held, rows[i].part ? 5 : 0);
        fixture_close(f);
    }
}
END_TEST

START_TEST(test_made_from_weights)
{
    err      e = { 0 };
    fixture *f = open_text("{\"hallmark_fixture\":1,\"model\":{\"name\":\"t\",\"revision\":\"abc\",\"source_digest\":"
                           "\"" HEX0 "\",\"config\":{}},\"dtype\":\"float32\"," VERSIONS
                           ",\"tokens\":2,\"top_k\":2,\"cases\":1,\"weights\":{\"file\":\"t-Q4_K_M.gguf\","
                           "\"type\":\"Q4_K_M\",\"digest\":\"" HEX0 "\"}}\n" CASE("a", WHOLE),
                           &e);
    ck_assert_msg(f != NULL, "%s", e.msg);
    ck_assert(strcmp(f->revision, "abc") == 0 && strcmp(f->weights_file, "t-Q4_K_M.gguf") == 0 &&
              strcmp(f->weights_type, "Q4_K_M") == 0);
    ck_assert_str_eq(f->weights_digest, HEX0);
    fixture_close(f);
}
END_TEST

// Format 1 has the digest of the shorter list of source files, 2 that of the longer one, and the shorter one's beside
// it where it is another.
START_TEST(test_source_lists)
{
    #define HEX1 "1111111111111111111111111111111111111111111111111111111111111111"
    #define SOURCE(format, rest) "{\"hallmark_fixture\":" format ",\"model\":{\"name\":\"t\",\"revision\":null," \
        "\"source_digest\":\"" HEX0 "\"," rest "\"config\":{}},\"dtype\":\"float32\"," \
        VERSIONS ",\"tokens\":2,\"top_k\":2,\"cases\":1,\"weights\":null}\n" CASE("a", WHOLE)
    static const struct { const char *text, *v1, *v2; } rows[] = {
        { SOURCE("1", ""), HEX0, "" },
        { SOURCE("2", ""), HEX0, HEX0 },
        { SOURCE("2", "\"source_digest_v1\":null,"), HEX0, HEX0 },
        { SOURCE("2", "\"source_digest_v1\":\"" HEX1 "\","), HEX1, HEX0 },
        { SOURCE("1", "\"source_digest_v1\":\"" HEX1 "\","), HEX0, "" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        err      e = { 0 };
        fixture *f = open_text(rows[i].text, &e);
        ck_assert_msg(f != NULL, "%s", e.msg);
        ck_assert_str_eq(f->source.v1, rows[i].v1);
        ck_assert_str_eq(f->source.v2, rows[i].v2);
        fixture_close(f);
    }
    err e = { 0 };
    ck_assert_ptr_null(open_text(SOURCE("2", "\"source_digest_v1\":\"00\","), &e));
    ck_assert_msg(strstr(e.msg, "key 'source_digest_v1': found '00'"), "%s", e.msg);
}
END_TEST

// A copy of GOOD with the first `from` replaced by `to` must be refused with `says`.
static void refuse_changed(const char *from, const char *to, const char *says)
{
    static const char TEXT[] = HEAD("bfloat16", "2") CASE("a", WHOLE "," SELF) CASE("b", WHOLE "," SELF);
    const char *at = strstr(TEXT, from);
    ck_assert_msg(at != NULL, "%s is not there", from);
    char *text = malloc(sizeof TEXT + strlen(to));
    sprintf(text, "%.*s%s%s", (int)(at - TEXT), TEXT, to, at + strlen(from));
    err      e = { 0 };
    fixture *f = open_text(text, &e);
    ck_assert_msg(f == NULL, "accepted %s for %s", to, from);
    check_refused(&e, ERR_INPUT, "fix.json.gz: line ", says);
    free(text);
}

START_TEST(test_changed)
{
    const struct { const char *from, *to, *says; } ROWS[] = {
        { "\"hallmark_fixture\":1", "\"hallmark_fixture\":3", "found format 3, expected 1 or 2" },
        { "\"hallmark_fixture\":1,", "", "key 'hallmark_fixture': found nothing" },
        { "{\"hallmark", "[\"hallmark", "line 1: offset" },
        { MODEL, "\"model\":7", "key 'model': found no object" },
        { "\"name\":\"tiny\",", "", "key 'name': found nothing" },
        { HEX0, "00", "key 'source_digest': found '00', expected 64 lower-case hex digits" },
        { "\"config\":{\"hidden_size\":4}", "\"config\":[]", "key 'config': found no object" },
        { "\"bfloat16\"", "\"float16\"", "found 'float16', expected float32 or bfloat16" },
        { "\"eager\"", "\"sdpa\"", "key 'attention': found 'sdpa', expected eager" },
        { "\"tokens\":2", "\"tokens\":0", "key 'tokens': found 0" },
        { "\"tokens\":2", "\"tokens\":3", "expected 3" },
        { "\"tokens\":2", "\"tokens\":1.5", "found 1.5" },
        { "\"tokens\":2", "\"tokens\":500000", "expected a product of at most 174762" },
        { "\"top_k\":2", "\"top_k\":1", "key 'ids': found 2 elements, expected 1" },
        { "\"top_k\":2", "\"top_k\":4611686018427387904", "key 'top_k': found" },
        { "\"cases\":2", "\"cases\":1", "line 3: found more lines, expected 1 cases" },
        { "\"cases\":2", "\"cases\":3", "line 4: found the end, expected case 3 of 3" },
        { "\"cases\":2", "\"cases\":100000000", "key 'cases': found 100000000" },
        { "\"weights\":null", "\"weights\":7", "key 'weights': found no object" },
        { "\"weights\":null", "\"weights\":{\"file\":\"x\",\"type\":\"Q4_K_M\"}", "key 'digest': found nothing" },
        { "\"id\":\"a\"", "\"id\":7", "line 2: key 'id': found a number" },
        { "\"id\":\"a\"", "\"id\":\"b\"", "line 3: found case 'b' twice" },
        { "\"category\":\"chat\",", "", "line 2: case 'a': key 'category': found nothing" },
        { "\"prompt\":", "\"prompt2\":", "key 'prompt': found nothing" },
        { "[2,645]", "[]", "key 'prompt_ids': found none" },
        { "[2,645]", "[2,-645]", "key 'prompt_ids': index 1: found no integer from 0" },
        { "[2,645]", "[2,2147483648]", "index 1: found no integer" },
        { "[2,645]", "[2,\"x\"]", "index 1: found no integer" },
        { "[2,645]", "{}", "key 'prompt_ids': found no array" },
        { "\"generated_ids\":[5,6]", "\"generated_ids\":[5]", "key 'generated_ids': found 1 elements, expected 2" },
        { "\"generated_ids\":[5,6]", "\"generated_ids\":[5,9]",
          "case 'a': step 1: found generated id 9, expected the id of the highest logit, 6" },
        { "\"steps\":[{", "\"steps\":[{},{", "key 'steps': found 3 elements, expected 2" },
        { "\"ids\":[5,7]", "\"ids\":[5,7,8]", "step 0: key 'ids': found 3 elements" },
        { "\"ids\":[5,7]", "\"ids\":[5,5]", "step 0: found id 5 twice" },
        { "\"ids\":[6,9]", "\"ids\":[6,4]", "step 1: index 1: found id 4 out of order" },
        { "\"logits\":[3.5,1.25]", "\"logits\":[3.5,4]", "step 0: index 1: found id 7 out of order" },
        { "\"logits\":[3.5,1.25]", "\"logits\":[3.5,1e39]", "key 'logits': index 1: found no finite number" },
        { "-2.5]", "0.5]", "key 'logprobs': index 1: found 0.5, expected at most 0" },
        { "-2.5]", "NaN]", "expected a JSON value" },
        { "-2.5]", "-1e999]", "found no finite number" },
        { "\"logits\":[3.5,1.25]", "\"logits\":[3.5,null]", "found no finite number" },
        { "\"probes\":", "\"prob\":", "key 'probes': found no array" },
        { "\"layer\":-1", "\"layer\":-2", "key 'layer': found -2" },
        { "\"layer\":-1", "\"layer\":0", "found layer 0 after layer 0" },
        { "\"layer\":-1", "\"layer\":1024", "found 1024" },
        { "\"value\":[0.5,-0.001]", "\"value\":[0.5]", "key 'value': found 1 elements, expected 2" },
        { "\"norm\":2.5", "\"norm\":-1", "key 'norm': found -1" },
        { "\"norm\":2.5", "\"norm\":1e999", "key 'norm': found NaN, Infinity or a number too large" },
        { "\"self\":{", "\"sel\":{", "key 'self': found no object" },
        { "\"b\":{\"top\"", "\"c\":{\"top\"", "key 'b': found no object" },
        { "\"margin\":[2.25,0]", "\"margin\":[2.25]", "key 'margin': found 1 elements" },
        { "\"kl\":[0,1e-12]", "\"kl\":[0,1e999]", "key 'kl': index 1: found no finite number" },
        { "\"logprob_diff_max\":0.001", "\"logprob_diff_max\":null", "found nothing" },
        { "h\\u00e9", "h\\ud800", "half of a surrogate pair" },
        { "h\\u00e9", "h\\uffff", "found U+FFFF" },
        { "h\\u00e9", "h\xff", "valid UTF-8" },
        { "\"id\":\"a\",", "\"id\":\"a\",\"id\":\"a\",", "the name 'id' twice" },
        { "\n", "\n\n", "line 2: offset 0: found the end" },
    };
    for (size_t i = 0; i < sizeof ROWS / sizeof ROWS[0]; i++) refuse_changed(ROWS[i].from, ROWS[i].to, ROWS[i].says);
}
END_TEST

// ---- experts and linear attention ----------------------------------------------------------------------------------

#define FIX_OF(config, implementations) \
    "{\"hallmark_fixture\":2," \
    "\"model\":{\"name\":\"t\",\"revision\":null,\"source_digest\":\"" HEX0 "\",\"config\":" config "}," \
    "\"dtype\":\"bfloat16\"," VERSIONS "," implementations "\"tokens\":2,\"top_k\":2,\"cases\":1,\"weights\":null}\n"
#define EXPERTS      "{\"num_experts\":7}"
#define EAGER        "\"experts\":\"eager\","
#define TIED(pairs)  CASE("a", WHOLE "," SELF ",\"router_ties\":" pairs)
#define UNTIED       CASE("a", WHOLE "," SELF)

START_TEST(test_router_ties)
{
    #define THREE TIED("[[0,1],[2,0],[2,1]]")
    static const char *const CONFIGS[] = {
        FIX_OF(EXPERTS, EAGER) THREE, FIX_OF("{\"num_local_experts\":7}", EAGER) THREE,
        FIX_OF("{\"text_config\":{\"num_experts\":7,\"enable_moe_block\":true}}", EAGER) THREE };
    for (size_t i = 0; i < sizeof CONFIGS / sizeof *CONFIGS; i++) {
        err      e = { 0 };
        fixture *f = open_text(CONFIGS[i], &e);
        ck_assert_msg(f != NULL, "%s", e.msg);
        const fixture_case *c = &f->cases[0];
        ck_assert(f->experts && c->n_router_ties == 3);
        ck_assert(c->router_ties[0].position == 0 && c->router_ties[0].layer == 1);
        ck_assert(c->router_ties[2].position == 2 && c->router_ties[2].layer == 1);
        fixture_close(f);
    }
}
END_TEST

// Fixtures of dense models need none of the new keys: made before there were any.
START_TEST(test_dense_needs_no_word_of_experts)
{
    static const char *const ROWS[] = { FIX_OF("{}", "") UNTIED,
        FIX_OF("{\"num_experts\":null}", "") UNTIED,
        FIX_OF("{\"num_experts\":0}", "") UNTIED,
        FIX_OF("{\"num_experts\":8,\"enable_moe_block\":false}", "") UNTIED,
        FIX_OF("{\"layer_types\":[\"full_attention\"]}", "") UNTIED };
    for (size_t i = 0; i < sizeof ROWS / sizeof *ROWS; i++) {
        err      e = { 0 };
        fixture *f = open_text(ROWS[i], &e);
        ck_assert_msg(f != NULL, "%s: %s", ROWS[i], e.msg);
        ck_assert(!f->experts && f->cases[0].n_router_ties == 0);
        fixture_close(f);
    }
}
END_TEST

START_TEST(test_other_implementations_are_refused)
{
    #define LINEAR "{\"layer_types\":[\"full_attention\",\"linear_attention\"]}"
    static const struct { const char *text, *says; } ROWS[] = {
        { FIX_OF(EXPERTS, "") TIED("[]"), "key 'experts': found nothing" },
        { FIX_OF(EXPERTS, "\"experts\":null,") TIED("[]"), "key 'experts': found nothing" },
        { FIX_OF(EXPERTS, "\"experts\":\"grouped_mm\",") TIED("[]"),
          "key 'experts': found 'grouped_mm', expected eager" },
        { FIX_OF("{}", "\"experts\":\"grouped_mm\",") UNTIED, "key 'experts': found 'grouped_mm', expected eager" },
        { FIX_OF("{\"text_config\":" EXPERTS "}", "") TIED("[]"), "key 'experts': found nothing" },
        { FIX_OF(LINEAR, "") UNTIED, "key 'linear_attention': found nothing" },
        { FIX_OF("{\"text_config\":" LINEAR "}", "") UNTIED, "key 'linear_attention': found nothing" },
        { FIX_OF(LINEAR, "\"linear_attention\":\"fla\",") UNTIED,
          "key 'linear_attention': found 'fla', expected torch" },
        { FIX_OF(EXPERTS, EAGER) UNTIED, "line 2: case 'a': key 'router_ties': found no array" },
        { FIX_OF(EXPERTS, EAGER) TIED("[7]"), "index 0: expected a position below 3" },
        { FIX_OF(EXPERTS, EAGER) TIED("[[0]]"), "index 0: expected a position" },
        { FIX_OF(EXPERTS, EAGER) TIED("[[0,1,2]]"), "index 0: expected a position" },
        { FIX_OF(EXPERTS, EAGER) TIED("[{\"a\":0,\"b\":1}]"), "index 0: expected a position" },
        { FIX_OF(EXPERTS, EAGER) TIED("[[3,0]]"), "index 0: expected a position below 3" },
        { FIX_OF(EXPERTS, EAGER) TIED("[[-1,0]]"), "index 0: expected a position" },
        { FIX_OF(EXPERTS, EAGER) TIED("[[0,1024]]"), "a layer below 1024" },
        { FIX_OF(EXPERTS, EAGER) TIED("[[1,0],[1,0]]"), "index 1: found a place that" },
        { FIX_OF(EXPERTS, EAGER) TIED("[[1,1],[1,0]]"), "index 1: found a place" },
        { FIX_OF(EXPERTS, EAGER) TIED("[[1,0],[0,1]]"), "index 1: found a place" },
    };
    for (size_t i = 0; i < sizeof ROWS / sizeof *ROWS; i++) {
        err      e = { 0 };
        fixture *f = open_text(ROWS[i].text, &e);
        ck_assert_msg(f == NULL, "accepted %s", ROWS[i].text);
        check_refused(&e, ERR_INPUT, "fix.json.gz: line ", ROWS[i].says);
    }
    err      e = { 0 };
    fixture *f = open_text(FIX_OF(LINEAR, "\"linear_attention\":\"torch\",") UNTIED, &e);
    ck_assert_msg(f != NULL, "%s", e.msg);
    fixture_close(f);
}
END_TEST

// ---- the gzip stream -----------------------------------------------------------------------------------------------

static void refuse_bytes(const buffer *b, const char *says)
{
    uint8_t *p = exact(b->p, b->n);
    err      e = { 0 };
    double   t = seconds();
    fixture *f = fixture_open_mem(p, b->n, "fix.json.gz", &e);
    ck_assert_msg(f == NULL, "accepted");
    check_refused(&e, ERR_INPUT, "fix.json.gz", says);
    ck_assert_msg(seconds() - t < 1, "%g s", seconds() - t);
    free(p);
}

START_TEST(test_every_truncation_and_change_of_the_stream)
{
    buffer b = { 0 };
    put_gzip(&b, GOOD, (int64_t)strlen(GOOD), 9);
    for (int64_t n = 0; n < b.n; n++) {
        buffer cut = { .p = b.p, .n = n };
        refuse_bytes(&cut, "found");
    }
    // A changed byte: the CRC sees what the JSON does not. Only the header's time, level and system mean nothing.
    for (int64_t i = 0; i < b.n; i++) {
        if (i >= 3 && i <= 9) continue;
        b.p[i] ^= 0x20;
        refuse_bytes(&b, "found");
        b.p[i] ^= 0x20;
    }
    put_text(&b, "more");
    refuse_bytes(&b, "found damaged gzip data");
    bytes_free(&b);
    put_text(&b, GOOD);
    refuse_bytes(&b, "found no gzip header");
    bytes_free(&b);
    put_gzip(&b, "", 0, 9);
    refuse_bytes(&b, "fix.json.gz: found no line, expected a header");
    bytes_free(&b);
}
END_TEST

START_TEST(test_members)
{
    buffer b = { 0 };
    int64_t n = (int64_t)strlen(GOOD);
    for (int64_t at = 0; at < n; at += 100) put_gzip(&b, GOOD + at, n - at < 100 ? n - at : 100, 9);
    err      e = { 0 };
    fixture *f = fixture_open_mem(b.p, b.n, "members", &e);
    ck_assert_msg(f != NULL, "%s", e.msg);
    fixture_close(f);
    bytes_free(&b);
}
END_TEST

// Little that becomes much: one endless line, many long ones, more values than anybody has.
START_TEST(test_bombs)
{
    const struct { const char *unit, *says; } ROWS[] = {
        { " ", "fix.json.gz: line 1: found more than 16777216 bytes" },
        { "[0,", "line 1: found more than 16777216 bytes" },
    };
    buffer text = { 0 }, b = { 0 };
    for (size_t i = 0; i < 2; i++) {
        while (text.n < (40 << 20)) put_text(&text, ROWS[i].unit);
        put_gzip(&b, text.p, text.n, 9);
        ck_assert_int_lt(b.n, 400000);
        refuse_bytes(&b, ROWS[i].says);
        bytes_free(&text);
        bytes_free(&b);
    }
    put_text(&text, HEAD("float32", "4096"));
    char one[2001];
    for (int i = 0; i < LIMIT_CASES; i++) {     // good cases, with ten thousand spaces before each
        snprintf(one, sizeof one, "%2000s", " ");
        for (int k = 0; k < 5; k++) put_text(&text, one);
        snprintf(one, sizeof one, CASE("%d", WHOLE), i);
        put_text(&text, one);
    }
    put_gzip(&b, text.p, text.n, 9);
    refuse_bytes(&b, "compressed ones");
    bytes_free(&text);
    bytes_free(&b);
    put_text(&text, "{\"x\":[");        // one line of more values than any fixture has
    for (int i = 0; i < 2000000; i++) put_text(&text, "0,");
    put_text(&text, "0]}");
    put_gzip(&b, text.p, text.n, 9);
    refuse_bytes(&b, "found more than 524288 values");
    bytes_free(&text);
    bytes_free(&b);
}
END_TEST

// The size of a real one: 24 cases of 64 tokens with the top 64 of each.
START_TEST(test_real_size)
{
    enum { CASES = 24, TOKENS = 64, TOP = 64 };
    buffer t = { 0 }, b = { 0 };
    char   s[400];
    snprintf(s, sizeof s,
             "{\"hallmark_fixture\":1," MODEL ",\"dtype\":\"float32\"," VERSIONS ",\"tokens\":%d,\"top_k\":%d,"
                                                                                 "\"cases\":%d,\"weights\":null}\n",
             TOKENS, TOP, CASES);
    put_text(&t, s);
    for (int c = 0; c < CASES; c++) {
        snprintf(s, sizeof s,
                 "{\"id\":\"case-%d\",\"category\":\"chat\",\"prompt\":\"x\",\"prompt_ids\":[2],\"probes\":[],"
                 "\"generated_ids\":[",
                 c);
        put_text(&t, s);
        for (int i = 0; i < TOKENS; i++) { snprintf(s, sizeof s, "%s%d", i ? "," : "", i); put_text(&t, s); }
        put_text(&t, "],\"steps\":[");
        for (int i = 0; i < TOKENS; i++) {
            put_text(&t, i ? ",{\"ids\":[" : "{\"ids\":[");
            for (int k = 0; k < TOP; k++) {
                snprintf(s, sizeof s, "%s%d", k ? "," : "", i + k * 1000);
                put_text(&t, s);
            }
            put_text(&t, "],\"logprobs\":[");
            for (int k = 0; k < TOP; k++) {
                snprintf(s, sizeof s, "%s%.9g", k ? "," : "", -0.1 - k * 0.37 - i * 0.001);
                put_text(&t, s);
            }
            put_text(&t, "],\"logits\":[");
            for (int k = 0; k < TOP; k++) {
                snprintf(s, sizeof s, "%s%.9g", k ? "," : "", 20.1 - k * 0.37 - i * 0.001);
                put_text(&t, s);
            }
            put_text(&t, "]}");
        }
        put_text(&t, "]}\n");
    }
    put_gzip(&b, t.p, t.n, 6);
    err      e  = { 0 };
    double   at = seconds();
    fixture *f  = fixture_open_mem(b.p, b.n, "real", &e);
    ck_assert_msg(f != NULL, "%s", e.msg);
    ck_assert_msg(seconds() - at < 3, "%g s", seconds() - at);
    ck_assert(f->cases[23].steps[63].ids[63] == 63063 &&
              f->cases[23].steps[63].logits[63] == (float)(20.1 - 63 * 0.37 - 63 * 0.001));
    fixture_close(f);
    bytes_free(&t);
    bytes_free(&b);
}
END_TEST

START_TEST(test_files)
{
    char *dir = new_dir();
    err   e   = { 0 };
    ck_assert_ptr_null(fixture_open(in_dir(dir, "none.json.gz"), &e));
    check_refused(&e, ERR_INPUT, "none.json.gz", "cannot open");
    buffer b = { 0 };
    put_gzip(&b, GOOD, (int64_t)strlen(GOOD), 9);
    write_file(in_dir(dir, "f.json.gz"), b.p, b.n);
    e = (err){ 0 };
    fixture *f = fixture_open(in_dir(dir, "f.json.gz"), &e);
    ck_assert_msg(f != NULL, "%s", e.msg);
    char hex[SHA256_HEX + 1];
    ck_assert(sha256_file(in_dir(dir, "f.json.gz"), hex, &e));
    ck_assert_str_eq(f->file_digest, hex);
    ck_assert(strstr(f->path, "f.json.gz") != NULL);
    fixture_close(f);
    bytes_free(&b);
    drop_dir(dir);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("fixture");
    TCase *t = tcase_create("all");
    tcase_set_timeout(t, 300);
    tcase_add_test(t, test_good);
    tcase_add_test(t, test_sample);
    tcase_add_test(t, test_made_from_weights);
    tcase_add_test(t, test_source_lists);
    tcase_add_test(t, test_changed);
    tcase_add_test(t, test_router_ties);
    tcase_add_test(t, test_dense_needs_no_word_of_experts);
    tcase_add_test(t, test_other_implementations_are_refused);
    tcase_add_test(t, test_every_truncation_and_change_of_the_stream);
    tcase_add_test(t, test_members);
    tcase_add_test(t, test_bombs);
    tcase_add_test(t, test_real_size);
    tcase_add_test(t, test_files);
    suite_add_tcase(s, t);
    return run_suite(s);
}
