// Proves convert/added_lists.h, convert/added_tokens.h and convert/tokenizer_class.h: which tokens a folder has beside
// its vocabulary, and the ids they get. What is expected was printed by Transformers 5.24 (AutoTokenizer, tokenizers
// 0.23.3) for the same files. And that the work grows with the files alone.
#include "doubling.h"
#include "tokenizer_input.h"

// ---- which tokens, which ids ----------------------------------------------------------------------------------------

enum { FIRST = 272 };           // ids behind the vocabulary of tests/mini_checkpoint.h

typedef struct {
    const char *story;
    const char *build;          // tokenizer_class, or NULL
    const char *more;           // behind tokenizer.json's own added tokens
    const char *config;         // members of tokenizer_config.json
    const char *added, *map;    // added_tokens.json, special_tokens_map.json
    const char *tokens;         // from FIRST on, a space between two
    const char *types;          // of them: C control, U user-defined
} situation;

static const situation k_situations[] = {
    { "none", NULL, NULL, NULL, NULL, NULL, "▁▁", "U" },
    { "the class adds a mask token of its own", "GemmaTokenizer", NULL, NULL, NULL, NULL, "▁▁ <mask>", "UC" },
    { "and none where null is said", "GemmaTokenizer", NULL, "\"mask_token\":null", NULL, NULL, "▁▁", "U" },
    { "by id, closed up", "GemmaTokenizer",
      "{\"id\":277,\"content\":\"<y>\",\"special\":true},{\"id\":275,\"content\":\"<x>\",\"special\":true}", NULL, NULL,
      NULL, "▁▁ <x> <y> <mask>", "UCCC" },
    { "in the order of the file, closed up", NULL,
      "{\"id\":277,\"content\":\"<y>\",\"special\":true},{\"id\":275,\"content\":\"<x>\",\"special\":true}", NULL, NULL,
      NULL, "▁▁ <y> <x>", "UCC" },
    { "twice", NULL,
      "{\"id\":273,\"content\":\"<x>\",\"special\":true},{\"id\":273,\"content\":\"<x>\",\"special\":true}", NULL, NULL,
      NULL, "▁▁ <x>", "UC" },
    { "twice, once special", NULL,
      "{\"id\":273,\"content\":\"<x>\",\"special\":true},{\"id\":273,\"content\":\"<x>\",\"special\":false}", NULL,
      NULL, NULL, "▁▁ <x>", "UC" },
    { "two of one id, in the file's order", NULL,
      "{\"id\":273,\"content\":\"<x>\",\"special\":true},{\"id\":273,\"content\":\"<y>\",\"special\":true}", NULL, NULL,
      NULL, "▁▁ <x> <y>", "UCC" },
    { "two of one id, by id", "GemmaTokenizer",
      "{\"id\":273,\"content\":\"<x>\",\"special\":true},{\"id\":273,\"content\":\"<y>\",\"special\":true}", NULL, NULL,
      NULL, "▁▁ <y> <mask>", "UCC" },
    { "with empty text", "GemmaTokenizer",
      "{\"id\":273,\"content\":\"\",\"special\":true},{\"id\":274,\"content\":\"<x>\",\"special\":true}", NULL, NULL,
      NULL, "▁▁ <x> <mask>", "UCC" },
    { "added_tokens_decoder", NULL, NULL,
      "\"added_tokens_decoder\":{\"276\":{\"content\":\"<x>\"},\"275\":{\"content\":\"<y>\",\"special\":true}}", NULL,
      NULL, "▁▁ <y> <x>", "UCU" },
    { "added_tokens_decoder instead of the file's", "GemmaTokenizer",
      "{\"id\":273,\"content\":\"<x>\",\"special\":true}",
      "\"added_tokens_decoder\":{\"275\":{\"content\":\"<y>\",\"special\":true}}", NULL, NULL, "<y> <mask>", "CC" },
    { "special by its name", NULL, NULL,
      "\"added_tokens_decoder\":{\"273\":{\"content\":\"<x>\"}},\"sot_token\":\"<x>\"", NULL, NULL, "▁▁ <x>", "UC" },
    { "extra_special_tokens, a list", NULL, NULL,
      "\"extra_special_tokens\":[\"<x>\",{\"__type\":\"AddedToken\",\"content\":\"<y>\",\"special\":true}]", NULL, NULL,
      "▁▁ <x> <y>", "UCC" },
    { "extra_special_tokens, an object", NULL, NULL,
      "\"extra_special_tokens\":{\"a\":\"<x>\",\"b\":{\"__type\":\"AddedToken\",\"content\":\"<y>\",\"special\":true}}",
      NULL, NULL, "▁▁ <x> <y>", "UCC" },
    { "additional_special_tokens", NULL, NULL,
      "\"additional_special_tokens\":[\"<x>\",{\"__type\":\"AddedToken\",\"content\":\"<y>\",\"special\":true}]", NULL,
      NULL, "▁▁ <x> <y>", "UCC" },
    { "both: the new name counts", NULL, NULL,
      "\"additional_special_tokens\":[\"<x>\"],\"extra_special_tokens\":[\"<y>\"]", NULL, NULL, "▁▁ <y>", "UC" },
    { "both, the new one empty", NULL, NULL, "\"additional_special_tokens\":[\"<x>\"],\"extra_special_tokens\":[]",
      NULL, NULL, "▁▁ <x>", "UC" },
    { "both, the new one an object", NULL, NULL,
      "\"additional_special_tokens\":[\"<x>\"],\"extra_special_tokens\":{\"a\":\"<y>\"}", NULL, NULL, "▁▁ <y> <x>",
      "UCC" },
    { "named, objects first", NULL, NULL,
      "\"sot_token\":\"<x>\",\"eoc_token\":{\"__type\":\"AddedToken\",\"content\":\"<y>\",\"special\":true}", NULL,
      NULL, "▁▁ <y> <x>", "UCC" },
    { "an object without its type is no token", NULL, NULL, "\"sot_token\":{\"content\":\"<x>\"}", NULL, NULL, "▁▁",
      "U" },
    { "a name twice", NULL, NULL, "\"sot_token\":\"<x>\",\"extra_special_tokens\":{\"sot_token\":\"<y>\"}", NULL, NULL,
      "▁▁ <y>", "UC" },
    { "pad_token", NULL, NULL, "\"pad_token\":\"<x>\"", NULL, NULL, "▁▁ <x>", "UC" },
    { "added_tokens.json", NULL, NULL, NULL, "{\"<x>\":277,\"<y>\":275}", NULL, "▁▁ <y> <x>", "UUU" },
    { "an id that is taken", NULL, NULL, NULL, "{\"<x>\":271,\"<y>\":275}", NULL, "▁▁ <y>", "UU" },
    { "an id of the vocabulary", NULL, NULL, NULL, "{\"<x>\":264}", NULL, "▁▁ <x>", "UU" },
    { "special by another file", NULL, NULL, "\"extra_special_tokens\":[\"<x>\"]", "{\"<x>\":273}", NULL, "▁▁ <x>",
      "UC" },
    { "not read beside added_tokens_decoder", NULL, NULL, "\"added_tokens_decoder\":{}", "{\"<x>\":273}",
      "{\"pad_token\":\"<y>\"}", "▁▁", "U" },
    { "special_tokens_map.json comes first", NULL, NULL, "\"pad_token\":\"<pad>\"", NULL,
      "{\"pad_token\":{\"content\":\"<x>\",\"special\":false},\"a_token\":\"<y>\"}", "▁▁ <x> <y>", "UCC" },
    { "its lists", NULL, NULL, "\"extra_special_tokens\":[\"<x>\"]", NULL,
      "{\"extra_special_tokens\":[{\"content\":\"<y>\"}],\"additional_special_tokens\":[\"<z>\"]}", "▁▁ <x> <y>",
      "UCC" },
    { "its older list", NULL, NULL, NULL, NULL, "{\"additional_special_tokens\":[\"<z>\"]}", "▁▁ <z>", "UC" },
    { "its names behind objects, before strings", NULL, NULL,
      "\"b_token\":{\"__type\":\"AddedToken\",\"content\":\"<x>\",\"special\":true},\"c_token\":\"<y>\"", NULL,
      "{\"d_token\":\"<z>\",\"b_token\":\"<w>\"}", "▁▁ <w> <z> <y>", "UCCC" },
};

