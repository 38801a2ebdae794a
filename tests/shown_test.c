// Proves that no text from outside steers whoever reads it: formats/text.h, in every command. Each string of a GGUF
// file, of a checkpoint's JSON files and of a fixture is made hostile in turn, and each word of a command line and each
// name of a file; what the program then shows, in success and in failure, is looked at byte by byte. The reports have
// tests/shown_report_test.c.
#define _GNU_SOURCE
#include "shown_gguf.h"
#include "measure/lab_record.h"
#include "mini_checkpoint.h"

// Under sanitizers, which make each start of the program ten times slower, every third string and piece.
#ifdef __SANITIZE_ADDRESS__
enum { EACH = 3 };
#else
enum { EACH = 1 };
#endif

static mini       *checkpoint;
static char        good[SCRATCH_PATH];         // an artifact of the mini checkpoint

static void setup(void)
{
    err e = { 0 };
    setenv("GOMP_SPINCOUNT", "1000", 1);
    setenv("OMP_NUM_THREADS", "1", 1);
    files_begin("shown");
    if (EACH > 1) printf("SMALLER under sanitizers: every third string of a GGUF file, piece, and command's options\n");
    checkpoint = mini_gemma4();
    checkpoint->chat_template = "{{ messages }}";
    mini_write(checkpoint, false);
    scratch_path(good, "good.gguf");
    convert_opts o = { .type = FT_BF16 };
    ck_assert_msg(convert_checkpoint(checkpoint->dir, good, &o, &e), "%s", e.msg);
}

static void teardown(void)
{
    printf("%d commands\n", n_shown);
    n_shown = 0;
    mini_free(checkpoint);
    files_end();
}

// ---- GGUF ----------------------------------------------------------------------------------------------------------

static void look_at(const char *artifact)
{
    char *a = WORD(artifact);
    SHOWN("inspect", a);
    SHOWN("inspect", a, "--json");
    SHOWN("run", a, "--ids", "2,264", "-n", "2", "--print-ids");
    SHOWN("quantize", a, "--type", "q8_0", "--dry-run");
}

static void all_commands_on(const char *artifact)
{
    char *a = WORD(artifact);
    look_at(a);
    SHOWN("run", a, "-p", "ab c", "-n", "2");
    SHOWN("quantize", a, "-o", "o.gguf", "--type", "q8_0");
    SHOWN("check", a);
    SHOWN("check", a, "--json");
    SHOWN("derive", a, "--from", checkpoint->dir);
    SHOWN("derive", good, "--from", a, "--json");
    SHOWN("bench", a, "--case", "p2g2", "--repeat", "1");
    SHOWN("bench", a, "--case", "p2g2", "--repeat", "1", "--json");
    SHOWN("verify", a, "--fixture", a);
    SHOWN("verify", a, "--fixture", SOURCE_DIR "/fixtures/tiny-gemma4/fixtures/bfloat16.json.gz", "--json");
    SHOWN("imatrix", a, "--text", SOURCE_DIR "/COPYING", "-o", "im.gguf", "--chunk", "64");
    SHOWN("imatrix", "--merge", a, "-o", "im.gguf");
    SHOWN("convert", a, "-o", "o.gguf");
    SHOWN("release", a, "-o", "rel");
}

// Every kind of character in one text, in each place.
START_TEST(every_string_of_a_gguf_file)
{
    char path[SCRATCH_PATH];
    scratch_path(path, "hostile.gguf");
    gguf *g = open_gguf(good);
    const int64_t n_kv = gguf_n_kv(g), n_tensors = gguf_n_tensors(g);
    gguf_close(g);
    for (int64_t i = 0; i < 2 * n_kv; i += EACH) {
        write_hostile(good, path, &(edit){ .key = i < n_kv ? i : -1, .value = i < n_kv ? -1 : i - n_kv, .tensor = -1,
                                          .text = all_pieces(true) });
        look_at(path);
    }
    for (int64_t i = 0; i < n_tensors; i += 9) {
        write_hostile(good, path, &(edit){ .key = -1, .value = -1, .tensor = i, .text = hostile_name(i % 2) });
        look_at(path);
    }
    write_hostile(good, path, &(edit){ .key = -1, .value = -1, .tensor = n_tensors / 2, .text = hostile_name(true) });
    all_commands_on(path);
}
END_TEST

