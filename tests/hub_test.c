// Proves release/hub_front.h, hub_files.h, hub_modelfile.h, hub_template.h, chat_source.h and convert/card_yaml.h: what
// a release's folder has for the Hub, from what the source says, and hostile texts in each of its formats.
#include "bytes.h"
#include "convert/card_yaml.h"
#include "formats/file_map.h"
#include "modelfile.h"
#include "release/chat_source.h"
#include "release/hub_files.h"
#include "release/hub_front.h"
#include "release/hub_modelfile.h"
#include "release/hub_template.h"

#include <sys/stat.h>
#include <unistd.h>

static char *dir;
static void begin(void) { dir = new_dir(); }
static void end(void) { drop_dir(dir); }

static const char *at(const char *name) { return in_dir(dir, name); }

// ---- front matter --------------------------------------------------------------------------------------------------

static char *front_again(const hub_front *f)
{
    text_buf t = { 0 };
    hub_front_put(&t, f);
    char *text = text_take(&t);
    ck_assert_ptr_nonnull(text);
    return text;
}

// The front matter made of a source's card.
static char *front_of(const char *card)
{
    hub_front f;
    err e = { 0 };
    write_text(at("README.md"), card);
    ck_assert_msg(hub_front_of_source(&f, dir, NULL, &e), "%s", e.msg);
    char *text = front_again(&f);
    hub_front_free(&f);
    return text;
}

static const struct { const char *card, *front; } CARDS[] = {
    { "no card at all", "---\nlibrary_name: gguf\npipeline_tag: text-generation\ntags:\n- gguf\n---\n" },
    { "---\nlicense: apache-2.0\nlanguage:\n- en\n- no\ntags: [chat, gguf, chat]\npipeline_tag: image-text-to-text\n"
      "---\n#",
      "---\nlicense: apache-2.0\nlibrary_name: gguf\npipeline_tag: image-text-to-text\nlanguage:\n- en\n- \"no\"\n"
      "tags:\n- chat\n- gguf\n---\n" },
    { "---\nlicense: other\nlicense_name: \"a: b\"\nlicense_link: LICENSE\nlanguage: en\nbase_model: x/y\n---\n",
      "---\nlicense: other\nlicense_name: \"a: b\"\nlicense_link: LICENSE\nlibrary_name: gguf\n"
      "pipeline_tag: text-generation\nlanguage: en\ntags:\n- gguf\n---\n" },
    { "---\nlicense: [mit, 'on', \"1.0\"]\ntags: []\nlanguage: ~\n---\n",
      "---\nlicense:\n- mit\n- \"on\"\n- \"1.0\"\nlibrary_name: gguf\npipeline_tag: text-generation\ntags:\n- gguf\n"
      "---\n" },
    { "---\ntags:\n- \"a\\nb\"\n- 'x\"y\\z'\n- \"\\e[0m\"\n- \"\\u202e\"\n- \"---\"\n- {a: b}\n- h\xc3\xa9\n"
      "- \"\\U0001F600\"\n---\n",
      "---\nlibrary_name: gguf\npipeline_tag: text-generation\ntags:\n- \"a\\nb\"\n- \"x\\\"y\\\\z\"\n- \"\\x1B[0m\"\n"
      "- \"\\u202E\"\n- \"---\"\n- \"h\xc3\xa9\"\n- \"\xf0\x9f\x98\x80\"\n- gguf\n---\n" },
    { "---\n[not, a, mapping]\n---\n", "---\nlibrary_name: gguf\npipeline_tag: text-generation\ntags:\n- gguf\n---\n" },
};

START_TEST(the_front_matter_is_the_sources)
{
    char *text = front_of(CARDS[_i].card);
    ck_assert_str_eq(text, CARDS[_i].front);
    free(text);
}
END_TEST

START_TEST(a_card_that_was_written_reads_as_what_was_written)
{
    hub_front f, g;
    err e = { 0 };
    write_text(at("README.md"), CARDS[_i].card);
    ck_assert(hub_front_of_source(&f, dir, NULL, &e));
    f.base_model   = strdup("google/gemma-3-270m");
    f.quantized_by = strdup("a \"name\": of, #somebody's \\ own \xe2\x80\x94 y");
    char *one = front_again(&f);
    ck_assert(strstr(one, "\nbase_model: google/gemma-3-270m\nbase_model_relation: quantized\n") != NULL);
    ck_assert(hub_front_of_card(&g, one, (int64_t)strlen(one), &e));
    char *two = front_again(&g);
    ck_assert_str_eq(one, two);
    ck_assert_str_eq(f.quantized_by, g.quantized_by);
    free(one);
    free(two);
    hub_front_free(&f);
    hub_front_free(&g);
}
END_TEST