// {"a":1} and "\"b\":2" become {"a":1,"b":2}.
static void add_members(cJSON *obj, const char *members)
{
    char text[2048];
    snprintf(text, sizeof text, "{%s}", members);
    cJSON *more = mini_json(text);
    while (more->child) {
        cJSON *it = cJSON_DetachItemViaPointer(more, more->child);
        cJSON_DeleteItemFromObjectCaseSensitive(obj, it->string);
        char *name = strdup(it->string);
        cJSON_AddItemToObject(obj, name, it);
        free(name);
    }
    cJSON_Delete(more);
}

static input input_of(const situation *s, tok_kind kind)
{
    input in = input_new(kind);
    char  text[2048];
    mini_set(in.tokenizer, "post_processor", NULL);
    if (s->build) cJSON_AddStringToObject(in.tokenizer_config, "tokenizer_class", s->build);
    if (s->config) add_members(in.tokenizer_config, s->config);
    if (s->added) in.added_tokens = mini_json(s->added);
    if (s->map) in.special_tokens_map = mini_json(s->map);
    if (s->more) {
        snprintf(text, sizeof text, "[%s]", s->more);
        cJSON *more = mini_json(text), *list = cJSON_GetObjectItem(in.tokenizer, "added_tokens");
        while (more->child) cJSON_AddItemToArray(list, cJSON_DetachItemViaPointer(more, more->child));
        cJSON_Delete(more);
    }
    return in;
}