// Piece by piece, in the places that are shown most: the model's name, its template, its tokens, a key of nobody's.
START_TEST(every_piece_in_the_places_shown_most)
{
    static const char *const keys[] = { "general.name", "general.architecture", "tokenizer.ggml.tokens" };
    char path[SCRATCH_PATH];
    scratch_path(path, "hostile.gguf");
    const int64_t at[] = { key_index(good, keys[0]), key_index(good, keys[1]), key_index(good, keys[2]) };
    for (int i = 0; i < N_PIECES; i += EACH)
        for (int k = 0; k < 3; k++) {
            write_hostile(good, path, &(edit){ .key = -1, .value = at[k], .tensor = -1, .text = PIECES[i] });
            SHOWN("inspect", path);
            SHOWN("inspect", path, "--json");
            SHOWN("run", path, "-p", "a", "-n", "2", "--print-ids");
        }
}
END_TEST

// ---- JSON ----------------------------------------------------------------------------------------------------------

// Walks a document's strings and names, at most `most` children of each value; hostile(): what to do with each once it
// is.
typedef struct { cJSON *root; const char *text; int most; void (*hostile)(const cJSON *root); } walk;

static void walk_value(const walk *w, cJSON *v)
{
    if (cJSON_IsString(v)) {
        char *old = v->valuestring;
        v->valuestring = WORD(w->text);
        w->hostile(w->root);
        v->valuestring = old;
    }
    if (v->string) {
        char *old = v->string;
        v->string = WORD(w->text);
        w->hostile(w->root);
        v->string = old;
    }
    int n = 0;
    for (cJSON *c = v->child; c && n < w->most; c = c->next, n++) walk_value(w, c);
}

static const char *written_as;

static void convert_it(const cJSON *root)
{
    mini_write_json(checkpoint, written_as, root);
    SHOWN("convert", checkpoint->dir, "-o", "o.gguf");
    if (strcmp(written_as, "config.json") == 0) SHOWN("inspect", checkpoint->dir);
}

START_TEST(every_string_of_a_checkpoint)
{
    const struct { const char *name; cJSON *root; int most; } files[] = {
        { "config.json", checkpoint->config, 100 }, { "generation_config.json", checkpoint->generation, 100 },
        { "tokenizer_config.json", checkpoint->tokenizer_config, 100 }, { "tokenizer.json", checkpoint->tokenizer, 9 },
    };
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        written_as = files[i].name;
        walk_value(&(walk){ files[i].root, all_pieces(false), files[i].most, convert_it }, files[i].root);
        mini_write_json(checkpoint, written_as, files[i].root);
    }
}
END_TEST

static void write_in(const char *name, const char *text) { write_text(in_dir(checkpoint->dir, name), text); }

// Texts that are no JSON strings: a card's license, templates, bytes that are no UTF-8 in each file, an index that
// names hostile files.
START_TEST(every_other_text_of_a_checkpoint)
{
    static const char *const names[] = { "config.json", "generation_config.json", "tokenizer.json",
                                        "tokenizer_config.json", "chat_template.jinja",
                                         "README.md", "chat_template.json", "model.safetensors.index.json",
                                             "additional_chat_templates/x.jinja" };
    mkdir(in_dir(checkpoint->dir, "additional_chat_templates"), 0777);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        for (int k = 0; k < N_PIECES; k++) {
            char text[400];
            if (strcmp(names[i], "README.md") == 0) snprintf(text, sizeof text,
                                                             "---\nlicense: %s\nlanguage:\n- %s\ntags: [%s]\n---\n",
                                                                 PIECES[k], PIECES[k], PIECES[k]);
            else if (strstr(names[i], ".json")) snprintf(text, sizeof text, "{\"%s\": \"%s\", %s", PIECES[k], PIECES[k],
                                                         PIECES[k]);
            else snprintf(text, sizeof text, "{{ %s }}", PIECES[k]);
            write_in(names[i], text);
            SHOWN("convert", checkpoint->dir, "-o", "o.gguf");
            SHOWN("inspect", checkpoint->dir);
            if (i >= 4) unlink(in_dir(checkpoint->dir, names[i]));
        }
    mini_write(checkpoint, false);
}
END_TEST