// Every character below U+0180, and some that end lines or change their direction, alone and in a word.
START_TEST(every_text_is_one_scalar)
{
    for (uint32_t c = 1; c < 0x180 + 4; c++) {
        static const uint32_t ODD[] = { 0x2028, 0x202e, 0xfeff, 0x10ffff };
        const uint32_t u = c < 0x180 ? c : ODD[c - 0x180];
        char text[16] = "a", card[200];
        int  n = 1;
        if (u < 0x80) text[n++] = (char)u;
        else if (u < 0x800) { text[n++] = (char)(0xc0 | u >> 6); text[n++] = (char)(0x80 | (u & 63)); }
        else if (u < 0x10000) {
            text[n++] = (char)(0xe0 | u >> 12);
            text[n++] = (char)(0x80 | (u >> 6 & 63));
            text[n++] = (char)(0x80 | (u & 63));
        } else memcpy(text + n, "\xf4\x8f\xbf\xbf", 4);
        for (int k = 0; k < 2; k++) {       // behind a letter, and first
            text_buf  t = { 0 };
            card_yaml y;
            err       e = { 0 };
            text_words(&t, "---\ntags: ");
            hub_front_put_text(&t, text + k);
            text_words(&t, "\n---\n");
            snprintf(card, sizeof card, "%s", t.s);
            text_drop(&t);
            ck_assert(card_yaml_open(&y, card, (int64_t)strlen(card), NULL, &e));
            ck_assert_msg(y.there, "U+%04X: %s", u, card);
            const char *back = card_yaml_text(card_yaml_member(&y, y.root, "tags", NULL));
            ck_assert_msg(back && strcmp(back, text + k) == 0, "U+%04X: %s", u, card);
            card_yaml_close(&y);
        }
    }
}
END_TEST

START_TEST(what_no_card_can_say_is_refused)
{
    static const char *const ids[] = { "", "a b/c", "a/b/c", "../x", "-a/b", "a/b.git", "a\nb" };
    static const char *const names[] = { "", "a\nb", "\x1b[0m", "\xff" };
    err e = { 0 };
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        e = (err){ 0 };
        ck_assert(!hub_front_check_base(ids[i], &e) && e.kind == ERR_USAGE);
    }
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        e = (err){ 0 };
        ck_assert(!hub_front_check_name(names[i], &e) && e.kind == ERR_USAGE);
    }
    ck_assert(hub_front_check_base("google/gemma-3-270m", &e) && hub_front_check_base("gpt2", &e));
    ck_assert(hub_front_check_name("A. N. Other", &e));
}
END_TEST

START_TEST(the_base_is_known_in_a_hub_cache_alone)
{
    char *id = NULL, below[600];
    err   e = { 0 };
    snprintf(below, sizeof below, "mkdir -p '%s/models--org--name-1B/snapshots/0123' '%s/name-1B'", dir, dir);
    ck_assert_int_eq(system(below), 0);
    ck_assert(hub_front_base_of(&id, at("name-1B"), &e));
    ck_assert_ptr_null(id);
    ck_assert(hub_front_base_of(&id, at("models--org--name-1B/snapshots/0123"), &e));
    ck_assert_str_eq(id, "org/name-1B");
    free(id);
    snprintf(below, sizeof below, "rm -r '%s/models--org--name-1B' '%s/name-1B'", dir, dir);
    ck_assert_int_eq(system(below), 0);
}
END_TEST

// ---- files ---------------------------------------------------------------------------------------------------------