START_TEST(test_situation)
{
    const situation *s = &k_situations[_i];
    char  tokens[256], *save = NULL;
    input in = input_of(s, TOK_GEMMA4);
    gguf_plan *p = good_plan(&in);
    int64_t id = FIRST;
    snprintf(tokens, sizeof tokens, "%s", s->tokens);
    for (char *text = strtok_r(tokens, " ", &save); text; text = strtok_r(NULL, " ", &save), id++) {
        ck_assert_msg(str_at(p, TOKENS, id, text), "%s: token %d is not %s", s->story, (int)id, text);
        ck_assert_msg(int_at(p, TYPES, id) == (s->types[id - FIRST] == 'C' ? TOKEN_CONTROL : TOKEN_USER_DEFINED),
                      "%s: the type of %s is %d", s->story, text, (int)int_at(p, TYPES, id));
    }
    for (; id < MINI_VOCAB; id++)
        ck_assert_msg(int_at(p, TYPES, id) == TOKEN_UNUSED, "%s: token %d should have no text", s->story, (int)id);
    ck_assert_ptr_null(gguf_plan_find(p, KEY_BEYOND));
    gguf_plan_free(p);
    input_free(&in);
}
END_TEST

// Gemma 3's model is in AutoTokenizer's table, Gemma 4's is not: without a class the one is built by GemmaTokenizer,
// the other as its file says.
START_TEST(test_class_of_the_family)
{
    static const situation none = { .story = "no class" };
    for (int i = 0; i < 2; i++) {
        input in = input_of(&none, i ? TOK_LLAMA : TOK_GEMMA4);
        gguf_plan *p = good_plan(&in);
        ck_assert(str_at(p, TOKENS, 273, i ? "<mask>" : "[PAD273]"));
        gguf_plan_free(p);
        mini_set(in.config, "tokenizer_class", i ? "\"PreTrainedTokenizerFast\"" : "\"GemmaTokenizerFast\"");
        p = good_plan(&in);
        ck_assert(str_at(p, TOKENS, 273, i ? "[PAD273]" : "<mask>"));
        gguf_plan_free(p);
        input_free(&in);
    }
}
END_TEST

// A name may make a token of the vocabulary an added one, which is cut out of a text before anything merges.
START_TEST(test_named_in_the_vocabulary)
{
    static const situation named = { .story = "named", .config = "\"x_token\":\"abc\"" };
    input in = input_of(&named, TOK_GEMMA4);
    gguf_plan *p = good_plan(&in);
    ck_assert_int_eq(int_at(p, TYPES, 269), TOKEN_CONTROL);
    gguf_plan_free(p);
    input_free(&in);
}
END_TEST

