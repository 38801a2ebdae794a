// Proves formats/text.h: whatever a text holds, each sink shows it and obeys none of it.
#include "formats/json.h"
#include "formats/text.h"
#include "formats/utf8.h"
#include "suite.h"

#include <check.h>
#include <string.h>

static char *shown(text_sink sink, const char *s, size_t n)
{
    text_buf t = { 0 };
    text_put(&t, sink, s, n);
    char *out = text_take(&t);
    if (!out) ck_abort_msg("out of memory");        // (each ck_assert writes to a file)
    return out;
}

#define SHOWS(sink, in, expected) do {                          \
        char *got_ = shown(sink, in, sizeof(in) - 1);           \
        ck_assert_str_eq(got_, expected);                       \
        free(got_);                                             \
    } while (0)

// ---- one sink after the other --------------------------------------------------------------------------------------

START_TEST(plain_is_one_line_that_steers_nothing)
{
    SHOWS(TEXT_PLAIN, "plain, caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\xa6\x8a \\ \xe2\x9d\xa4\xef\xb8\x8f",
          "plain, caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\xa6\x8a \\ \xe2\x9d\xa4\xef\xb8\x8f");
    SHOWS(TEXT_PLAIN, "a\033[2J\nb\tc\rd\0e\x7f", "a\\x1b[2J\\nb\\tc\\rd\\x00e\\x7f");
    // C1 as a character and as a byte; bytes that are no UTF-8
    SHOWS(TEXT_PLAIN, "\xc2\x9b" "1m\x9b\xff\xc3", "\\u009b1m\\x9b\\xff\\xc3");
    SHOWS(TEXT_PLAIN, "\xe2\x80\xae\xe2\x81\xa6\xd8\x9c\xe2\x80\x8f", "\\u202e\\u2066\\u061c\\u200f");      // direction
    SHOWS(TEXT_PLAIN, "\xe2\x80\x8b\xe2\x80\x8d\xef\xbb\xbf\xc2\xad\xe3\x85\xa4",
          "\\u200b\\u200d\\ufeff\\u00ad\\u3164");   // of no width
    SHOWS(TEXT_PLAIN, "\xe2\x80\xa8\xe2\x80\xa9", "\\u2028\\u2029");                            // lines, to some
    // tags that hide a text
    SHOWS(TEXT_PLAIN, "\xf3\xa0\x81\x81\xf3\xa0\x84\x80\xef\xbf\xbf", "\\U000e0041\\U000e0100\\uffff");
    // a surrogate, an overlong '/'
    SHOWS(TEXT_PLAIN, "\xed\xa0\x80\xc0\xaf", "\\xed\\xa0\\x80\\xc0\\xaf");
    SHOWS(TEXT_PLAIN, "", "");
}
END_TEST

START_TEST(prose_keeps_what_writing_needs)
{
    SHOWS(TEXT_PROSE, "a\n\tb\r\033[1m\xe2\x80\x8c\xe2\x80\x8d\xe2\x80\xae\xff",
          "a\n\tb\\r\\x1b[1m\xe2\x80\x8c\xe2\x80\x8d\\u202e\xef\xbf\xbd");
}
END_TEST

START_TEST(markdown_has_no_structure_of_the_texts)
{
    SHOWS(TEXT_MD, "tiny-gemma4.bfloat16.json.gz, key 'a_b': 12:30 (1.5)",
          "tiny-gemma4.bfloat16.json.gz, key 'a_b': 12:30 (1.5)");     // as it always was
    SHOWS(TEXT_MD, "a | b", "a \\| b");
    SHOWS(TEXT_MD, "x\n# head\n", "x\\n\\# head\\n");
    SHOWS(TEXT_MD, "# head", "\\# head");
    SHOWS(TEXT_MD, "<img src=x onerror=alert(1)>", "&lt;img src=x onerror=alert(1)&gt;");
    SHOWS(TEXT_MD, "&lt;b&gt;", "&amp;lt;b&amp;gt;");
    SHOWS(TEXT_MD, "[a](http://b.c)![d](e)", "\\[a\\](http\\://b.c)!\\[d\\](e)");
    // links that GitHub makes of its own accord
    SHOWS(TEXT_MD, "www.b.c WWW.b.c a@b.c", "www\\.b.c WWW\\.b.c a\\x40b.c");
    SHOWS(TEXT_MD, "*a* _a_ a_b a__b ~a~ `a` $a$", "\\*a\\* \\_a\\_ a_b a\\_\\_b \\~a\\~ \\`a\\` \\$a\\$");
    SHOWS(TEXT_MD, "\\*a", "\\\\\\*a");
    SHOWS(TEXT_MD, "- a", "\\- a");
    SHOWS(TEXT_MD, "+ a - b", "\\+ a - b");
    SHOWS(TEXT_MD, "12. a", "12\\. a");
    SHOWS(TEXT_MD, "3)", "3\\)");
    SHOWS(TEXT_MD, "  4. - a", "  4\\. - a");
    SHOWS(TEXT_MD, "  - a", "  \\- a");
    SHOWS(TEXT_MD, "4.5 b", "4.5 b");
    SHOWS(TEXT_MD, "===", "\\===");
    SHOWS(TEXT_MD, "\033[31m\xe2\x80\xae\xff", "\\x1b\\[31m\\u202e\xef\xbf\xbd");
    SHOWS(TEXT_MD_CODE, "ab`|<c\n\xff", "`ab\\x60\\x7c\\x3cc\\n\xef\xbf\xbd`");
}
END_TEST