START_TEST(licenses_are_copied_byte_for_byte)
{
    static const char terms[] = "terms\r\n\0and more\xff";
    dir_list l;
    err      e = { 0 };
    write_file(at("LICENSE"), terms, sizeof terms);
    write_text(at("USE_POLICY.md"), "policy");
    write_text(at("LICENSE.gguf"), "no license");
    write_text(at("MY_LICENSE"), "no license");
    ck_assert(mkdir(at("NOTICE"), 0777) == 0 && mkdir(at("out"), 0777) == 0);
    ck_assert(symlink("LICENSE", at("notice.txt")) == 0);
    ck_assert_msg(hub_licenses(&l, dir, &e), "%s", e.msg);
    ck_assert_int_eq(l.n, 3);
    ck_assert_str_eq(l.v[0], "LICENSE");
    ck_assert_str_eq(l.v[1], "USE_POLICY.md");
    ck_assert_str_eq(l.v[2], "notice.txt");
    ck_assert_msg(hub_license_copy(dir, at("out"), "LICENSE", &e), "%s", e.msg);
    char    *text;
    int64_t  n;
    ck_assert(file_read_text(&text, &n, at("out/LICENSE"), 100, &e));
    ck_assert(n == sizeof terms && memcmp(text, terms, sizeof terms) == 0);
    free(text);
    dir_list_free(&l);
    ck_assert(truncate(at("USE_POLICY.md"), HUB_LICENSE_BYTES + 1) == 0);
    ck_assert(!hub_licenses(&l, dir, &e) && e.kind == ERR_INPUT && strstr(e.msg, "USE_POLICY.md"));
    dir_list_free(&l);
    e = (err){ 0 };
    ck_assert(unlink(at("USE_POLICY.md")) == 0);
    write_text(at("LICENSE\nMIT"), "x");
    ck_assert(!hub_licenses(&l, dir, &e) && e.kind == ERR_INPUT);
    dir_list_free(&l);
    ck_assert(unlink(at("out/LICENSE")) == 0 && rmdir(at("out")) == 0 && rmdir(at("NOTICE")) == 0);
}
END_TEST

START_TEST(sha256sum_accepts_the_sums)
{
    hub_sum files[] = { { .name = "b" }, { .name = "a b.gguf" }, { .name = ".gitattributes" },
                        { .name = "back\\slash" }, { .name = "\xc3\xa9" }, { .name = "A" } };
    enum { N = sizeof files / sizeof *files };
    char command[700];
    err  e = { 0 };
    for (int i = 0; i < N; i++) write_text(at(files[i].name), files[i].name);
    ck_assert(sha256_file(at("A"), files[N - 1].sha256, &e));           // of one it is known
    char *text = hub_sums(dir, files, N, 1, NULL, &e);
    ck_assert_msg(text != NULL, "%s", e.msg);
    write_text(at("SHA256SUMS"), text);
    free(text);
    snprintf(command, sizeof command, "cd '%s' && test $(wc -l < SHA256SUMS) = %d && "
             "sha256sum --quiet --strict -c SHA256SUMS && LC_ALL=C sort -c -k 2 SHA256SUMS && echo x >> b && "
             "! sha256sum --status -c SHA256SUMS", dir, (int)N);
    ck_assert_int_eq(system(command), 0);
    ck_assert(unlink(at("b")) == 0);
    for (int i = 0; i < N; i++) files[i].sha256[0] = '\0';
    ck_assert(!hub_sums(dir, files, N, 1, NULL, &e) && strstr(e.msg, "/b"));
}
END_TEST

START_TEST(git_keeps_large_files_outside)
{
    char *text = hub_attributes();
    ck_assert(strstr(text, "*.gguf filter=lfs diff=lfs merge=lfs -text\n") && strstr(text, "*.gz filter=lfs"));
    ck_assert(!strstr(text, "*.md") && !strstr(text, "*.json"));
    free(text);
}
END_TEST

// ---- chat templates -------------------------------------------------------------------------------------------------

#define CHATML_JINJA(first) "{% for message in messages %}" first "{{'<|im_start|>' + message['role'] + '\\n' + " \
    "message['content'] + '<|im_end|>' + '\\n'}}{% endfor %}{% if add_generation_prompt %}" \
    "{{ '<|im_start|>assistant\\n' }}{% endif %}"
#define FIRST(end, text) "{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system" end text \
    "<|im_end|>" end "' }}{% endif %}"