START_TEST(every_tensor_name_of_a_checkpoint)
{
    for (int i = 0; i < checkpoint->n; i += 5) {
        char old[160], *name = checkpoint->t[i].name;
        strcpy(old, name);
        // it goes into JSON as it is
        strcpy(name, "x\\u001b[2J\\u009b\\u202e\\u200b\\u007f\\n# h <b> | `a` [a](b)");
        mini_write(checkpoint, i % 2);
        SHOWN("convert", checkpoint->dir, "-o", "o.gguf");
        SHOWN("inspect", checkpoint->dir);
        SHOWN("inspect", checkpoint->dir, "--json");
        strcpy(name, old);
        if (i % 2 == 0) SHOWN("inspect", in_dir(checkpoint->dir, "model.safetensors"));
        unlink(in_dir(checkpoint->dir, "model.safetensors.index.json"));
    }
    mini_write(checkpoint, false);
}
END_TEST

// ---- a fixture -----------------------------------------------------------------------------------------------------

static char  hostile_fixture[SCRATCH_PATH];
static char *the_case;          // its one case

static void write_fixture(const cJSON *head, const char *one_case)
{
    char  *text = cJSON_PrintUnformatted(head);
    gzFile f = gzopen(hostile_fixture, "wb1");
    ck_assert(f && gzputs(f, text) > 0 && gzputs(f, "\n") > 0 && gzputs(f, one_case) > 0 && gzclose(f) == Z_OK);
    free(text);
}

static void look_at_fixture(void)
{
    SHOWN("inspect", hostile_fixture);
    SHOWN("inspect", hostile_fixture, "--json");
    SHOWN("verify", good, "--fixture", hostile_fixture);
}

static void hostile_head(const cJSON *root)
{
    write_fixture(root, the_case);
    look_at_fixture();
}

START_TEST(every_string_of_a_fixture)
{
    enum { LINE = 4 << 20 };
    char  *line = malloc(LINE), first[SCRATCH_PATH];
    scratch_path(first, "first.json.gz");
    scratch_path(hostile_fixture, "hostile.json.gz");
    shorten_fixture(SOURCE_DIR "/fixtures/tiny-gemma4/fixtures/bfloat16.json.gz", first, 1);
    gzFile f = gzopen(first, "rb");
    ck_assert(f && gzgets(f, line, LINE));
    cJSON *head = cJSON_Parse(line), *one;
    ck_assert(head && gzgets(f, line, LINE));
    the_case = strdup(line);
    gzclose(f);
    walk_value(&(walk){ head, all_pieces(false), 8, hostile_head }, head);

    one = cJSON_Parse(line);
    static const char *const keys[] = { "id", "category", "prompt" };
    for (int i = 0; i < 3; i++) {
        cJSON *v = cJSON_GetObjectItemCaseSensitive(one, keys[i]);
        char  *old = v->valuestring, *text;
        for (int k = 0; k < FIRST_BROKEN; k++) {
            v->valuestring = WORD(PIECES[k]);
            text = cJSON_PrintUnformatted(one);
            write_fixture(head, text);
            free(text);
            look_at_fixture();
        }
        v->valuestring = old;
    }
    cJSON_Delete(one);
    cJSON_Delete(head);
    free(the_case);
    free(line);
}
END_TEST

// ---- the command line ----------------------------------------------------------------------------------------------

static const char *const COMMANDS[] = { "convert", "quantize", "verify", "run", "bench", "inspect", "release", "check",
                                       "derive", "imatrix" };
