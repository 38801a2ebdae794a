// Proves convert/tokenizer_meta.h, convert/special_ids.h, convert/text_frame.h, convert/merges.h, convert/strmap.h and
// convert/general_meta.h: what a tokenizer.json becomes, and every way in which one can be wrong or hostile.
#include "convert/general_meta.h"
#include "convert/merges.h"
#include "convert/strmap.h"
#include "tokenizer_input.h"

#include <sys/stat.h>

// ---- what comes out -------------------------------------------------------------------------------------------------

START_TEST(test_gemma4)
{
    input in = input_new(TOK_GEMMA4);
    gguf_plan *p = good_plan(&in);
    ck_assert(str_is(p, "tokenizer.ggml.model", "gemma4"));
    ck_assert_int_eq(kv_of(p, TOKENS)->n, MINI_VOCAB);
    ck_assert(str_at(p, TOKENS, 7, "<0x00>") && str_at(p, TOKENS, 262, "<0xFF>"));
    ck_assert(str_at(p, TOKENS, 272, "\xe2\x96\x81\xe2\x96\x81"));
    static const struct { int id, type; } types[] = {
        { 0, TOKEN_CONTROL }, { 3, TOKEN_CONTROL }, { 4, TOKEN_USER_DEFINED }, { 5, TOKEN_USER_DEFINED },
        { 6, TOKEN_USER_DEFINED },      // <|channel> is special, but always shown
        { 7, TOKEN_BYTE }, { 262, TOKEN_BYTE }, { 264, TOKEN_NORMAL }, { 271, TOKEN_CONTROL }, { 273, TOKEN_UNUSED },
    };
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        ck_assert_int_eq(int_at(p, TYPES, types[i].id), types[i].type);
    for (int i = 0; i < MINI_VOCAB; i++) ck_assert_float_eq(f32_at(p, SCORES, i), -1000.0f);
    ck_assert(str_at(p, TOKENS, 273, "[PAD273]") && str_at(p, TOKENS, 279, "[PAD279]"));
    ck_assert_int_eq(kv_of(p, "tokenizer.ggml.merges")->n, 3);
    ck_assert(str_at(p, "tokenizer.ggml.merges", 0, "a b") && str_at(p, "tokenizer.ggml.merges", 1, "\xe2\x96\x81 ab"));
    ck_assert_int_eq(int_at(p, "tokenizer.ggml.bos_token_id", 0), 2);
    ck_assert_int_eq(int_at(p, "tokenizer.ggml.eos_token_id", 0), 1);
    ck_assert_int_eq(int_at(p, "tokenizer.ggml.unknown_token_id", 0), 3);
    ck_assert_int_eq(int_at(p, "tokenizer.ggml.padding_token_id", 0), 0);       // config.json says that one
    ck_assert_int_eq(int_at(p, "tokenizer.ggml.eot_token_id", 0), 271);
    ck_assert_int_eq(kv_of(p, KEY_EOS_IDS)->n, 2);
    ck_assert_int_eq(int_at(p, KEY_EOS_IDS, 1), 271);
    ck_assert_int_eq(int_at(p, "tokenizer.ggml.add_bos_token", 0), 1);
    ck_assert_int_eq(int_at(p, "tokenizer.ggml.add_sep_token", 0), 0);
    ck_assert_int_eq(int_at(p, "tokenizer.ggml.add_space_prefix", 0), 0);
    gguf_plan_free(p);
    input_free(&in);
}
END_TEST

