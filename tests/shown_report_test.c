// Proves that texts in reports, and what a model writes to a terminal, steer nobody (formats/text.h): a release whose
// name, fixture, gate and cases are hostile is published, says so in JSON and Markdown of its own form only, and is
// proved again; a laboratory's reports are, but for their texts, those of harmless names.
#define _GNU_SOURCE
#include "shown_gguf.h"
#include "mini_checkpoint.h"
#include "formats/text.h"
#include "cli/lab_table.h"
#include "lab_sample.h"
#include "measure/lab_report.h"
#include "junit_xml.h"
#include "page.h"
#include "report_sample.h"

// ids of mini_tokenizer: the first byte, and two added tokens that are shown
enum { MINI_BYTES = 7, MINI_ADDED = 4 };

// No name of ours has this; what it would do in Markdown is in the title, in a table, and at the beginning of a list's
// line.
#define HOSTILE "# h <b>&lt;i>[a](b)|`c`_d_*e*$f$~g~ @h.i www.j.k"

static void setup(void)
{
    setenv("GOMP_SPINCOUNT", "1000", 1);
    files_begin("shown-report");
}

static void teardown(void) { files_end(); }

static void judge_page(const char *text, const char *path)
{
    page p = { .what = path };
    page_read(&p, text);
}

static void judge_junit(const char *text, const char *path)
{
    junit_doc d = { .what = path };
    junit_read(&d, text);
}

static void judge_report(const char *path)
{
    int64_t n;
    char   *text = read_all(path, &n);
    const char *dot = strrchr(path, '.');
    if (strcmp(dot, ".md") == 0) judge_markdown(text, n, path, 1);
    else                         judge_text(text, n, path);
    if (strcmp(dot, ".html") == 0) judge_page(text, path);
    if (strcmp(dot, ".xml") == 0)  judge_junit(text, path);
    if (strcmp(dot, ".json") == 0) judge_json(text, n, path);
    free(text);
}

// ---- a release -----------------------------------------------------------------------------------------------------

// Cases of a fixture whose ids, categories and model are hostile, and whose prompt is as it was.
static void hostile_cases(const char *from, const char *to, int n)
{
    enum { LINE = 4 << 20 };
    char   short_path[SCRATCH_PATH], *line = malloc(LINE);
    scratch_path(short_path, "short.json.gz");
    shorten_fixture(from, short_path, n);
    gzFile in = gzopen(short_path, "rb"), out = gzopen(to, "wb1");
    ck_assert(in && out && line);
    for (int i = 0; gzgets(in, line, LINE); i++) {
        cJSON *v = cJSON_Parse(line), *head = cJSON_GetObjectItemCaseSensitive(v, "model");
        char   id[64];                                  // as long as one may be
        snprintf(id, sizeof id, "%d %s", i, hostile_name(false));
        if (head) cJSON_ReplaceItemInObject(head, "name", cJSON_CreateString(all_pieces(false)));
        else {
            cJSON_ReplaceItemInObject(v, "id", cJSON_CreateString(id));
            cJSON_ReplaceItemInObject(v, "category", cJSON_CreateString(all_pieces(false)));
        }
        char *text = cJSON_PrintUnformatted(v);
        ck_assert(gzputs(out, text) > 0 && gzputs(out, "\n") > 0);
        free(text);
        cJSON_Delete(v);
    }
    ck_assert(gzclose(in) == Z_OK && gzclose(out) == Z_OK);
    free(line);
}

// The files of a release: title, fixture and gate are called so.
typedef struct { char hf[SCRATCH_PATH], fixture[SCRATCH_PATH + 64], gate[SCRATCH_PATH + 64],
                out[SCRATCH_PATH + 64]; } files;

static files make_files(bool broken, int cases)
{
    files f;
    char  name[SCRATCH_PATH];
    snprintf(f.hf, sizeof f.hf, "%s", copy_checkpoint(broken ? "broken" : "hf"));
    snprintf(f.fixture, sizeof f.fixture, "%s/%s.json.gz", scratch, broken ? hostile_name(true) : HOSTILE);
    snprintf(f.gate, sizeof f.gate, "%s/%s.json", scratch, hostile_name(broken));
    snprintf(f.out, sizeof f.out, "%s/%s.out", scratch, hostile_name(broken));
    scratch_path(name, "plain.json.gz");
    hostile_cases(SOURCE_DIR "/fixtures/tiny-gemma4/fixtures/bfloat16.json.gz", f.fixture, cases);
    gate_for_cases(f.gate, cases);
    return f;
}