// ---- beyond the embedding -------------------------------------------------------------------------------------------

START_TEST(test_beyond)
{
    static const struct { const char *story; situation s; int64_t n_vocab; const char *beyond, *at_273; } rows[] = {
        { "an id beyond it", { .more = "{\"id\":280,\"content\":\"<x>\",\"special\":true}" }, 280, "<x>", "[PAD273]" },
        { "far beyond it",
          { .more = "{\"id\":99999999999,\"content\":\"<x>\",\"special\":true}" },
          280,
          "<x>",
          "[PAD273]" },
        { "in added_tokens.json", { .added = "{\"<x>\":280}" }, 280, "<x>", "[PAD273]" },
        { "in added_tokens_decoder",
          { .config = "\"added_tokens_decoder\":{\"272\":{\"content\":\"\xe2\x96\x81\xe2\x96\x81\",\"normalized\":"
                      "false},\"280\":{\"content\":\"<x>\"}}" },
          280,
          "<x>",
          "[PAD273]" },
        { "no row left", { .config = "\"x_token\":\"<x>\"" }, 273, "<x>", NULL },
        { "one row left", { .config = "\"x_token\":\"<x>\",\"y_token\":\"<y>\"" }, 274, "<y>", "<x>" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        input in = input_of(&rows[i].s, TOK_GEMMA4);
        in.n_vocab = rows[i].n_vocab;
        gguf_plan *p = good_plan(&in);
        ck_assert_int_eq(kv_of(p, TOKENS)->n, rows[i].n_vocab);
        ck_assert_msg(kv_of(p, KEY_BEYOND)->n == 1 && str_at(p, KEY_BEYOND, 0, rows[i].beyond), "%s", rows[i].story);
        if (rows[i].at_273) ck_assert_msg(str_at(p, TOKENS, 273, rows[i].at_273), "%s", rows[i].story);
        gguf_plan_free(p);
        input_free(&in);
    }
}
END_TEST

// A token without a row cannot have a role: config.json's id has it then, if that is an added token's.
START_TEST(test_roles)
{
    static const struct { const char *config, *pad_token_id; int pad; } rows[] = {
        // nor is <pad> one without its entry
        { "\"pad_token\":\"<x>\",\"added_tokens_decoder\":{\"280\":{\"content\":\"<x>\"}}", "0", -1 },
        { "\"pad_token\":\"<x>\",\"x_token\":\"<pad>\",\"added_tokens_decoder\":{\"280\":{\"content\":\"<x>\"}}", "0",
          0 },
        { "\"x_token\":\"<y>\"", "0", 0 },
        { "\"x_token\":\"<y>\"", "264", -1 },
        { "\"pad_token\":\"abc\"", "0", 269 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const situation s = { .build = "GemmaTokenizer", .config = rows[i].config };
        input in = input_of(&s, TOK_GEMMA4);
        if (i != 4) add_members(in.tokenizer_config, i < 2 ? "\"mask_token\":null" : "\"pad_token\":null");
        mini_set(in.config, "pad_token_id", rows[i].pad_token_id);
        gguf_plan *p = good_plan(&in);
        ck_assert_msg((gguf_plan_find(p, "tokenizer.ggml.padding_token_id")
                           ? int_at(p, "tokenizer.ggml.padding_token_id", 0)
                           : -1) == rows[i].pad,
                      "row %d", (int)i);
        gguf_plan_free(p);
        input_free(&in);
    }
}
END_TEST

// ---- what is refused ------------------------------------------------------------------------------------------------

START_TEST(test_refused)
{
    static const struct { situation s; const char *says; } rows[] = {
        { { .config = "\"eos_token\":\"<x>\"" },
          "dir/tokenizer_config.json: eos_token: found '<x>', which is a token of no file" },
        { { .map = "{\"eos_token\":\"<x>\"}" }, "dir/special_tokens_map.json: eos_token: found '<x>'" },
        { { .config = "\"eos_token\":7" }, "dir/tokenizer_config.json: eos_token: found 7, expected a token" },
        { { .config = "\"bos_token\":[]" }, "dir/tokenizer_config.json: bos_token: found an array" },
        { { .config = "\"extra_special_tokens\":\"<x>\"" },
          "tokenizer_config.json: extra_special_tokens: found \"<x>\", expected a list of tokens" },
        { { .config = "\"extra_special_tokens\":[7]" }, "extra_special_tokens: found 7, expected a token" },
        { { .config = "\"extra_special_tokens\":{\"a\":7}" }, "tokenizer_config.json: a: found 7, expected a token" },
        { { .config = "\"additional_special_tokens\":[[]]" },
          "additional_special_tokens: found an array, expected a token" },
        { { .config = "\"added_tokens_decoder\":[]" },
          "added_tokens_decoder: found an array, expected an object of ids and tokens" },
        { { .config = "\"added_tokens_decoder\":{\"x\":{\"content\":\"<x>\"}}" },
          "added_tokens_decoder: found 'x', expected an id" },
        { { .config = "\"added_tokens_decoder\":{\"-1\":{\"content\":\"<x>\"}}" },
          "added_tokens_decoder: found '-1', expected an id" },
        { { .config = "\"added_tokens_decoder\":{\"9999999999999999999\":{\"content\":\"<x>\"}}" }, "expected an id" },
        { { .config = "\"added_tokens_decoder\":{\"275\":\"<x>\"}" },
          "added_tokens_decoder: found \"<x>\", expected a token's object" },
        { { .config = "\"added_tokens_decoder\":{\"275\":{\"content\":\"<x>\",\"lstrip\":true}}" },
          "tokenizer_config.json: token '<x>': found lstrip true" },
        { { .config = "\"added_tokens_decoder\":{\"275\":{\"content\":\"<x>\",\"special\":1}}" }, "special" },
        { { .config = "\"x_token\":{\"__type\":\"AddedToken\",\"content\":\"<x>\",\"rstrip\":true}" },
          "token '<x>': found rstrip true" },
        { { .added = "[]" }, "dir/added_tokens.json: the file: found an array" },
        { { .added = "{\"<x>\":\"273\"}" }, "dir/added_tokens.json: token '<x>': found id \"273\"" },
        { { .added = "{\"<x>\":-1}" }, "dir/added_tokens.json: token '<x>': found id -1" },
        { { .added = "{\"<x>\":1.5}" }, "dir/added_tokens.json: token '<x>': found id 1.5" },
        { { .added = "{\"a b\":273}" },
          "dir/added_tokens.json: token 'a b': found normalized true in a token with a space" },
        { { .map = "[]" }, "dir/special_tokens_map.json: the file: found an array" },
        { { .map = "{\"pad_token\":[\"<pad>\"]}" }, "dir/special_tokens_map.json: pad_token: found an array" },
        { { .map = "{\"add_eos_token\":\"yes\"}" }, "add_eos_token" },
        { { .build = "LlamaTokenizer" }, "dir/tokenizer_config.json: tokenizer_class: found 'LlamaTokenizer'" },
        { { .build = "Qwen2TokenizerFast" }, "tokenizer_class: found 'Qwen2TokenizerFast'" },
        { { .config = "\"tokenizer_class\":7" }, "tokenizer_class" },
        { { .config = "\"tokenizer_class\":\"OwnTokenizer\",\"auto_map\":{\"AutoTokenizer\":[null,\"own.OwnTokenizer\"]"
                      "}" },
          "auto_map: found the folder's own code" },
        { { .config = "\"split_special_tokens\":true" }, "split_special_tokens: found true" },
        { { .config = "\"fast_tokenizer_files\":[\"tokenizer.json\",\"tokenizer.4.0.0.json\"]" },
          "fast_tokenizer_files: found 'tokenizer.4.0.0.json'" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        input in = input_of(&rows[i].s, TOK_GEMMA4);
        err   e = { 0 };
        ck_assert_msg(!plan_of(&in, &e), "accepted: %s", rows[i].says);
        check_refused(&e, ERR_INPUT, NULL, rows[i].says);
        input_free(&in);
    }
}
END_TEST

// The token that a post_processor puts is the one that its own table gives.
START_TEST(test_post_processor_ids)
{
    static const struct { const char *ids, *says; } rows[] = {
        { "[2]", NULL },
        { "[4]", "special_tokens: '<bos>': ids: expected 2 alone" },
        { "[2,2]", "expected 2 alone" },
        { "[]", "expected 2 alone" },
        { "2", "expected 2 alone" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char  table[80];
        input in = input_new(TOK_GEMMA4);
        err   e = { 0 };
        snprintf(table, sizeof table, "{\"<bos>\":{\"ids\":%s}}", rows[i].ids);
        mini_set(in.tokenizer, "post_processor.special_tokens", table);
        gguf_plan *p = plan_of(&in, &e);
        if (rows[i].says) check_refused(&e, ERR_INPUT, "dir/tokenizer.json", rows[i].says);
        else              ck_assert_msg(p != NULL, "%s", e.msg);
        gguf_plan_free(p);
        input_free(&in);
    }
}
END_TEST

// ---- repeated merges ------------------------------------------------------------------------------------------------

START_TEST(test_repeated_merges)
{
    input in = input_new(TOK_GEMMA4);
    mini_set(in.tokenizer, "model.merges",
             "[[\"a\",\"b\"],\"ab c\",[\"\xe2\x96\x81\",\"ab\"],\"a b\",[\"ab\",\"c\"],\"a b\"]");
    gguf_plan *p = good_plan(&in);
    ck_assert_int_eq(kv_of(p, "tokenizer.ggml.merges")->n, 3);
    ck_assert(str_at(p, "tokenizer.ggml.merges", 0, "\xe2\x96\x81 ab"));    // the last of each stays, where it stands
    ck_assert(str_at(p, "tokenizer.ggml.merges", 1, "ab c") && str_at(p, "tokenizer.ggml.merges", 2, "a b"));
    gguf_plan_free(p);
    input_free(&in);
    in = input_new(TOK_LLAMA);
    // without the first, in the order of the ids
    mini_set(in.tokenizer, "model.merges", "[[\"ab\",\"c\"],[\"a\",\"b\"],[\"\xe2\x96\x81\",\"ab\"],[\"ab\",\"c\"]]");
    p = good_plan(&in);
    ck_assert_ptr_null(gguf_plan_find(p, "tokenizer.ggml.merges"));
    gguf_plan_free(p);
    input_free(&in);
}
END_TEST

// ---- work -----------------------------------------------------------------------------------------------------------

#define MODEL_BEGIN                                                                                                    \
    "\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"String\":\" "                                                 \
    "\"},\"content\":\"\xe2\x96\x81\"},\"model\":{\"type\":\"BPE\",\"byte_fallback\":true,"

// Converts tokens of a file that is one text, with nothing beside it.
static void convert_text(buffer *b, int64_t n_vocab, tok_kind kind, const char *says)
{
    input in = { .kind = kind, .n_vocab = n_vocab };
    err   e = { 0 };
    gguf_plan *p = plan_text(&in, (char *)b->p, b->n, &e);
    if (says) check_refused(&e, ERR_INPUT, "dir/tokenizer.json", says);
    else      ck_assert_msg(p != NULL, "%s", e.msg);
    gguf_plan_free(p);
    bytes_free(b);
}

// Texts that stand side by side in a table under FNV-1a, whose values anybody can compute.
static void convert_neighbours(int64_t n)
{
    buffer  b = { 0 };
    char    text[64];
    int64_t made = 0, slots = 16;
    while (slots < 2 * n) slots *= 2;
    put_text(&b, "{" MODEL_BEGIN "\"vocab\":{\"a\":0,\"b\":1,\"ab\":2");
    for (uint32_t k = 0; made < n; k++) {
        uint64_t h = 14695981039346656037u;
        const int len = snprintf(text, sizeof text, "%08x", k);
        for (int i = 0; i < len; i++) h = (h ^ (uint8_t)text[i]) * 1099511628211u;
        if (((h ^ h >> 32) & (uint64_t)(slots - 1)) >= (uint64_t)slots / 64) continue;
        snprintf(text, sizeof text, ",\"%08x\":%lld", k, (long long)made++ + 3);
        put_text(&b, text);
    }
    put_text(&b, "},\"merges\":[\"a b\"]}}");
    convert_text(&b, n + 3, TOK_GEMMA4, NULL);
}

// As many added tokens with normalized as without, all of which have to be compared.
static void convert_pairs(int64_t n)
{
    buffer b = { 0 };
    char   text[128];
    put_text(&b, "{\"added_tokens\":[");
    for (int64_t i = 0; i < n; i++) {
        snprintf(text, sizeof text, "%s{\"content\":\"%s%07lld>\",\"id\":%lld,\"normalized\":%s}", i ? "," : "",
                 i % 2 ? "<aaaaaaaaaaaaaaaaaaaaaaaa" : "[aaaaaaaaaaaaaaaaaaaaaaaa", (long long)i, (long long)i + 3,
                 i % 2 ? "true" : "false");
        put_text(&b, text);
    }
    put_text(&b, "]," MODEL_BEGIN "\"vocab\":{\"a\":0,\"b\":1,\"ab\":2},\"merges\":[\"a b\"]}}");
    convert_text(&b, n + 3, TOK_GEMMA4, NULL);
}

// One merge again and again, and every token a way to split the next.
static void convert_merges(int64_t n)
{
    buffer b = { 0 };
    char   text[320];
    put_text(&b, "{" MODEL_BEGIN "\"vocab\":{\"a\":0,\"b\":1,\"ab\":2");
    for (int64_t i = 0; i < n / 16; i++) {
        snprintf(text, sizeof text, ",\"%07lld%0200d\":%lld", (long long)i, 0, (long long)i + 3);
        put_text(&b, text);
    }
    put_text(&b, "},\"merges\":[\"a b\"");
    for (int64_t i = 1; i < n; i++) put_text(&b, ",\"a b\"");
    put_text(&b, "]}}");
    convert_text(&b, n + 3, TOK_LLAMA, NULL);
}

// Names, lists and ids in the files beside it.
static void convert_lists(int64_t n)
{
    buffer b = { 0 }, config = { 0 }, added = { 0 };
    char   text[96];
    err    e = { 0 };
    put_text(&b, "{" MODEL_BEGIN "\"vocab\":{\"a\":0,\"b\":1,\"ab\":2},\"merges\":[\"a b\"]}}");
    put_text(&config, "{\"tokenizer_class\":\"X\"");
    put_text(&added, "{\"<a>\":0");
    for (int64_t i = 0; i < n; i++) {
        snprintf(text, sizeof text, ",\"%lld_token\":\"<%lld>\"", (long long)i, (long long)(i / 2));
        put_text(&config, text);
        snprintf(text, sizeof text, ",\"<x%lld>\":%lld", (long long)i, (long long)(n - i / 2));
        put_text(&added, text);
    }
    put_text(&config, "}");
    put_text(&added, "}");
    input in = { .kind = TOK_GEMMA4, .n_vocab = 2 * n + 8 };
    in.tokenizer_config = json_parse((char *)config.p, config.n, "config", &e);
    in.added_tokens = json_parse((char *)added.p, added.n, "added", &e);
    ck_assert_msg(in.tokenizer_config && in.added_tokens, "%s", e.msg);
    gguf_plan *p = plan_text(&in, (char *)b.p, b.n, &e);
    ck_assert_msg(p != NULL, "%s", e.msg);
    gguf_plan_free(p);
    input_free(&in);
    bytes_free(&b);
    bytes_free(&config);
    bytes_free(&added);
}

START_TEST(test_work)
{
    must_be_linear("texts in neighbouring places", convert_neighbours, 8000);
    must_be_linear("added tokens with normalized", convert_pairs, 10000);
    must_be_linear("a merge again and again", convert_merges, 50000);
    must_be_linear("named and listed tokens", convert_lists, 20000);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("added_tokens");
    TCase *c = tcase_create("added_tokens");
    tcase_add_loop_test(c, test_situation, 0, (int)(sizeof k_situations / sizeof k_situations[0]));
    tcase_add_test(c, test_class_of_the_family);
    tcase_add_test(c, test_named_in_the_vocabulary);
    tcase_add_test(c, test_beyond);
    tcase_add_test(c, test_roles);
    tcase_add_test(c, test_refused);
    tcase_add_test(c, test_post_processor_ids);
    tcase_add_test(c, test_repeated_merges);
    tcase_add_test(c, test_work);
    suite_add_tcase(s, c);
    return run_suite(s);
}