static const struct { const char *jinja, *eos, *name, *has; } TEMPLATES[] = {
    { CHATML_JINJA(""), "<|im_end|>", "ChatML", "<|im_start|>{{ .Role }}\n{{ .Content }}" },
    { CHATML_JINJA(FIRST("\\n", "You are an assistant")), "<|im_end|>", "ChatML",
      "{{- if not .System }}<|im_start|>system\nYou are an assistant<|im_end|>\n{{ end }}" },
    { CHATML_JINJA(FIRST("\n", "You are an assistant")), "<|im_end|>", "ChatML",
      "{{- if not .System }}<|im_start|>system\nYou are an assistant<|im_end|>\n{{ end }}" },
    { CHATML_JINJA(FIRST(" ", "You are an assistant")), "<|im_end|>", NULL, NULL },
    { CHATML_JINJA(FIRST("\\n", "You\\'re {{ x }}")), "<|im_end|>", NULL, NULL },
    { CHATML_JINJA("{% if message.role == 'system' %}x{% endif %}"), "<|im_end|>", NULL, NULL },
    { CHATML_JINJA("{% if tools %}x{% endif %}"), "<|im_end|>", NULL, NULL },
    { "{{ bos_token }}{% for m in messages %}{{'<start_of_turn>' + m.role + '\\n' + m.content | trim + "
      "'<end_of_turn>\\n'}}{% endfor %}", "<eos>", "Gemma", "<start_of_turn>model\n" },
    { "{% for m in messages %}{{'<|start_header_id|>' + m.role + '<|end_header_id|>\\n\\n' + m.content | trim + "
      "'<|eot_id|>'}}{% endfor %}", "<|eot_id|>", "Llama 3", "<|start_header_id|>assistant<|end_header_id|>\n\n" },
    { "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}"
      "{{ '[INST] ' + message['content'] + ' [/INST]' }}{% else %}{{ message['content'] + eos_token}}{% endif %}"
      "{% endfor %}", "</s>", "Mistral", "[INST] " },
    { "{{ '[INST] ' + message['content'] + ' [/INST]' }}{{ message['content'] + eos_token}}", "<eos>", NULL, NULL },
    { "{{ messages }}", "<eos>", NULL, NULL },
    { NULL, "<eos>", NULL, NULL },
};

START_TEST(templates_of_known_formats_are_recognised)
{
    hub_template t;
    ck_assert(hub_template_of(&t, TEMPLATES[_i].jinja, TEMPLATES[_i].eos));
    if (!TEMPLATES[_i].name) ck_assert(!t.name && !t.go);
    else {
        ck_assert_msg(t.name != NULL, "%s", TEMPLATES[_i].jinja);
        ck_assert_str_eq(t.name, TEMPLATES[_i].name);
        ck_assert_msg(strstr(t.go, TEMPLATES[_i].has) != NULL, "%s", t.go);
    }
    hub_template_free(&t);
}
END_TEST

// ---- Modelfile ------------------------------------------------------------------------------------------------------

static gguf_plan *plan_of(const char *jinja, const char *const *tokens, int n)
{
    static const uint32_t ends[] = { 1, 2, 3 };
    gguf_str texts[8];
    err      e = { 0 };
    gguf_plan *p = gguf_plan_new(32, &e);
    for (int i = 0; i < n; i++) texts[i] = (gguf_str){ tokens[i], (int64_t)strlen(tokens[i]) };
    ck_assert(p && gguf_plan_str(p, "general.architecture", "llama", &e));
    ck_assert(gguf_plan_u32(p, "llama.context_length", 4096, &e));
    ck_assert(gguf_plan_f32(p, "general.sampling.temp", 0.6f, &e));
    ck_assert(gguf_plan_i32(p, "general.sampling.top_k", 64, &e));
    ck_assert(gguf_plan_f32(p, "general.sampling.top_p", 0.95f, &e));
    ck_assert(gguf_plan_arr_str(p, "tokenizer.ggml.tokens", texts, n, &e));
    ck_assert(gguf_plan_arr(p, KEY_HM_EOS_IDS, GGUF_U32, ends, n - 1, &e));
    ck_assert(!jinja || gguf_plan_str(p, "tokenizer.chat_template", jinja, &e));
    return p;
}

static char *modelfile_of(const char *jinja, const char *const *tokens, int n, hub_generation gen)
{
    uint8_t   *bytes = NULL;
    int64_t    header, whole;
    err        e = { 0 };
    gguf_plan *p = plan_of(jinja, tokens, n);
    ck_assert(gguf_plan_layout(p, &header, &whole, &e));
    gguf *g = gguf_plan_open(p, &bytes, "x.gguf", &e);
    ck_assert_msg(g != NULL, "%s", e.msg);
    char *text = hub_modelfile(g, "x y-Q4_K_M.gguf", true, &gen, &e);
    ck_assert_msg(text != NULL, "%s", e.msg);
    hub_generation again;
    hub_generation_of_text(&again, text);
    ck_assert_int_eq(again.greedy, gen.greedy);
    ck_assert_int_eq(again.num_ctx, gen.num_ctx <= 4096 ? gen.num_ctx : 0);
    gguf_close(g);
    free(bytes);
    gguf_plan_free(p);
    return text;
}