static void judge_folder(const char *dir)
{
    static const char *const reports[] = { "report.json", "report.md", "report.html", "junit.xml" };
    for (int i = 0; i < 4; i++) {
        char *path = path_join(dir, reports[i]);
        judge_report(path);
        free(path);
    }
}

START_TEST(a_hostile_release_is_published_and_proved)
{
    for (int broken = 0; broken < 2; broken++) {
        files f = make_files(broken, 2);
        EXITS(0, "release", f.hf, "-o", f.out, "--types", "bf16", "--fixture", f.fixture, "--gate", f.gate, "--tokens",
              "8", "--name", HOSTILE);
        judge_folder(f.out);
        EXITS(0, "check", f.out);
        EXITS(0, "check", f.out, "--json");
        EXITS(0, "inspect", f.out);
        EXITS(0, "inspect", f.out, "--json");

        // A report that is written otherwise is not the release's.
        char   *md = path_join(f.out, "report.md"), *text;
        int64_t n, at;
        text = read_all(md, &n);
        at = strstr(text, "&lt;b&gt;") - text;
        free(text);
        ck_assert(at > 0 && at < n);
        patch(md, at, "<b>      ", 9);
        EXITS(1, "check", f.out);
        free(md);
    }
}
END_TEST

START_TEST(a_hostile_release_that_fails_or_lacks_a_fixture)
{
    files f = make_files(false, 1);         // fewer cases than the built-in gate asks for
    char  dir[SCRATCH_PATH + 80];
    EXITS(1, "release", f.hf, "-o", f.out, "--types", "bf16", "--fixture", f.fixture, "--name", HOSTILE);
    snprintf(dir, sizeof dir, "%s.unverified", f.out);     // it decides nothing
    judge_folder(dir);
    EXITS(1, "release", f.hf, "-o", f.out, "--types", "bf16,q8_0", "--name", HOSTILE);
    snprintf(dir, sizeof dir, "%s.unverified", f.out);
    judge_folder(dir);
    EXITS(1, "release", f.hf, "-o", f.out, "--types", "bf16", "--name", HOSTILE, "--json");
    judge_folder(dir);
    // A published name has no character that is not seen.
    for (int i = 0; i < N_PIECES; i++)
        if (!text_is_plain(PIECES[i], strlen(PIECES[i]))) EXITS(2, "release", f.hf, "-o", f.out, "--types", "bf16",
                                                                "--name", WORD(PIECES[i]));
}
END_TEST

// Outside blocks of code, where nothing is a link and a name is one word for a shell.
static bool is_code(const char *line) { return strncmp(line, "    ", 4) == 0; }

// README.md of a release whose caches were measured: its own headings alone, no tag, no link.
static void judge_card(const char *path)
{
    int64_t n;
    int     headings = 0;
    char   *text = read_all(path, &n), *rest = NULL;
    judge_text(text, n, path);
    ck_assert_msg(strncmp(text, "---\n", 4) == 0 && !strstr(text, "<"), "%s", text);
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        ck_assert_msg(is_code(line) || (!strstr(line, "[a](b)") && !strstr(line, "www.j")), "%s", line);
        headings += line[0] == '#';
    }
    ck_assert_int_eq(headings, 5);
    free(text);
}

START_TEST(a_card_of_hostile_names)
{
    files f = make_files(false, 2);
    char  lab[2 * SCRATCH_PATH];
    snprintf(lab, sizeof lab, "chat=%s/%s.txt", scratch, hostile_name(false));
    write_license(lab + 5, 300);
    EXITS(0, "release", f.hf, "-o", f.out, "--types", "bf16", "--fixture", f.fixture, "--gate", f.gate, "--tokens", "8",
          "--name", HOSTILE, "--lab", lab, "--lab-kv", "q8_0", "--lab-chunk", "24");
    judge_folder(f.out);
    char *card = path_join(f.out, "README.md"), *html = path_join(f.out, HOSTILE "-BF16-lab.html");
    judge_card(card);
    ck_assert_int_eq(access(html, R_OK), 0);
    EXITS(0, "check", f.out);
    EXITS(0, "check", f.out, "--json");
    free(card);
    free(html);
}
END_TEST