START_TEST(xml_has_no_markup_of_the_texts)
{
    SHOWS(TEXT_XML, "a<b>&\"'\n\x01\xc2\x85\xe2\x80\xae\xef\xbf\xbe\xff",
          "a&lt;b&gt;&amp;&quot;&#39;\\n\\x01\\u0085\\u202e\\ufffe\xef\xbf\xbd");
    SHOWS(TEXT_XML, "]]>", "]]&gt;");
}
END_TEST

START_TEST(json_gives_the_text_back)
{
    static const char in[] = "\"\\/\n\t\x01\x7f\xc2\x9b\xe2\x80\xae\xe2\x80\xa8"
                             "\xef\xbb\xbf\xf3\xa0\x81\x81\xf0\x9f\xa6\x8a caf\xc3\xa9";
    SHOWS(TEXT_JSON, "\n\t\r\b\x7f\xc2\x9b\xe2\x80\xae\xf3\xa0\x81\x81\xff",
          "\\n\\t\\r\\u0008\\u007f\\u009b\\u202e\\udb40\\udc41\xef\xbf\xbd");
    text_buf t = { 0 };
    text_words(&t, "[\"");
    text_puts(&t, TEXT_JSON, in);
    text_words(&t, "\"]");
    err   e = { 0 };
    cJSON *v = json_parse(t.s, (int64_t)t.n, "test", &e);
    ck_assert_msg(v != NULL, "%s", e.msg);
    ck_assert_str_eq(cJSON_GetArrayItem(v, 0)->valuestring, in);
    text_drop(&t);

    // A printed document says the same after it has passed.
    cJSON_AddItemToArray(v, cJSON_CreateString("\xff" "a\xc3"));
    char *both[] = { json_print(v), json_print_short(v) };
    for (int i = 0; i < 2; i++) {
        cJSON *back = json_parse(both[i], (int64_t)strlen(both[i]), "test", &e);
        ck_assert_msg(back != NULL, "%s", e.msg);
        ck_assert_str_eq(cJSON_GetArrayItem(back, 0)->valuestring, in);
        ck_assert_str_eq(cJSON_GetArrayItem(back, 1)->valuestring, "\xef\xbf\xbd" "a\xef\xbf\xbd");
        ck_assert_ptr_null(strstr(both[i], "\xe2\x80\xae"));
        ck_assert_ptr_null(strchr(both[i], '\x7f'));
        cJSON_Delete(back);
        free(both[i]);
    }
    cJSON_Delete(v);
}
END_TEST

// The shell itself says which word it reads.
START_TEST(a_shell_reads_the_same_word)
{
    static const char *const words[] = { "plain/path-1.gguf", "", "-n", "two words", "it's", "a\nb", "\033[2J\x07",
                                        "back\\slash", "a'\n'b\\", "$HOME `id` $(id)",
                                         "<b>", "caf\xc3\xa9", "\xff\xfe", "\xe2\x80\xae" "1",
                                             "a;b&c|d>e*f?g[h]{i}~j#k!l" };
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        text_buf t = { 0 };
        char     got[256], path[] = "/tmp/hallmark-text-XXXXXX";
        const int fd = mkstemp(path);
        FILE *script = fd >= 0 ? fdopen(fd, "w") : NULL;
        ck_assert_ptr_nonnull(script);
        text_words(&t, "printf %s ");
        text_puts(&t, TEXT_SHELL, words[i]);
        ck_assert(text_is_plain(t.s, t.n) && !strchr(t.s, '<'));
        fprintf(script, "%s\n", t.s);
        fclose(script);
        text_drop(&t);
        text_printf(&t, "bash %s", path);
        FILE *f = popen(t.s, "r");
        ck_assert_ptr_nonnull(f);
        got[fread(got, 1, sizeof got - 1, f)] = '\0';
        ck_assert_int_eq(pclose(f), 0);
        ck_assert_str_eq(got, words[i]);
        remove(path);
        text_drop(&t);
    }
}
END_TEST

// ---- all of them ---------------------------------------------------------------------------------------------------

static bool must_not_stand(uint32_t c)
{
    return c < 0x20 || (c >= 0x7f && c <= 0x9f) || c == 0x61c || (c >= 0x200b && c <= 0x200f)
        || (c >= 0x2028 && c <= 0x202e)
        || (c >= 0x2060 && c <= 0x206f) || c == 0xfeff || (c >= 0xe0000 && c <= 0xe0fff);
}

static size_t utf8_of(uint32_t c, char out[5])
{
    const int len = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (int i = len - 1; i > 0; i--, c >>= 6) out[i] = (char)(0x80 | (c & 0x3f));
    out[0] = (char)(len == 1 ? c : (0xf00u >> len & 0xff) | c);
    return (size_t)len;
}