START_TEST(a_modelfile_says_what_the_artifact_says)
{
    static const char *const tokens[] = { "<s>", "<|im_end|>", " two words ", "\"quoted\"" };
    modelfile m;
    char *text = modelfile_of(CHATML_JINJA(""), tokens, 4, (hub_generation){ .num_ctx = 2048 });
    modelfile_read(&m, text);
    ck_assert_str_eq(modelfile_get(&m, "from", 0), "./x y-Q4_K_M.gguf");
    ck_assert(strstr(modelfile_get(&m, "template", 0), "<|im_start|>{{ .Role }}\n") != NULL);
    ck_assert_str_eq(modelfile_get(&m, "stop", 0), "<|im_end|>");
    ck_assert_str_eq(modelfile_get(&m, "stop", 1), " two words ");
    ck_assert_str_eq(modelfile_get(&m, "stop", 2), "\"quoted\"");
    ck_assert_str_eq(modelfile_get(&m, "temperature", 0), "0.6");
    ck_assert_str_eq(modelfile_get(&m, "top_p", 0), "0.95");
    ck_assert_str_eq(modelfile_get(&m, "top_k", 0), "64");
    ck_assert_str_eq(modelfile_get(&m, "num_ctx", 0), "2048");
    ck_assert_int_eq(m.n, 9);
    modelfile_free(&m);
    free(text);
}
END_TEST

START_TEST(a_hostile_token_adds_no_instruction)
{
    static const char *const tokens[] = { "<s>", "a\nSYSTEM evil", "\"\"\"\nSYSTEM evil\n\"\"\"", "\x1b[0m" };
    modelfile m;
    char *text = modelfile_of("{{ messages }}", tokens, 4, (hub_generation){ .greedy = true, .num_ctx = 1 << 20 });
    modelfile_read(&m, text);
    ck_assert_ptr_null(modelfile_get(&m, "system", 0));
    ck_assert_ptr_null(modelfile_get(&m, "template", 0));
    ck_assert_ptr_null(modelfile_get(&m, "num_ctx", 0));            // more than the model's context
    ck_assert_str_eq(modelfile_get(&m, "stop", 0), "a\nSYSTEM evil");
    ck_assert_ptr_null(modelfile_get(&m, "stop", 1));       // no quotes hold the one, and the other is not seen
    ck_assert_str_eq(modelfile_get(&m, "temperature", 0), "0");
    ck_assert(strstr(text, "# No TEMPLATE") && strstr(text, "# Left out"));
    modelfile_free(&m);
    free(text);
}
END_TEST

START_TEST(values_are_quoted_so_that_they_come_back)
{
    static const char *const values[] = { "x", "x y", " x", "x ", "\"", "\"x", "x\"", "x\ny", "\"x\ny",
                                          "x\"\ny", "a\"\"b\nc", "#x", "\tx", "x\"\"\n" };
    static const char *const none[] = { "", "\"\"\"", "x\"\"\"\ny\"", "\r", "a\x01", "\xc2\xa0x", "x\xe3\x80\x80",
                                        "\xee\x80\x80", "\xff" };
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        text_buf  t = { 0 };
        modelfile m;
        text_words(&t, "FROM ./x\nPARAMETER stop ");
        ck_assert_msg(hub_modelfile_put(&t, values[i]), "%s", values[i]);
        text_words(&t, "\nPARAMETER seed 1\n");
        modelfile_read(&m, t.s);
        ck_assert_int_eq(m.n, 3);
        ck_assert_str_eq(modelfile_get(&m, "stop", 0), values[i]);
        modelfile_free(&m);
        text_drop(&t);
    }
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        text_buf t = { 0 };
        ck_assert_msg(!hub_modelfile_put(&t, none[i]) && t.n == 0, "%s", none[i]);
        text_drop(&t);
    }
}
END_TEST