START_TEST(test_gemma3)
{
    input in = input_new(TOK_LLAMA);
    gguf_plan *p = good_plan(&in);
    ck_assert(str_is(p, "tokenizer.ggml.model", "llama") && str_is(p, "tokenizer.ggml.pre", "default"));
    static const struct { int id, type; float score; const char *text; } rows[] = {
        { 0, TOKEN_CONTROL, -1000, "<pad>" },
        { 4, TOKEN_USER_DEFINED, -1000, "[toy]" },
        { 5, TOKEN_CONTROL, -1000, "<unused0>" },    // not marked special, but control tokens in the published files
        { 6, TOKEN_CONTROL, -1000, "<|channel>" },
        { 7, TOKEN_BYTE, 0, "<0x00>" },
        { 263, TOKEN_NORMAL, -0.0f, "\xe2\x96\x81" },
        { 264, TOKEN_NORMAL, -1, "a" },
        { 269, TOKEN_NORMAL, -6, "abc" },
        { 270, TOKEN_CONTROL, -1000, "<end_of_turn>" },
        { 272, TOKEN_USER_DEFINED, -1000, "  " },    // spaces, as they stand in a text
        { 279, TOKEN_UNUSED, -10000, "[PAD279]" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        float s = f32_at(p, SCORES, rows[i].id);
        ck_assert_int_eq(int_at(p, TYPES, rows[i].id), rows[i].type);
        ck_assert_mem_eq(&s, &rows[i].score, sizeof s);     // -0.0 too, as in the published files
        ck_assert(str_at(p, TOKENS, rows[i].id, rows[i].text));
    }
    ck_assert_ptr_null(gguf_plan_find(p, "tokenizer.ggml.merges"));
    gguf_plan_free(p);
    // All ways to make a token, by its id, the longer left side first: then the scores say it, as in the published
    // files.
    mini_set(in.tokenizer, "model.merges", "[[\"a\",\"b\"],[\"\xe2\x96\x81\",\"ab\"],[\"ab\",\"c\"]]");
    mini_set(in.tokenizer, "model.vocab.bc", "278");
    p = good_plan(&in);
    ck_assert_ptr_nonnull(gguf_plan_find(p, "tokenizer.ggml.merges"));     // b + c and a + bc are not listed
    gguf_plan_free(p);
    mini_set(in.tokenizer, "model.merges",
             "[[\"a\",\"b\"],[\"\xe2\x96\x81\",\"ab\"],[\"ab\",\"c\"],[\"a\",\"bc\"],[\"b\",\"c\"]]");
    p = good_plan(&in);
    ck_assert_ptr_null(gguf_plan_find(p, "tokenizer.ggml.merges"));
    gguf_plan_free(p);
    mini_set(in.tokenizer, "model.merges",
             "[[\"a\",\"b\"],[\"\xe2\x96\x81\",\"ab\"],[\"a\",\"bc\"],[\"ab\",\"c\"],[\"b\",\"c\"]]");
    p = good_plan(&in);
    ck_assert_ptr_nonnull(gguf_plan_find(p, "tokenizer.ggml.merges"));     // the shorter left side first
    gguf_plan_free(p);
    input_free(&in);
}
END_TEST

START_TEST(test_holes_are_padded)
{
    input in = input_new(TOK_GEMMA4);
    mini_set(in.tokenizer, "model.vocab.far", "278");
    gguf_plan *p = good_plan(&in);
    ck_assert(str_at(p, TOKENS, 277, "[PAD277]") && str_at(p, TOKENS, 278, "far") &&
              str_at(p, TOKENS, 279, "[PAD279]"));
    ck_assert_int_eq(int_at(p, TYPES, 278), TOKEN_NORMAL);
    gguf_plan_free(p);
    in.n_vocab = 274;       // no room for 'far', but no text becomes it
    p = good_plan(&in);
    ck_assert_int_eq(kv_of(p, TOKENS)->n, 274);
    ck_assert_ptr_null(gguf_plan_find(p, KEY_BEYOND));
    gguf_plan_free(p);
    err e = { 0 };
    mini_set(in.tokenizer, "model.vocab.x", "277");        // a text that holds this character does
    ck_assert_ptr_null(plan_of(&in, &e));
    check_refused(&e, ERR_INPUT, "dir/tokenizer.json", "token 'x': found id 277, expected one below 274");
    mini_set(in.tokenizer, "model.vocab.x", NULL);
    mini_set(in.tokenizer, "model.vocab.abab", "279");
    mini_set(in.tokenizer, "model.merges", "[[\"a\",\"b\"],[\"ab\",\"ab\"]]");
    e = (err){ 0 };
    ck_assert_ptr_null(plan_of(&in, &e));
    check_refused(&e, ERR_INPUT, "dir/tokenizer.json",
                  "merges: element 1 'ab' + 'ab': found ids 266, 266 and 279, expected ids below 274");
    input_free(&in);
}
END_TEST

START_TEST(test_end_ids)
{
    static const struct { const char *generation, *config, *eos_token; int n, first, eos, eot; } rows[] = {
        { "{\"eos_token_id\":[1,270]}", "{}", "\"<eos>\"", 2, 1, 1, 270 },
        { "{\"eos_token_id\":271}", "{}", "\"<eos>\"", 1, 271, 1, 271 },
        { "{\"eos_token_id\":[271,1]}", "{}", "\"<turn|>\"", 2, 271, 271, -1 },
        { "{}", "{\"eos_token_id\":[1,271]}", NULL, 2, 1, 1, 271 },    // a list, and nothing else says which
        { "{}", "{\"text_config\":{\"eos_token_id\":1}}", NULL, 1, 1, 1, -1 },
        { "{}", "{}", "\"<eos>\"", 1, 1, 1, -1 },
        { "{}", "{}", NULL, 0, -1, -1, -1 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        input in = input_new(TOK_GEMMA4);
        cJSON_Delete(in.generation);
        cJSON_Delete(in.config);
        in.generation = mini_json(rows[i].generation);
        in.config = mini_json(rows[i].config);
        mini_set(in.tokenizer_config, "eos_token", rows[i].eos_token);
        gguf_plan *p = good_plan(&in);
        const gguf_kv *all = gguf_plan_find(p, KEY_EOS_IDS), *eos = gguf_plan_find(p, "tokenizer.ggml.eos_token_id");
        ck_assert_int_eq(all ? all->n : 0, rows[i].n);
        if (all) ck_assert_int_eq(int_at(p, KEY_EOS_IDS, 0), rows[i].first);
        ck_assert_int_eq(eos ? int_at(p, "tokenizer.ggml.eos_token_id", 0) : -1, rows[i].eos);
        ck_assert_int_eq(gguf_plan_find(p, "tokenizer.ggml.eot_token_id") ? int_at(p, "tokenizer.ggml.eot_token_id", 0)
                                                                          : -1,
                         rows[i].eot);
        gguf_plan_free(p);
        input_free(&in);
    }
}
END_TEST

// The post_processor decides; add_bos_token and add_eos_token are leftovers, but in special_tokens_map.json.
START_TEST(test_frame)
{
    #define BOS "{\"SpecialToken\":{\"id\":\"<bos>\"}}"
    #define EOS "{\"SpecialToken\":{\"id\":\"<eos>\"}}"
    #define TEXT "{\"Sequence\":{\"id\":\"A\"}}"
    static const struct { const char *post, *config, *map; bool bos, eos; int bos_id; } rows[] = {
        { NULL, "{\"bos_token\":\"<bos>\",\"add_bos_token\":true}", NULL, false, false, 2 },
        { NULL, "{\"bos_token\":\"<bos>\",\"tokenizer_class\":\"GemmaTokenizerFast\",\"add_eos_token\":true}", NULL,
          false, false, 2 },
        { "{\"type\":\"TemplateProcessing\",\"single\":[" TEXT "]}", "{\"bos_token\":\"<bos>\",\"add_bos_token\":true}",
          NULL, false, false, 2 },
        { "{\"type\":\"TemplateProcessing\",\"single\":[" BOS "," TEXT "]}",
          "{\"bos_token\":\"<bos>\",\"add_bos_token\":false,\"add_eos_token\":true}", NULL, true, false, 2 },
        // nobody names it, and yet it is put there
        { "{\"type\":\"TemplateProcessing\",\"single\":[" BOS "," TEXT "]}", "{\"bos_token\":null}", NULL, true, false,
          2 },
        { "{\"type\":\"Sequence\",\"processors\":[{\"type\":\"ByteLevel\"},{\"type\":\"TemplateProcessing\",\"single\":"
          "[" BOS "," TEXT "," EOS "]}]}",
          "{\"bos_token\":\"<bos>\",\"eos_token\":\"<eos>\"}", NULL, true, true, 2 },
        { "{\"type\":\"TemplateProcessing\",\"single\":[" BOS "," TEXT "]}",
          "{\"bos_token\":\"<bos>\",\"eos_token\":\"<eos>\"}", "{\"add_eos_token\":true}", false, true, 2 },
        // then the map is not read
        { NULL, "{\"bos_token\":\"<bos>\",\"eos_token\":\"<eos>\",\"added_tokens_decoder\":{}}",
          "{\"add_eos_token\":true}", false, false, 2 },
        { NULL, "{\"bos_token\":null}", "{\"add_bos_token\":true}", false, false, -1 },    // nobody to put there
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        input in = input_new(TOK_GEMMA4);
        mini_set(in.tokenizer, "post_processor", rows[i].post);
        cJSON_Delete(in.tokenizer_config);
        in.tokenizer_config = mini_json(rows[i].config);
        if (rows[i].map) in.special_tokens_map = mini_json(rows[i].map);
        gguf_plan *p = good_plan(&in);
        ck_assert_int_eq(int_at(p, "tokenizer.ggml.add_bos_token", 0), rows[i].bos);
        ck_assert_int_eq(int_at(p, "tokenizer.ggml.add_eos_token", 0), rows[i].eos);
        ck_assert_int_eq(gguf_plan_find(p, "tokenizer.ggml.bos_token_id") ? int_at(p, "tokenizer.ggml.bos_token_id", 0)
                                                                          : -1,
                         rows[i].bos_id);
        gguf_plan_free(p);
        input_free(&in);
    }
}
END_TEST

START_TEST(test_suppressed)
{
    input in = input_new(TOK_GEMMA4);
    mini_set(in.generation, "suppress_tokens", "[4,5]");
    gguf_plan *p = good_plan(&in);
    ck_assert_ptr_null(gguf_plan_find(p, "tokenizer.ggml.suppress_tokens"));
    gguf_plan_free(p);
    in.suppress = true;
    p = good_plan(&in);
    ck_assert_int_eq(int_at(p, "tokenizer.ggml.suppress_tokens", 1), 5);
    gguf_plan_free(p);
    input_free(&in);
}
END_TEST

// ---- what is refused ------------------------------------------------------------------------------------------------

START_TEST(test_refused)
{
    static const struct { tok_kind kind; const char *path, *value, *says; } rows[] = {
        { TOK_GEMMA4, "model", "[]", "model: expected an object" },
        { TOK_GEMMA4, "model.type", "\"Unigram\"", "model.type: found Unigram, expected BPE" },
        { TOK_GEMMA4, "model.type", NULL, "model.type: found nothing" },
        { TOK_GEMMA4, "model.byte_fallback", "false", "model.byte_fallback: found false" },
        { TOK_GEMMA4, "model.ignore_merges", "true", "model.ignore_merges: found true" },
        { TOK_GEMMA4, "normalizer", NULL, "normalizer: found none" },
        { TOK_GEMMA4, "normalizer", "{\"type\":\"NFKC\"}", "normalizer: found NFKC" },
        { TOK_GEMMA4, "normalizer",
          "{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Prepend\",\"prepend\":\"\\u2581\"}]}",
          "normalizer: found Sequence" },
        { TOK_GEMMA4, "normalizer.content", "\"_\"", "normalizer: found Replace" },
        { TOK_GEMMA4, "pre_tokenizer", "{\"type\":\"ByteLevel\"}", "pre_tokenizer: found ByteLevel" },
        { TOK_GEMMA4, "pre_tokenizer.pattern", "{\"Regex\":\"\\\\d\"}", "pre_tokenizer: found Split" },
        { TOK_GEMMA4, "model.vocab", "[]", "model.vocab: expected an object of tokens and ids" },
        { TOK_GEMMA4, "model.vocab", "{}", "model.vocab: expected an object of tokens and ids" },
        { TOK_GEMMA4, "model.vocab.x", "280", "token 'x': found id 280, expected one below 280" },
        { TOK_GEMMA4, "model.vocab.x", "-1", "token 'x': found id -1, expected one below 280" },
        { TOK_GEMMA4, "model.vocab.x", "1.5", "token 'x': found id 1.5" },
        { TOK_GEMMA4, "model.vocab.x", "1e300", "token 'x': found id 1" },
        { TOK_GEMMA4, "model.vocab.x", "\"5\"", "token 'x': found id \"5\"" },
        { TOK_GEMMA4, "model.vocab.x", "7", "id 7: found tokens '<0x00>' and 'x', expected one" },
        { TOK_GEMMA4, "added_tokens", "{}", "added_tokens: found an object, expected an array" },
        { TOK_GEMMA4, "added_tokens", "[7]", "added_tokens: found 7, expected objects" },
        { TOK_GEMMA4, "added_tokens", "[{\"id\":5}]", "content" },
        { TOK_GEMMA4, "added_tokens", "[{\"content\":\"x\"}]", "token 'x': found id nothing" },
        // 273 tokens, and the next id is taken
        { TOK_GEMMA4, "model.vocab.far", "273", "id 273: found tokens 'far' and '\u2581\u2581', expected one" },
        { TOK_GEMMA4, "added_tokens", "[{\"content\":\"x\",\"id\":275,\"lstrip\":true}]",
          "token 'x': found lstrip true" },
        { TOK_LLAMA, "added_tokens", "[{\"content\":\"x\",\"id\":275,\"special\":true,\"rstrip\":true}]",
          "token 'x': found rstrip true" },
        { TOK_GEMMA4, "added_tokens", "[{\"content\":\"x\",\"id\":275,\"single_word\":true}]",
          "token 'x': found single_word true" },
        { TOK_GEMMA4, "added_tokens", "[{\"content\":\"x\",\"id\":275,\"lstrip\":1}]", "lstrip" },
        { TOK_GEMMA4, "added_tokens", "[{\"content\":\"x y\",\"id\":275,\"normalized\":true}]",
          "token 'x y': found normalized true in a token with a space" },
        { TOK_GEMMA4, "added_tokens", "[{\"content\":\"x\\u2581\",\"id\":275,\"normalized\":true}]",
          "found normalized true in a token with a space" },
        { TOK_GEMMA4, "added_tokens",
          "[{\"content\":\"xyz\",\"id\":275,\"normalized\":true},{\"content\":\"y\",\"id\":276}]",
          "token 'xyz': found normalized true" },
        { TOK_GEMMA4, "added_tokens",
          "[{\"content\":\"zu\",\"id\":276},{\"content\":\"xyz\",\"id\":275,\"normalized\":true}]",
          "where it meets 'zu'" },
        { TOK_GEMMA4, "added_tokens",
          "[{\"content\":\"xyzu\",\"id\":275,\"normalized\":true},{\"content\":\"yzuvw\",\"id\":276}]",
          "where it meets 'yzuvw'" },
        { TOK_GEMMA4, "added_tokens",
          "[{\"content\":\"xy\",\"id\":275,\"normalized\":true},{\"content\":\"x\",\"id\":276}]",
          "where it meets 'x'" },
        { TOK_GEMMA4, "model.merges", "[]", "model.merges: found none" },
        { TOK_GEMMA4, "model.merges", NULL, "model.merges: found none" },
        { TOK_GEMMA4, "model.merges", "{\"a\":1}", "model.merges" },
        { TOK_GEMMA4, "model.merges", "[[\"a\",\"z\"]]", "merges: element 0 'a' + 'z': not in the vocabulary" },
        { TOK_GEMMA4, "model.merges", "[[\"a\",\"c\"]]", "merges: element 0 'a' + 'c': not in the vocabulary" },
        { TOK_GEMMA4, "model.merges", "[[\"a b\",\"b\"]]", "merges: element 0 'a b' + 'b': not in the vocabulary" },
        { TOK_GEMMA4, "model.merges", "[\"ab\"]", "merges: expected two tokens with one space between them" },
        { TOK_GEMMA4, "model.merges", "[\"a b c\"]", "merges: expected two tokens with one space between them" },
        { TOK_GEMMA4, "model.merges", "[\" a\"]", "merges: expected two tokens" },
        { TOK_GEMMA4, "model.merges", "[[\"a\"]]", "merges: expected ','" },
        { TOK_GEMMA4, "model.merges", "[[\"a\",\"b\",\"c\"]]", "merges: expected ']' after two tokens" },
        { TOK_GEMMA4, "model.merges", "[[\"\",\"b\"]]", "merges: expected tokens that are not empty" },
        { TOK_GEMMA4, "model.merges", "[7]", "merges: expected a string" },
        { TOK_LLAMA, "model.merges", "[[\"ab\",\"c\"],[\"a\",\"b\"]]",
          "merges: element 1 makes id 266 after id 269: scores cannot say that order" },
        { TOK_GEMMA4, "post_processor", "[]", "post_processor: expected an object" },
        { TOK_GEMMA4, "post_processor", "{\"type\":\"RobertaProcessing\"}", "post_processor: found RobertaProcessing" },
        { TOK_GEMMA4, "post_processor", "{\"type\":\"TemplateProcessing\"}", "post_processor: single" },
        { TOK_GEMMA4, "post_processor.single", "[{\"SpecialToken\":{\"id\":\"<pad>\"}},{\"Sequence\":{}}]",
          "found '<pad>' before the text, expected '<bos>'" },
        { TOK_GEMMA4, "post_processor.single", "[{\"Sequence\":{}},{\"SpecialToken\":{\"id\":\"<pad>\"}}]",
          "found '<pad>' after the text" },
        { TOK_GEMMA4, "post_processor.single", "[{\"Sequence\":{}},{\"Sequence\":{}}]",
          "expected at most one token after the text" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        input in = input_new(rows[i].kind);
        err e = { 0 };
        mini_set(in.tokenizer, rows[i].path, rows[i].value);
        ck_assert_msg(!plan_of(&in, &e), "accepted %s = %s", rows[i].path, rows[i].value);
        check_refused(&e, ERR_INPUT, "dir/tokenizer.json", rows[i].says);
        input_free(&in);
    }
}
END_TEST

// A token's length bounds the work that a hostile vocabulary can ask for.
START_TEST(test_very_long_token)
{
    static const int LENGTHS[] = { 1024, 1025, 1 << 20 };
    for (int i = 0; i < 3; i++) {
        input in = input_new(TOK_GEMMA4);
        err   e = { 0 };
        char *name = malloc((size_t)LENGTHS[i] + 1);
        memset(name, 'x', (size_t)LENGTHS[i]);
        name[LENGTHS[i]] = 0;
        cJSON *vocab = cJSON_GetObjectItem(cJSON_GetObjectItem(in.tokenizer, "model"), "vocab");
        ck_assert(vocab && cJSON_AddNumberToObject(vocab, name, 272));
        in.n_vocab = 280;
        gguf_plan *p = plan_of(&in, &e);
        if (i == 0) ck_assert_msg(p != NULL, "%s", e.msg);
        else
            check_refused(&e, ERR_INPUT, "dir/tokenizer.json",
                          i == 1 ? "found 1025 bytes, expected at most 1024"
                                 : "found 1048576 bytes, expected at most 1024");
        gguf_plan_free(p);
        free(name);
        input_free(&in);
    }
}
END_TEST

// Flags that change nothing are no reason to refuse: none set, and normalized where it finds the same places.
START_TEST(test_harmless_flags)
{
    static const char *const lists[] = {
        "[{\"content\":\"xyz\",\"id\":275,\"lstrip\":false,\"rstrip\":false,\"single_word\":false,"
        "\"normalized\":false}]",
        "[{\"content\":\"xyz\",\"id\":275,\"normalized\":true}]",
        // begins before it: cut out first by all
        "[{\"content\":\"xyz\",\"id\":275,\"normalized\":true},{\"content\":\"wx\",\"id\":276}]",
        // the longer one at one place
        "[{\"content\":\"xyz\",\"id\":275,\"normalized\":true},{\"content\":\"xyzw\",\"id\":276}]",
        "[{\"content\":\"xyz\",\"id\":275,\"normalized\":true},{\"content\":\"y\",\"id\":276,\"normalized\":true}]",
        "[{\"content\":\"x y\",\"id\":275}]",
    };
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        input in = input_new(TOK_GEMMA4);
        mini_set(in.tokenizer, "added_tokens", lists[i]);
        mini_set(in.tokenizer, "post_processor", NULL);
        gguf_plan *p = good_plan(&in);
        // the first id behind the vocabulary, whatever the file says
        ck_assert_int_eq(int_at(p, TYPES, 272), TOKEN_USER_DEFINED);
        gguf_plan_free(p);
        input_free(&in);
    }
}
END_TEST

START_TEST(test_bad_special_ids)
{
    static const struct { const char *which, *path, *value, *says; } rows[] = {
        { "generation", "eos_token_id", "[1,-1]",
          "generation_config.json: eos_token_id: found -1, expected an id below 280" },
        { "generation", "eos_token_id", "[1,\"x\"]",
          "generation_config.json: eos_token_id: found \"x\", expected an id below 280" },
        { "generation", "eos_token_id", "\"1\"", "generation_config.json: eos_token_id: found \"1\"" },
        { "generation", "eos_token_id", "{}", "generation_config.json: eos_token_id: found an object" },
        { "generation", "eos_token_id", "1.5", "generation_config.json: eos_token_id: found 1.5" },
        { "generation", "eos_token_id", "true", "generation_config.json: eos_token_id: found true" },
        { "generation", "suppress_tokens", "[-4]", "generation_config.json: suppress_tokens: found -4" },
        { "generation", "suppress_tokens", "7", "generation_config.json: suppress_tokens: found 7, expected a list" },
        { "config", "mask_token_id", "\"4\"", "config.json: mask_token_id: found \"4\"" },
        { "config", "pad_token_id", "281", "config.json: pad_token_id: found 281" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        input in = input_new(TOK_GEMMA4);
        err e = { 0 };
        in.suppress = true;
        mini_set(strcmp(rows[i].which, "config") == 0 ? in.config : in.generation, rows[i].path, rows[i].value);
        ck_assert_msg(!plan_of(&in, &e), "accepted %s", rows[i].says);
        check_refused(&e, ERR_INPUT, NULL, rows[i].says);
        input_free(&in);
    }
}
END_TEST

START_TEST(test_every_truncation)
{
    input in = input_new(TOK_GEMMA4);
    char *text = cJSON_PrintUnformatted(in.tokenizer);
    int64_t n = (int64_t)strlen(text);
    for (int64_t k = 0; k < n; k++) {
        err e = { 0 };
        ck_assert_msg(!plan_text(&in, text, k, &e), "accepted %d of %d bytes", (int)k, (int)n);
        check_refused(&e, ERR_INPUT, "dir/tokenizer.json", "");
    }
    free(text);
    input_free(&in);
}
END_TEST

START_TEST(test_hostile_text)
{
    input in = input_new(TOK_GEMMA4);
    err   e = { 0 };
    buffer b = { 0 };
    put_text(&b, "{\"model\":{\"merges\":");
    for (int i = 0; i < 100000; i++) put_text(&b, "[");
    ck_assert_ptr_null(plan_text(&in, (char *)b.p, b.n, &e));
    check_refused(&e, ERR_INPUT, "dir/tokenizer.json", "merges: expected a string");
    b.n = 0;
    e = (err){ 0 };
    for (int i = 0; i < 100000; i++) put_text(&b, "{\"model\":");
    ck_assert_ptr_null(plan_text(&in, (char *)b.p, b.n, &e));
    check_refused(&e, ERR_INPUT, "dir/tokenizer.json", "nested deeper than");
    bytes_free(&b);
    static const struct { const char *text, *says; } rows[] = {
        { "{\"model\":{\"merges\":[\"a b\"],\"merges\":[]}}", "found the name 'merges' twice" },
        { "{\"model\":{\"m\\u0065rges\":[\"a b\"],\"type\":\"BPE\",\"byte_fallback\":true}}", "its name without "
                                                                                              "escapes" },
        { "{\"model\":{\"merges\":[\"\\ud800 b\"]}}", "merges: expected an escape sequence of JSON" },
        { "{\"model\":{\"merges\":[\"\\u0000 b\"]}}", "merges: expected an escape sequence of JSON" },
        { "{\"model\":{\"merges\":[\"a\nb\"]}}", "merges: expected the end of a string" },
        { "{\"model\":{\"merges\":[\"a b\",]}}", "merges: expected a merge after ','" },
        { "{\"model\":{\"merges\":[\"a b\"", "merges: expected ',' or ']'" },
        { "[\"model\",{\"merges\":[7]}]", "model: expected an object" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        e = (err){ 0 };
        ck_assert_ptr_null(plan_text(&in, rows[i].text, (int64_t)strlen(rows[i].text), &e));
        check_refused(&e, ERR_INPUT, "dir/tokenizer.json", rows[i].says);
    }
    input_free(&in);
}
END_TEST

// ---- parts ----------------------------------------------------------------------------------------------------------

START_TEST(test_merges_take)
{
    // "merges" elsewhere is not it; escapes become characters; offsets of what follows stay.
    char text[] = "{\"merges\":[1],\"x\":{\"merges\":2},\"a\":\"model\",\"model\":{\"y\":[{\"merges\":3}],\"z\":"
                  "\"merges\",\"merges\" : [ \"a\\u0041 \\\"\" ,"
                  "[\"\\ud83d\\ude00\",\"\\n\"] ],\"end\":4}}";
    int64_t n = (int64_t)strlen(text);
    const char *end = strstr(text, "\"end\"");
    merges m;
    err    e = { 0 };
    ck_assert_msg(merges_take(&m, text, n, "t", &e), "%s", e.msg);
    ck_assert_int_eq(m.n, 2);
    ck_assert_mem_eq(m.joined, "aA \"\xf0\x9f\x98\x80 \n", 10);
    ck_assert_int_eq(m.m[0].n_left, 2);
    ck_assert_int_eq(m.m[0].n_right, 1);
    ck_assert_int_eq(m.m[1].off, 4);
    ck_assert_int_eq(m.m[1].n_left, 4);
    ck_assert_ptr_eq(strstr(text, "\"end\""), end);
    cJSON *v = json_parse(text, n, "t", &e);
    ck_assert_msg(v != NULL, "%s", e.msg);
    ck_assert_int_eq(cJSON_GetArraySize(json_get(json_get(v, "model"), "merges")), 0);
    ck_assert_int_eq(cJSON_GetArraySize(json_get(v, "merges")), 1);
    cJSON_Delete(v);
    merges_free(&m);
}
END_TEST

START_TEST(test_strmap)
{
    enum { N = 20000 };
    static char text[N][16];
    strmap m;
    err    e = { 0 };
    ck_assert(strmap_init(&m, N, &e));
    for (int i = 0; i < N; i++) {
        snprintf(text[i], sizeof text[i], "t%d", i);
        ck_assert_int_eq(strmap_put(&m, text[i], (int64_t)strlen(text[i]), i), -1);
    }
    for (int i = 0; i < N; i++) ck_assert_int_eq(strmap_get(&m, text[i], (int64_t)strlen(text[i])), i);
    ck_assert_int_eq(strmap_put(&m, "t7", 2, 9), 7);
    ck_assert_int_eq(strmap_get(&m, "u", 1), -1);
    strmap_free(&m);
}
END_TEST

// Names and labels as gguf-py's Metadata.id_to_title and size_label give them.
START_TEST(test_names)
{
    static const struct { general_size size; const char *label; } sizes[] = {
        { { 268098176, 0, 0 }, "268M" }, { { 4650000000, 0, 0 }, "4.7B" }, { { 30700000000, 0, 0 }, "31B" },
        { { 5971000, 0, 0 }, "6.0M" }, { { 999, 0, 0 }, "1.0K" }, { { 120, 0, 0 }, "0.12K" },
        { { 2000000000000, 0, 0 }, "2.0T" }, { { 25233141760, 128, 22837985280 }, "128x2.6B" },
    };
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        char out[32];
        general_meta_size_label(&sizes[i].size, out);
        ck_assert_str_eq(out, sizes[i].label);
    }
}
END_TEST

START_TEST(test_general)
{
    char *dir = new_dir(), id[4096];
    err   e = { 0 };
    char  path[8400];
    snprintf(path, sizeof path,
             "mkdir -p '%s/models--org--gemma-4-E2B-it/snapshots/0123456789012345678901234567890123456789'", dir);
    ck_assert_int_eq(system(path), 0);
    snprintf(path, sizeof path, "%s/models--org--gemma-4-E2B-it/snapshots/0123456789012345678901234567890123456789/",
             dir);
    ck_assert(general_meta_model_id(path, id, sizeof id, &e));
    ck_assert_str_eq(id, "gemma-4-E2B-it");
    const char readme[] = "---\nlanguage:\n- en\nlicense: apache-2.0\nlicense_link: "
                          "https://example.org/license\nlicense_name: \"quoted\"\n---\nlicense: not this\n";
    write_file(in_dir(dir, "README.md"), readme, (int64_t)strlen(readme));
    cJSON *g = mini_json("{\"top_k\":64,\"top_p\":0.95,\"temperature\":1.0,\"min_p\":\"x\"}");
    gguf_plan *p = gguf_plan_new(32, &e);
    ck_assert_msg(general_meta_plan(p, "gemma4", dir, g, &(general_size){ .n_params = 1500000 }, NULL, &e), "%s",
                  e.msg);
    ck_assert(str_is(p, "general.architecture", "gemma4") && str_is(p, "general.type", "model") &&
              str_is(p, "general.size_label", "1.5M"));
    ck_assert(str_is(p, "general.license", "apache-2.0") &&
              str_is(p, "general.license.link", "https://example.org/license"));
    ck_assert(str_is(p, "general.license.name", "quoted"));
    ck_assert_int_eq(int_at(p, "general.sampling.top_k", 0), 64);
    ck_assert_float_eq(f32_at(p, "general.sampling.top_p", 0), 0.95f);
    ck_assert_ptr_null(gguf_plan_find(p, "general.sampling.min_p"));
    gguf_plan_free(p);
    // A folder's name need not be UTF-8; a string of a GGUF file is.
    ck_assert_int_eq(mkdir(in_dir(dir, "g\xe9mma-4"), 0777), 0);
    p = gguf_plan_new(32, &e);
    ck_assert_msg(general_meta_plan(p, "gemma4", in_dir(dir, "g\xe9mma-4"), g, &(general_size){ .n_params = 1500000 },
                                    NULL, &e), "%s", e.msg);
    ck_assert(str_is(p, "general.name", "G\xef\xbf\xbdMma 4"));
    gguf_plan_free(p);
    cJSON_Delete(g);
    drop_dir(dir);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("tokenizer_meta");
    TCase *c = tcase_create("tokenizer_meta");
    tcase_add_test(c, test_gemma4);
    tcase_add_test(c, test_gemma3);
    tcase_add_test(c, test_holes_are_padded);
    tcase_add_test(c, test_end_ids);
    tcase_add_test(c, test_frame);
    tcase_add_test(c, test_suppressed);
    tcase_add_test(c, test_refused);
    tcase_add_test(c, test_very_long_token);
    tcase_add_test(c, test_harmless_flags);
    tcase_add_test(c, test_bad_special_ids);
    tcase_add_test(c, test_every_truncation);
    tcase_add_test(c, test_hostile_text);
    tcase_add_test(c, test_merges_take);
    tcase_add_test(c, test_strmap);
    tcase_add_test(c, test_names);
    tcase_add_test(c, test_general);
    suite_add_tcase(s, c);
    return run_suite(s);
}