START_TEST(hostile_reports_of_verify)
{
    files f = make_files(false, 1);
    char  art[SCRATCH_PATH + 64], md[SCRATCH_PATH + 64], json[SCRATCH_PATH + 64], html[SCRATCH_PATH + 64];
    char  xml[SCRATCH_PATH + 64];
    snprintf(art, sizeof art, "%s/%s.gguf", scratch, hostile_name(true));
    snprintf(md, sizeof md, "%s/%s.md", scratch, hostile_name(true));
    snprintf(json, sizeof json, "%s/%s.json", scratch, hostile_name(false));
    snprintf(html, sizeof html, "%s/%s.html", scratch, hostile_name(true));
    snprintf(xml, sizeof xml, "%s/%s.xml", scratch, hostile_name(false));
    EXITS(0, "convert", f.hf, "-o", art);
    for (int kv = 0; kv < 2; kv++) {        // another cache fails and is noted
        EXITS(1, "verify", art, "--fixture", f.fixture, "--report", md, "--report", json, "--report", html, "--report",
              xml, "--tokens", "8", "--kv", kv ? "q4_0" : "bf16");
        judge_report(md);
        judge_report(json);
        judge_report(html);
        judge_report(xml);
    }
    EXITS(1, "verify", art, "--fixture", f.fixture, "--tokens", "8", "--json");

    // The bar on a terminal names the cases; what else it sends are its own two sequences.
    int64_t n;
    char *text = run_on_terminal((char *[]){ NULL, "verify", art, "--fixture", f.fixture, "--tokens", "8", NULL }, true,
                                 &n), *w = text;
    for (const char *r = text; r < text + n;) {
        if (*r == '\r') r++;
        else if (strncmp(r, "\033[K", 3) == 0) r += 3;
        else *w++ = *r++;
    }
    ck_assert_ptr_nonnull(strstr(text, "\\x1b"));
    judge_text(text, w - text, "the bar");
    free(text);
}
END_TEST

// ---- a laboratory ---------------------------------------------------------------------------------------------------

// A line of Markdown without its texts: code spans are one mark, escaped characters and words are gone.
static void markdown_skeleton(char *line, const char *what)
{
    char *w = line;
    for (const char *r = line; *r; r++) {
        if (strncmp(r, "www.", 4) == 0 || strncmp(r, "://", 3) == 0) ck_abort_msg("%s: a link: %s", what, r);
        if (*r == '\\' && ispunct((unsigned char)r[1])) {
            r++;
        } else if (*r == '`') {
            const char *end = strchr(r + 1, '`');
            ck_assert_msg(end != NULL, "%s: %s", what, r);
            ck_assert_msg(!memchr(r, '|', (size_t)(end - r)) && !memchr(r, '<', (size_t)(end - r)), "%s: %s", what, r);
            r = end;
            *w++ = '`';
        } else if (strchr("|#<>[]*~$@", *r) || (*r == '-' && r == line)) *w++ = *r;
    }
    *w = '\0';
}