START_TEST(the_usual_type_is_chosen_or_the_smallest)
{
    verify_report r[3] = { { .type = "BF16", .file_bytes = 30 }, { .type = "Q8_0", .file_bytes = 10 },
                           { .type = "Q4_K_M", .file_bytes = 20 } };
    ck_assert_int_eq(hub_modelfile_choice(r, 3), 2);
    ck_assert_int_eq(hub_modelfile_choice(r, 2), 1);
}
END_TEST

START_TEST(generation_config_is_read)
{
    hub_generation g;
    err e = { 0 };
    ck_assert(hub_generation_of_source(&g, dir, &e) && g.num_ctx == 0 && !g.greedy);
    write_text(at("generation_config.json"), "{\"do_sample\": false, \"max_length\": 4096}");
    ck_assert(hub_generation_of_source(&g, dir, &e) && g.num_ctx == 4096 && g.greedy);
    write_text(at("generation_config.json"), "{\"do_sample\": true, \"max_length\": 1e300}");
    ck_assert(hub_generation_of_source(&g, dir, &e) && g.num_ctx == 0 && !g.greedy);
    write_text(at("generation_config.json"), "{");
    ck_assert(!hub_generation_of_source(&g, dir, &e) && e.kind == ERR_INPUT);
}
END_TEST

// ---- the source's template ------------------------------------------------------------------------------------------

static void write_gguf(const char *path, const char *jinja)
{
    static const char *const tokens[] = { "<s>", "</s>" };
    uint8_t   *bytes;
    int64_t    n, whole;
    err        e = { 0 };
    gguf_plan *p = plan_of(jinja, tokens, 2);
    ck_assert(gguf_plan_layout(p, &n, &whole, &e) && gguf_plan_header(p, &bytes, &n, &e));
    write_file(path, bytes, n);
    free(bytes);
    gguf_plan_free(p);
}

START_TEST(another_template_than_the_sources_is_told)
{
    static const char *const names[] = { "a.gguf", "b.gguf", "c.gguf" };
    record_template t;
    bool differs[3];
    err  e = { 0 };
    write_text(at("chat_template.jinja"), "{{ x }}");
    write_gguf(at("a.gguf"), "{{ x }}");
    write_gguf(at("b.gguf"), "{{ x }} ");
    write_gguf(at("c.gguf"), NULL);
    ck_assert_msg(chat_compare(&t, differs, dir, names, 1, dir, &e), "%s", e.msg);
    ck_assert(t.there && t.same_as_source && t.bytes == 7 && !differs[0]);
    ck_assert(chat_compare(&t, differs, dir, names, 3, dir, &e));
    ck_assert(!t.same_as_source && !differs[0] && differs[1] && differs[2]);
    ck_assert(chat_compare(&t, differs, dir, names + 2, 1, dir, &e));
    ck_assert(!t.there && !t.same_as_source && differs[0]);
    ck_assert(unlink(at("chat_template.jinja")) == 0);
    ck_assert(chat_compare(&t, differs, dir, names + 2, 1, dir, &e));
    ck_assert(!t.there && t.same_as_source);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("hub");
    TCase *t = tcase_create("hub");
    tcase_add_checked_fixture(t, begin, end);
    tcase_add_loop_test(t, the_front_matter_is_the_sources, 0, sizeof CARDS / sizeof *CARDS);
    tcase_add_loop_test(t, a_card_that_was_written_reads_as_what_was_written, 0, sizeof CARDS / sizeof *CARDS);
    tcase_add_test(t, every_text_is_one_scalar);
    tcase_add_test(t, what_no_card_can_say_is_refused);
    tcase_add_test(t, the_base_is_known_in_a_hub_cache_alone);
    tcase_add_test(t, licenses_are_copied_byte_for_byte);
    tcase_add_test(t, sha256sum_accepts_the_sums);
    tcase_add_test(t, git_keeps_large_files_outside);
    tcase_add_loop_test(t, templates_of_known_formats_are_recognised, 0, sizeof TEMPLATES / sizeof *TEMPLATES);
    tcase_add_test(t, a_modelfile_says_what_the_artifact_says);
    tcase_add_test(t, a_hostile_token_adds_no_instruction);
    tcase_add_test(t, values_are_quoted_so_that_they_come_back);
    tcase_add_test(t, the_usual_type_is_chosen_or_the_smallest);
    tcase_add_test(t, generation_config_is_read);
    tcase_add_test(t, another_template_than_the_sources_is_told);
    suite_add_tcase(s, t);
    return run_suite(s);
}
