// Proves runtime/tokenizer.h on converted checkpoints: the ids of 1,700 hard texts for each tokenizer of fixtures/, and
// the texts of those ids, as Hugging Face's tokenizers gives them (golden/ids.txt.gz, made by golden/make_ids.py).
#include "convert/convert.h"
#include "formats/gguf.h"
#include "runtime/tokenizer.h"
#include "field_folder.h"

#include <zlib.h>

enum { N_TEXTS = 1700, LINE = 32768 };

// Llama 2: the same tokenizer.json as Mistral's, and a class of Transformers that puts no space before one that is
// there.
#define LLAMA2 "{\"base\":\"tiny-mistral\",\"patch\":{\"config.json\":[" \
    "{\"op\":\"replace\",\"path\":\"/architectures/0\",\"value\":\"LlamaForCausalLM\"}," \
    "{\"op\":\"replace\",\"path\":\"/model_type\",\"value\":\"llama\"}," \
    "{\"op\":\"remove\",\"path\":\"/sliding_window\"}]}}"
#define AS_IT_IS(name) { name, "{\"base\":\"" name "\"}" }

static const struct { const char *name, *folder; } checkpoints[] = {
    AS_IT_IS("tiny-gemma4"), AS_IT_IS("tiny-llama"), AS_IT_IS("tiny-mistral"), AS_IT_IS("tiny-qwen2"),
    AS_IT_IS("tiny-qwen3"), { "llama2", LLAMA2 },
};
static err e;

// The tokenizer of a checkpoint as its converted file has it.
static tokenizer *converted(const char *folder)
{
    char dir[] = "/tmp/hallmark-ids-XXXXXX", path[64], command[80];
    ck_assert_ptr_nonnull(mkdtemp(dir));
    cJSON *described = cJSON_Parse(folder);
    field_folder(described, dir);
    cJSON_Delete(described);
    snprintf(path, sizeof path, "%s/bf16.gguf", dir);
    ck_assert_msg(convert_checkpoint(in_dir(dir, "hf"), path, &(convert_opts){ .type = FT_BF16 }, &e), "%s", e.msg);
    gguf *g = gguf_open(path, &e);
    ck_assert_msg(g != NULL, "%s", e.msg);
    tokenizer *t = tokenizer_new(g, &e);
    ck_assert_msg(t != NULL, "%s", e.msg);
    gguf_close(g);
    snprintf(command, sizeof command, "rm -r '%s'", dir);
    ck_assert_int_eq(system(command), 0);
    return t;
}

// The bytes of a field in hex ("-" is none), the text itself where it is "=". dst: room for half the field.
static int64_t bytes_of(char *dst, const char *field, const char *text, int64_t n_text)
{
    if (strcmp(field, "=") == 0) {
        memcpy(dst, text, (size_t)n_text);
        return n_text;
    }
    int64_t n = 0;
    unsigned v;
    for (; field[0] && field[1] && sscanf(field, "%2x", &v) == 1; field += 2) dst[n++] = (char)v;
    return n;
}

static void compare(const tokenizer *t, const char *name, const char *hex, const char *want, const char *const back[2])
{
    static char text[LINE], expected[LINE], listed[LINE];
    const int64_t n = bytes_of(text, hex, "", 0);
    int32_t *ids;
    int64_t  n_ids;
    ck_assert_msg(tokenizer_encode(t, text, n, tokenizer_add_bos(t), true, &ids, &n_ids, &e), "%s: %s: %s", name, hex,
                  e.msg);
    size_t at = 0;
    listed[0] = '\0';
    for (int64_t i = 0; i < n_ids; i++)
        at += (size_t)snprintf(listed + at, sizeof listed - at, "%s%d", i ? "," : "", ids[i]);
    ck_assert_msg(strcmp(listed, n_ids ? want : "") == 0 || (n_ids == 0 && strcmp(want, "-") == 0),
                  "%s: text %s: ids %s, expected %s", name, hex, listed, want);
    for (int skip = 0; skip < 2; skip++) {
        const int64_t n_expected = bytes_of(expected, back[skip], text, n);
        char   *out;
        int64_t n_out;
        ck_assert_msg(tokenizer_decode(t, ids, n_ids, skip != 0, &out, &n_out, &e), "%s: %s: %s", name, hex, e.msg);
        ck_assert_msg(n_out == n_expected && memcmp(out, expected, (size_t)n_out) == 0,
                      "%s: ids %s, special tokens %s: text '%s', expected '%.*s'", name, listed,
                      skip ? "left out" : "kept", out, (int)n_expected, expected);
        free(out);
    }
    free(ids);
}

START_TEST(ids_and_texts_of_the_reference)
{
    static char line[LINE], name[32], hex[LINE], want[LINE], kept[LINE], skipped[LINE];
    tokenizer *t = converted(checkpoints[_i].folder);
    gzFile f = gzopen(SOURCE_DIR "/tests/golden/ids.txt.gz", "rb");
    ck_assert_ptr_nonnull(f);
    int n_lines = 0;
    while (gzgets(f, line, sizeof line)) {
        ck_assert_int_eq(sscanf(line, "%31s %32767s %32767s %32767s %32767s", name, hex, want, kept, skipped), 5);
        if (strcmp(name, checkpoints[_i].name) != 0) continue;
        compare(t, name, hex, want, (const char *const[]){ kept, skipped });
        n_lines++;
    }
    gzclose(f);
    tokenizer_free(t);
    ck_assert_int_eq(n_lines, N_TEXTS);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("ids");
    TCase *t = tcase_create("ids");
    tcase_add_loop_test(t, ids_and_texts_of_the_reference, 0, sizeof checkpoints / sizeof *checkpoints);
    suite_add_tcase(s, t);
    return run_suite(s);
}