static void lines_skeleton(char *text, const char *what)
{
    char *w = text, *rest = NULL, *copy = strdup(text);
    *w = '\0';
    for (char *line = strtok_r(copy, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        markdown_skeleton(line, what);
        w += sprintf(w, "%s\n", line);
    }
    free(copy);
}

typedef struct { char *json, *md, *html, *table; } lab_forms;

static lab_forms lab_forms_of(const char *text)
{
    lab_sample *s = lab_sample_new(&(sample_opts){ 2, 2, 12, 512, .text = text });
    lab_forms   f = { .json = lab_report_json(&s->result), .md = lab_report_md(&s->result),
                      .html = lab_report_html(&s->result) };
    size_t n = 0;
    FILE  *out = open_memstream(&f.table, &n);
    ck_assert(f.json && f.md && f.html && out && lab_table_print(&s->result, out) && fclose(out) == 0);
    lab_sample_free(s);
    return f;
}

static void lab_forms_free(lab_forms *f)
{
    free(f->json);
    free(f->md);
    free(f->html);
    free(f->table);
}

static char *page_skeleton(const char *html, const char *what)
{
    page p = { .what = what, .skeleton = malloc(strlen(html) + 1) };
    page_read(&p, html);
    return p.skeleton;
}

// The document gives the text back, where it is UTF-8; and has it everywhere.
static void judge_lab_json(const char *json, const char *text, bool broken, const char *what)
{
    err    e = { 0 };
    cJSON *doc = json_parse(json, (int64_t)strlen(json), what, &e);
    ck_assert_msg(doc != NULL, "%s", e.msg);
    const cJSON *base = cJSON_GetObjectItemCaseSensitive(doc, "base");
    const cJSON *candidates = cJSON_GetObjectItemCaseSensitive(doc, "candidates");
    const cJSON *worst = cJSON_GetObjectItemCaseSensitive(candidates->child, "worst");
    ck_assert_int_gt(cJSON_GetArraySize(worst), 100);
    if (!broken) {
        ck_assert_str_eq(cJSON_GetObjectItemCaseSensitive(base, "name")->valuestring, text);
        ck_assert_str_eq(cJSON_GetObjectItemCaseSensitive(worst->child, "next")->valuestring, text);
    }
    cJSON_Delete(doc);
}

// Harmless names of as many bytes, which layouts go by. "layers 3:" stays: such caches have a table of their own.
static void judge_lab(const char *text, bool broken)
{
    char harmless[1200], *what = NULL;
    const size_t kept = strncmp(text, "layers 3:", 9) == 0 ? 9 : 0;
    memcpy(harmless, text, kept);
    memset(harmless + kept, 'x', sizeof harmless - kept);
    harmless[strlen(text)] = '\0';
    lab_forms f = lab_forms_of(text), plain = lab_forms_of(harmless);
    text_buf t = { 0 };
    text_puts(&t, TEXT_PLAIN, text);
    what = text_take(&t);
    judge_text(f.json, (int64_t)strlen(f.json), what);
    judge_text(f.md, (int64_t)strlen(f.md), what);
    judge_text(f.html, (int64_t)strlen(f.html), what);
    judge_text(f.table, (int64_t)strlen(f.table), what);
    judge_lab_json(f.json, text, broken, what);

    char *a = page_skeleton(f.html, what), *b = page_skeleton(plain.html, what);
    ck_assert_msg(strcmp(a, b) == 0, "%s changes the page", what);
    lines_skeleton(f.md, what);
    lines_skeleton(plain.md, what);
    ck_assert_msg(strcmp(f.md, plain.md) == 0, "%s changes the Markdown", what);
    free(a);
    free(b);
    free(what);
    lab_forms_free(&f);
    lab_forms_free(&plain);
}

START_TEST(hostile_texts_in_a_laboratory)
{
    for (int k = 0; k < N_PIECES; k++) judge_lab(PIECES[k], k >= FIRST_BROKEN);
    judge_lab(all_pieces(false), false);
    judge_lab(all_pieces(true), true);
    judge_lab(HOSTILE, false);
    judge_lab("", false);
    judge_lab("</code></td></table></svg><h1>", false);
    judge_lab("</title></desc>\" onload=\"a()", false);
    char layer[1100];
    snprintf(layer, sizeof layer, "layers 3:%s", all_pieces(false));
    judge_lab(layer, false);
}
END_TEST

// ---- made-up verifications ------------------------------------------------------------------------------------------

typedef char *report_form(const verify_report *const *r, int n);

static char *form_of(made_how how, const char *text, report_form *form)
{
    report_sample *s = report_sample_new(&(report_opts){ how, 2, 6, 24, 5, true, text });
    const verify_report *list[] = { &s->report };
    char *out = form(list, 1);
    ck_assert_ptr_nonnull(out);
    report_sample_free(s);
    return out;
}

static char *junit_skeleton(const char *xml, const char *what)
{
    junit_doc d = { .what = what, .skeleton = malloc(strlen(xml) + 1) };
    junit_read(&d, xml);
    return d.skeleton;
}

// The document is, but for its texts, that of harmless ones of as many bytes.
static void judge_forms(made_how how, const char *text)
{
    static struct { report_form *form; char *(*skeleton)(const char *, const char *); } const forms[] = {
        { verify_report_html, page_skeleton }, { verify_report_junit, junit_skeleton } };
    char harmless[1200];
    text_buf t = { 0 };
    memset(harmless, 'x', sizeof harmless);
    harmless[strlen(text)] = '\0';
    text_puts(&t, TEXT_PLAIN, text);
    char *what = text_take(&t);
    for (int i = 0; i < 2; i++) {
        char *hostile = form_of(how, text, forms[i].form), *plain = form_of(how, harmless, forms[i].form);
        judge_text(hostile, (int64_t)strlen(hostile), what);
        char *a = forms[i].skeleton(hostile, what), *b = forms[i].skeleton(plain, what);
        ck_assert_msg(strcmp(a, b) == 0, "%s changes the document", what);
        free(a);
        free(b);
        free(hostile);
        free(plain);
    }
    free(what);
}

START_TEST(hostile_texts_in_made_up_reports)
{
    for (int k = 0; k < N_PIECES; k++) judge_forms(SAMPLE_FAIL, PIECES[k]);
    for (int how = SAMPLE_PASS; how <= SAMPLE_DEAD; how++) {
        judge_forms((made_how)how, all_pieces(false));
        judge_forms((made_how)how, all_pieces(true));
        judge_forms((made_how)how, HOSTILE);
        judge_forms((made_how)how, "");
        judge_forms((made_how)how, "</code></td></table></svg><h1>");
        judge_forms((made_how)how, "</title></desc>\" onload=\"a()");
        judge_forms((made_how)how, "]]></failure><error type=\"a\"/>");
        judge_forms((made_how)how, "\xef\xbf\xbe\xef\xbf\xbf");       // no characters of XML
    }
}
END_TEST

// ---- what a model writes -------------------------------------------------------------------------------------------

// A model that says nothing but these two tokens, whose texts are this where text is given.
static const char *model_that_says(int64_t a, int64_t b, const char *text)
{
    static char good[SCRATCH_PATH], path[SCRATCH_PATH];
    scratch_path(good, "good.gguf");
    scratch_path(path, "says.gguf");
    if (access(good, R_OK) != 0) {
        mini *m = mini_gemma4();
        mini_write(m, false);
        EXITS(0, "convert", m->dir, "-o", good);
        mini_free(m);
    }
    write_hostile(good, path, &(edit){ .key = -1, .value = text ? key_index(good, "tokenizer.ggml.tokens") : -1,
                                      .tensor = -1, .text = text, .says = { a, b } });
    return path;
}

static char *said(const char *artifact, const char *id, bool raw, bool terminal, int64_t *n)
{
    char *argv[] = { NULL, "run", WORD(artifact), "--ids", WORD(id), "-n", "3", "--ignore-eos", raw ? "--raw" : NULL,
                    NULL };
    if (terminal) return run_on_terminal(argv, false, n);
    outcome x = run_program(argv);
    ck_assert_msg(x.status == 0, "%s", x.log);
    free(x.log);
    *n = x.n_out;
    return x.out;
}

// A terminal is spared what a pipe and --raw get as it is.
START_TEST(a_model_steers_no_terminal)
{
    int64_t n;
    for (int k = 0; k < FIRST_BROKEN; k++) {
        const char *artifact = model_that_says(MINI_ADDED, MINI_ADDED + 1, PIECES[k]);
        char *text = said(artifact, "4", false, true, &n);
        judge_prose(text, n, PIECES[k]);
        ck_assert_int_gt(n, 3);
        free(text);
        for (int how = 0; how < 3; how++) {             // --raw on a terminal; a pipe; both
            text = said(artifact, "4", how != 1, how == 0, &n);
            ck_assert_msg(memmem(text, (size_t)n, PIECES[k], strlen(PIECES[k])) != NULL, "%s", text);
            free(text);
        }
    }
}
END_TEST

// The same spelled byte by byte: ESC, and C1's CSI as the bytes of a character and as one that is no UTF-8.
START_TEST(bytes_steer_no_terminal)
{
    int64_t n;
    const char *artifact = model_that_says(MINI_BYTES + 0x1b, MINI_BYTES + 0x9b, NULL);
    char *text = said(artifact, "34", false, true, &n);
    judge_prose(text, n, "bytes");
    ck_assert_msg(strstr(text, "\\x1b") || strstr(text, "\xef\xbf\xbd"), "%s", text);
    free(text);
    artifact = model_that_says(MINI_BYTES + 0xc2, MINI_BYTES + 0x9b, NULL);
    text = said(artifact, "34", false, true, &n);
    judge_prose(text, n, "bytes");
    free(text);
}
END_TEST

int main(void)
{
    const struct { const char *name; const TTest *test; } cases[] = {       // CK_RUN_CASE chooses one
        { "release", a_hostile_release_is_published_and_proved },
        { "failed", a_hostile_release_that_fails_or_lacks_a_fixture }, { "verify", hostile_reports_of_verify },
        { "card", a_card_of_hostile_names },
        { "made-up", hostile_texts_in_made_up_reports }, { "lab", hostile_texts_in_a_laboratory },
        { "run", a_model_steers_no_terminal },
        { "bytes", bytes_steer_no_terminal },
    };
    Suite *s = suite_create("shown_report");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        TCase *t = tcase_create(cases[i].name);
        tcase_add_unchecked_fixture(t, setup, teardown);
        tcase_add_test(t, cases[i].test);
        suite_add_tcase(s, t);
    }
    return run_suite(s);
}