enum { N_COMMANDS = sizeof COMMANDS / sizeof COMMANDS[0] };

// Every option that a command's help names, with the word as its value.
static void each_option(const char *name, const char *word)
{
    outcome help = run_program((char *[]){ NULL, WORD(name), "--help", NULL });
    char *rest = NULL;
    ck_assert_int_eq(help.status, 0);
    for (char *line = strtok_r(help.out, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        char *at = line[0] == ' ' && line[1] == ' ' ? strstr(line, "--") : NULL, glued[400];
        if (!at || at > line + 8) continue;
        at[strcspn(at, " ")] = '\0';
        SHOWN(WORD(name), good, at, WORD(word), "-o", "o.gguf", "--fixture", good, "--from", good, "-p", "a", "--text",
              SOURCE_DIR "/LICENSE");
        snprintf(glued, sizeof glued, "%s=%s", at, word);
        SHOWN(WORD(name), good, glued);
        snprintf(glued, sizeof glued, "%s%s", at, word);
        SHOWN(WORD(name), glued);
    }
    outcome_free(&help);
}

START_TEST(every_word_of_the_command_line)
{
    for (int k = 0; k < N_PIECES; k += EACH) {
        char option[80];
        snprintf(option, sizeof option, "--%s", PIECES[k]);
        SHOWN(WORD(PIECES[k]));
        SHOWN("help", WORD(PIECES[k]));
        SHOWN("convert", option);
        SHOWN("run", good, "--ids", WORD(PIECES[k]));
        SHOWN("run", good, "-p", WORD(PIECES[k]), "-n", "1", "--print-ids");
        SHOWN("quantize", good, "--type", WORD(PIECES[k]), "--dry-run");
        SHOWN("release", checkpoint->dir, "-o", "rel", "--name", WORD(PIECES[k]));
    }
    for (int i = 0; i < N_COMMANDS; i += EACH) each_option(COMMANDS[i], hostile_name(i % 2));
}
END_TEST

// ---- names of files ------------------------------------------------------------------------------------------------

static void copy_to(const char *from, const char *to)
{
    int64_t n;
    err     e = { 0 };
    char   *text = read_all(from, &n);
    ck_assert_msg(outfile_write_whole(to, text, n, &e), "%s", e.msg);
    free(text);
}

START_TEST(every_name_of_a_file)
{
    for (int broken = 0; broken < 2; broken++) {
        char art[SCRATCH_PATH + 64], dir[SCRATCH_PATH + 64], none[SCRATCH_PATH + 64], junk[SCRATCH_PATH + 64],
            inside[SCRATCH_PATH + 128];
        snprintf(art, sizeof art, "%s/%s.gguf", scratch, hostile_name(broken));
        snprintf(dir, sizeof dir, "%s/%s.dir", scratch, hostile_name(broken));
        snprintf(none, sizeof none, "%s/%s.none", scratch, hostile_name(broken));
        snprintf(junk, sizeof junk, "%s/%s.junk", scratch, hostile_name(broken));
        snprintf(inside, sizeof inside, "%s/a %s.gguf", dir, hostile_name(broken));
        copy_to(good, art);
        write_file(junk, "junk", 4);
        ck_assert_int_eq(mkdir(dir, 0777), 0);
        copy_to(good, inside);
        const char *const files[] = { art, dir, none, junk };
        for (int i = 0; i < 4; i++) all_commands_on(files[i]);
        SHOWN("quantize", good, "-o", WORD(art), "--type", "q8_0");             // replaced, which is said
        SHOWN("quantize", good, "-o", WORD(dir), "--type", "q8_0");
        SHOWN("convert", checkpoint->dir, "-o", WORD(art));
        SHOWN("imatrix", good, "--text", WORD(junk), "-o", WORD(art));
        SHOWN("verify", good, "--fixture", WORD(none), "--gate", WORD(junk), "--report", WORD(art));
        SHOWN("quantize", good, "-o", "o.gguf", "--type", "q4_k_m", "--imatrix", WORD(junk), "--tensor-type",
              WORD(art));
        SHOWN("release", checkpoint->dir, "-o", WORD(dir));

        // A checkpoint whose folder is called so: it names what is made of it.
        char *home = checkpoint->dir;
        snprintf(inside, sizeof inside, "%s/hf %s", scratch, hostile_name(broken));
        ck_assert_int_eq(mkdir(inside, 0777), 0);
        checkpoint->dir = inside;
        mini_write(checkpoint, false);
        SHOWN("convert", inside, "-o", "o.gguf");
        SHOWN("inspect", "o.gguf");
        SHOWN("inspect", inside, "--json");
        SHOWN("derive", "o.gguf", "--from", inside, "--json");
        SHOWN("release", inside, "-o", "rel");
        SHOWN("release", inside, "-o", "rel", "--json", "--name", "plain");
        checkpoint->dir = home;
    }
}
END_TEST

// ---- what was measured ---------------------------------------------------------------------------------------------

static char    measured[SCRATCH_PATH];      // the good file, with a record of caches
static int64_t measured_at;

static void look_at_measured(const cJSON *root)
{
    char  path[SCRATCH_PATH];
    char *json = cJSON_PrintUnformatted(root);
    scratch_path(path, "hostile.gguf");
    write_hostile(measured, path, &(edit){ .key = -1, .value = measured_at, .tensor = -1, .text = json });
    SHOWN("inspect", path);
    SHOWN("inspect", path, "--json");
    SHOWN("check", path);
    SHOWN("check", path, "--json");
    free(json);
}

START_TEST(every_string_of_what_was_measured)
{
    err     e = { 0 };
    char   *text;
    int64_t n;
    lab_record rec;
    gguf   *g = open_gguf(good);
    ck_assert_msg(file_read_text(&text, &n, SOURCE_DIR "/tests/fuzz/seeds/lab_record/one.json", 1 << 20, &e), "%s",
                  e.msg);
    ck_assert_msg(lab_record_read(&rec, text, n, "seed", &e), "%s", e.msg);
    ck_assert_msg(claims_model_digest(g, 1, rec.tensors, &e), "%s", e.msg);
    gguf_close(g);
    scratch_path(measured, "measured.gguf");
    ck_assert_msg(lab_record_write(good, measured, &rec, 0, NULL, &e), "%s", e.msg);
    measured_at = key_index(measured, KEY_HM_KV_MEASURED);
    cJSON *root = cJSON_Parse(text);
    look_at_measured(root);
    walk_value(&(walk){ root, all_pieces(false), 100, look_at_measured }, root);
    cJSON_Delete(root);
    lab_record_free(&rec);
    free(text);
    for (int i = 0; i < N_PIECES; i += EACH) {              // and what is no JSON at all
        char path[SCRATCH_PATH];
        scratch_path(path, "hostile.gguf");
        write_hostile(measured, path, &(edit){ .key = -1, .value = measured_at, .tensor = -1, .text = PIECES[i] });
        SHOWN("inspect", path);
        SHOWN("check", path, "--json");
    }
}
END_TEST

int main(void)
{
    const struct { const char *name; const TTest *test; } cases[] = {       // CK_RUN_CASE chooses one
        { "gguf", every_string_of_a_gguf_file }, { "pieces", every_piece_in_the_places_shown_most },
        { "checkpoint", every_string_of_a_checkpoint }, { "texts", every_other_text_of_a_checkpoint },
        { "tensors", every_tensor_name_of_a_checkpoint }, { "fixture", every_string_of_a_fixture },
        { "words", every_word_of_the_command_line }, { "names", every_name_of_a_file },
        { "measured", every_string_of_what_was_measured },
    };
    Suite *s = suite_create("shown");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        TCase *t = tcase_create(cases[i].name);
        tcase_add_unchecked_fixture(t, setup, teardown);
        tcase_add_test(t, cases[i].test);
        suite_add_tcase(s, t);
    }
    return run_suite(s);
}