// Every character and every byte, in every sink: what comes out is valid UTF-8 without what must not stand; what is
// harmless comes out as it is.
START_TEST(every_character_in_every_sink)
{
    for (int sink = TEXT_PLAIN; sink <= TEXT_SHELL; sink++)
        for (uint32_t c = 0; c < 0x110100; c++) {
            char in[5] = { (char)c }, *out;
            if ((c >= 0xd800 && c < 0xe000) || (c >= 0x110000 && c < 0x110080)) continue;
            const bool byte = c >= 0x110080;                // the bytes that are no UTF-8 come last
            out = shown((text_sink)sink, in, byte ? 1 : utf8_of(c, in));
            const size_t n = strlen(out);
            for (size_t i = 0; i < n;) {
                const uint8_t *p = (const uint8_t *)out + i;
                const int len = utf8_len(p, (int64_t)(n - i));
                if (len == 0) ck_abort_msg("sink %d, character %x", sink, c);
                uint32_t found = len == 1 ? p[0] : p[0] & (0xffu >> (len + 1));
                for (int k = 1; k < len; k++) found = found << 6 | (p[k] & 0x3f);
                const bool writing = c == 0x200c || c == 0x200d || (c >= 0xe0100 && c <= 0xe01ef);
                const bool kept = (sink == TEXT_PROSE && (c == '\n' || c == '\t' || writing))
                               || (sink == TEXT_JSON_DOC && (c == '\n' || c == '\t'));
                if (!kept && must_not_stand(found)) ck_abort_msg("sink %d, character %x: found %x", sink, c, found);
                i += (size_t)len;
            }
            const bool as_it_is = !byte && c > 0x100 && text_is_plain(in, strlen(in)) && sink != TEXT_MD_CODE
                && sink != TEXT_SHELL;
            if (as_it_is && strcmp(out, in) != 0) ck_abort_msg("sink %d, character %x: \"%s\"", sink, c, out);
            free(out);
        }
}
END_TEST

// What is shown once may be shown again, in a message that quotes a message.
START_TEST(plain_twice_is_plain_once)
{
    char in[256];
    for (int i = 0; i < 256; i++) in[i] = (char)(255 - i);
    char *once = shown(TEXT_PLAIN, in, sizeof in), *twice = shown(TEXT_PLAIN, once, strlen(once));
    ck_assert_str_eq(once, twice);
    free(once);
    free(twice);
}
END_TEST

START_TEST(what_does_not_fit_is_cut_between_characters)
{
    char small[6], out[64], longer[40];
    text_fit(small, sizeof small, "ab\xe2\x82\xac\xe2\x82\xac", 8, 0);      // never half a character, and the cut shows
    ck_assert_str_eq(small, "ab...");
    text_fit(small, sizeof small, "ab\xe2\x82\xac", 5, 0);                  // it fits: nothing is cut
    ck_assert_str_eq(small, "ab\xe2\x82\xac");
    text_fit(small, 3, "abc", 3, 0);
    ck_assert_str_eq(small, "");
    for (size_t n = 20; n < sizeof longer; n++) {
        memset(longer, 'x', sizeof longer);
        memcpy(longer + n - 4, "\033end", 4);
        text_fit(out, 20, longer, n, 7);
        ck_assert_str_eq(out, "xxxxxxxxx...\\x1bend");
    }
    memset(longer, '\x80', sizeof longer);
    text_fit(out, 30, longer, sizeof longer, 8);
    ck_assert_str_eq(out, "\\x80\\x80\\x80\\x80...\\x80\\x80");
}
END_TEST

START_TEST(a_string_grows_and_is_handed_over)
{
    text_buf t = { 0 };
    char *s = text_take(&t);
    ck_assert_str_eq(s, "");
    free(s);
    for (int i = 0; i < 1000; i++) text_printf(&t, "%d,", i);
    text_raw(&t, "a\0b", 3);
    ck_assert_uint_eq(t.n, 10 * 2 + 90 * 3 + 900 * 4 + 3);
    ck_assert_mem_eq(t.s + t.n - 7, "999,a\0b", 8);
    text_drop(&t);
    ck_assert_ptr_null(t.s);
    t.failed = true;
    text_words(&t, "lost");
    ck_assert_ptr_null(text_take(&t));
    ck_assert(!t.failed);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("text");
    TCase *t = tcase_create("all");
    tcase_set_timeout(t, 300);
    tcase_add_test(t, plain_is_one_line_that_steers_nothing);
    tcase_add_test(t, prose_keeps_what_writing_needs);
    tcase_add_test(t, markdown_has_no_structure_of_the_texts);
    tcase_add_test(t, xml_has_no_markup_of_the_texts);
    tcase_add_test(t, json_gives_the_text_back);
    tcase_add_test(t, a_shell_reads_the_same_word);
    tcase_add_test(t, every_character_in_every_sink);
    tcase_add_test(t, plain_twice_is_plain_once);
    tcase_add_test(t, what_does_not_fit_is_cut_between_characters);
    tcase_add_test(t, a_string_grows_and_is_handed_over);
    suite_add_tcase(s, t);
    return run_suite(s);
}
