// Proves cli/manual.h, cli/roff.h and cli/complete.h on a table that is as hostile as texts can be: nothing of it is
// a request to roff, is run or expanded by a shell, or gets lost. That the real table is complete in them is proved by
// tests/e2e/pages.sh.
#define _GNU_SOURCE
#include "cli/complete.h"
#include "cli/manual.h"
#include "cli/roff.h"
#include "suite.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HOSTILE ".so /etc/passwd 'tis [a] {b}: $(touch hit) `touch hit` \\fBb\\n \"q\" ~/x ^ -o --x*? ; touch hit"

static const char *const choices[] = { "plain", "$(touch hit)", "`touch hit`", "it's", "a;touch hit", NULL };
static const opt hostile_options[] = {
    { "--output", "-o", OPT_OUTPUT, 0, "DIR", HOSTILE, true, 0, 0, NULL },
    { "--choice", NULL, OPT_CHOICE, 0, "$(touch hit):[x]", HOSTILE, false, 0, 0, choices },
    { "--types", NULL, OPT_TEXT, 0, "T,T", HOSTILE, false, 0, 0, NULL },
    { "--text", NULL, OPT_PATHS, 0, "C=FILE", HOSTILE, false, 0, 0, NULL },
    { "--flag", NULL, OPT_FLAG, 0, NULL, HOSTILE, false, 0, 0, NULL },
};
static const command hostile = {
    .name = "evil", .summary = HOSTILE, .synopsis = HOSTILE "\n  hallmark evil .so --x\n",
    .about = HOSTILE "\n" HOSTILE ".\n\n.TH X\n", .examples = "  .so x\n  'tis $(touch hit)\n  \\fB\n",
    .opts = hostile_options, .n_opts = N_ROWS(hostile_options),
};
static const command mild = {
    .name = "mild", .summary = "s", .synopsis = "S", .about = "A.\n", .examples = "  e\n", .words = choices,
};
const command *const command_table[] = { &hostile, &mild };
const int  n_commands = N_ROWS(command_table);
const char program_about[] = HOSTILE, exit_statuses[] = "Exit status: 0 done; 1 .so \\fBx; 130\nsignal.\n";
static const manual_edition edition = { .version = "1.2.3", .date = "2026-01-02" };

// ---- roff -----------------------------------------------------------------------------------------------------------

static const struct { const char *escape, *stands_for; } escapes[] = {
    { "\\(rs", "\\" }, { "\\-", "-" }, { "\\(aq", "'" }, { "\\(ga", "`" }, { "\\(ha", "^" }, { "\\(ti", "~" },
    { "\\(dq", "\"" }, { "\\&", "" }, { "\\fB", "" }, { "\\fI", "" }, { "\\fR", "" }, { "\\~", " " }, { "\\\"", "" },
};

static size_t one_escape(text_buf *out, const char *at)
{
    for (size_t i = 0; i < sizeof escapes / sizeof *escapes; i++) {
        const size_t n = strlen(escapes[i].escape);
        if (strncmp(at, escapes[i].escape, n) != 0) continue;
        text_words(out, escapes[i].stands_for);
        return n;
    }
    ck_abort_msg("an escape that nobody meant: %.20s", at);
    return 0;
}

// The page's text as a reader sees it, a space between words.
static char *read_back(const char *page)
{
    text_buf out = { 0 };
    bool space = false;
    while (*page) {
        if (*page == '\\') {
            page += one_escape(&out, page);
            space = false;
            continue;
        }
        const bool is_space = isspace((unsigned char)*page) != 0;
        if (!is_space || !space) text_raw(&out, is_space ? " " : page, 1);
        space = is_space;
        page++;
    }
    return text_take(&out);
}

static bool is_request(const char *line)
{
    static const char *const ours[] = {
        ".\\\"", ".TH ", ".SH ", ".TP\n", ".PP\n", ".EX\n", ".EE\n", ".br\n", ".B ", ".BR ",
    };
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        if (strncmp(line, ours[i], strlen(ours[i])) == 0) return true;
    return false;
}

static void look_at_lines(const char *page)
{
    for (const char *line = page; *line; line = strchr(line, '\n') + 1) {
        ck_assert_ptr_nonnull(strchr(line, '\n'));
        ck_assert_msg(line[0] != '\'' && line[0] != '\n', "a line of %.30s", line);
        ck_assert_msg(line[0] != '.' || is_request(line), "not a request of ours: %.30s", line);
    }
}

static int times_in(const char *text, const char *what)
{
    int n = 0;
    for (; (text = strstr(text, what)) != NULL; text += strlen(what)) n++;
    return n;
}

START_TEST(a_page_says_what_the_table_says)
{
    text_buf t = { 0 };
    manual_of_command(&t, &hostile, &edition);
    char *page = text_take(&t), *seen = read_back(page);
    look_at_lines(page);
    ck_assert_int_eq(times_in(seen, HOSTILE), 1 + 1 + 2 + 5);           // summary, synopsis, about, options
    for (int i = 0; choices[i]; i++) ck_assert_ptr_nonnull(strstr(seen, choices[i]));
    ck_assert_int_eq(times_in(page, "\\fB\\-o\\fR, \\fB\\-\\-output\\fR \\fIDIR\\fR\n"), 1);
    ck_assert_int_eq(times_in(page, "(required)"), 1);
    ck_assert_int_eq(times_in(page, "(may be repeated)"), 1);
    ck_assert_int_eq(times_in(page, ".TH HALLMARK\\-EVIL 1 \"2026-01-02\" \"hallmark 1.2.3\" \"User Commands\"\n"), 1);
    ck_assert_int_eq(times_in(page, ".br\n.B hallmark evil\n"), 1);
    ck_assert_int_eq(times_in(page, "\\&.so x\n\\(aqtis $(touch hit)\n\\(rsfB\n.EE\n"), 1);
    ck_assert_int_eq(times_in(page, ".TP\n\\fB1\\fR\n\\&.so \\(rsfBx\n.TP\n\\fB130\\fR\nsignal.\n"), 1);
    ck_assert_int_eq(times_in(page, ".SH TYPES\n"), 1);
    ck_assert_int_eq(times_in(page, ".BR hallmark\\-mild (1)\n"), 1);
    free(seen);
    free(page);
}
END_TEST

START_TEST(the_programs_page_names_all)
{
    text_buf t = { 0 };
    manual_of_program(&t, command_table, n_commands, &edition);
    char *page = text_take(&t), *seen = read_back(page);
    look_at_lines(page);
    ck_assert_int_eq(times_in(seen, HOSTILE), 2);
    ck_assert_int_eq(times_in(page, ".BR hallmark\\-evil (1)"), 2);
    ck_assert_int_eq(times_in(page, ".BR hallmark\\-mild (1)"), 2);
    free(seen);
    free(page);
}
END_TEST

START_TEST(prose_is_filled)
{
    static const struct { const char *in, *out; } rows[] = {
        { "", "" }, { "  \n", "" }, { "a  b\nc", "a b c\n" }, { ".a .b", "\\&.a \\&.b\n" },
        { "(-o X|--all-of=3)", "(\\fB\\-o\\fR X|\\fB\\-\\-all\\-of\\fR=3)\n" },
        { "a-b -1 - --", "a\\-b \\-1 \\- \\-\\-\n" }, { "\x01\x7f\t.", "\\&.\n" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        text_buf t = { 0 };
        roff_prose(&t, rows[i].in, strlen(rows[i].in));
        char *got = text_take(&t);
        ck_assert_str_eq(got, rows[i].out);
        free(got);
    }
    text_buf t = { 0 };
    for (int i = 0; i < 100; i++) roff_prose(&t, HOSTILE " " HOSTILE " " HOSTILE, 3 * strlen(HOSTILE) + 2);
    char *got = text_take(&t);
    for (const char *line = got; *line; line = strchr(line, '\n') + 1) ck_assert_int_le(strcspn(line, "\n"), 80);
    look_at_lines(got);
    free(got);
}
END_TEST

// ---- shells ---------------------------------------------------------------------------------------------------------

static char folder[64];

static void make_folder(void)
{
    strcpy(folder, "/tmp/hallmark-manual.XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    ck_assert_int_eq(chdir(folder), 0);
}

static void remove_folder(void)
{
    ck_assert_int_eq(chdir("/"), 0);
    char *shell_line = NULL;
    ck_assert_int_gt(asprintf(&shell_line, "rm -rf %s", folder), 0);
    ck_assert_int_eq(system(shell_line), 0);
    free(shell_line);
}

// What the shell says when it has read the script, and then `then`; nothing that the table holds was run.
static char *said_by(const char *shell, void (*write)(text_buf *, const command *const *, int), const char *then)
{
    text_buf t = { 0 }, said = { 0 };
    char line[512], *shell_line = NULL;
    write(&t, command_table, n_commands);
    text_words(&t, then);
    char *script = text_take(&t);
    FILE *f = fopen("script", "w");
    ck_assert_int_ge(fputs(script, f), 0);
    ck_assert_int_eq(fclose(f), 0);
    free(script);
    ck_assert_int_gt(asprintf(&shell_line, "%s 2>&1 < /dev/null", shell), 0);
    f = popen(shell_line, "r");
    while (fgets(line, sizeof line, f)) text_words(&said, line);
    ck_assert_int_eq(pclose(f), 0);
    free(shell_line);
    ck_assert_msg(access("hit", F_OK) != 0, "%s ran a word of the table", shell);
    return text_take(&said);
}

START_TEST(bash_offers_words_as_they_are)
{
    static const char then[] =
        "at() { COMP_WORDS=(hallmark \"$@\") COMP_CWORD=$#; _hallmark; printf '<%s>' \"${COMPREPLY[@]}\"; echo; }\n"
        "at evil --choice ''\nat evil --choice '$(t'\nat evil -\nat mild ''\nat evil --types bf16,f3\nat evil -o ''\n";
    char *said = said_by("bash script", complete_bash, then);
    ck_assert_str_eq(said, "<plain><$(touch hit)><`touch hit`><it's><a;touch hit>\n<$(touch hit)>\n"
                           "<--output><-o><--choice><--types><--text><--flag><--help><-h>\n"
                           "<plain><$(touch hit)><`touch hit`><it's><a;touch hit>\n<bf16,f32>\n<>\n");
    free(said);
}
END_TEST

static bool there(const char *shell)
{
    char *shell_line = NULL;
    ck_assert_int_gt(asprintf(&shell_line, "command -v %s > /dev/null", shell), 0);
    const bool yes = system(shell_line) == 0;
    free(shell_line);
    if (!yes) printf("SMALLER: %s is not here: its completion was not read by it\n", shell);
    return yes;
}

START_TEST(zsh_is_given_words_as_they_are)
{
    // In the place of zsh's own function the words are printed that it is given, and of choices what it makes of them.
    static const char then[] =
        "_arguments() {\n    printf '<%s>\\n' \"$@\"; state=argument\n"
        "    for spec in \"$@\"; do\n        [[ $spec == --choice* ]] || continue\n"
        "        eval \"ws=( ${${spec#*:*:\\(}%\\)} )\"; printf '{%s}' $ws\n    done\n"
        "    return 0\n}\nwords=(evil)\n_hallmark\n";
    if (!there("zsh")) return;
    char *said = said_by("zsh -f -c 'compdef() { : }; . ./script'", complete_zsh, then);
    static const char escaped[] = "[.so /etc/passwd 'tis \\[a\\] {b}\\: $(touch hit) `touch hit` "
                                  "\\\\fBb\\\\n \"q\" ~/x ^ -o --x*? ; touch hit]";
    ck_assert_int_eq(times_in(said, escaped), 6);         // -o and --output each
    ck_assert_int_eq(times_in(said, "<(--output -o)-o+["), 1);
    ck_assert_int_eq(times_in(said, "]:$(touch hit)\\:\\[x\\]:("), 1);
    ck_assert_msg(strstr(said, "{plain}{$(touch hit)}{`touch hit`}{it's}{a;touch hit}"), "zsh's choices: %s", said);
    free(said);
}
END_TEST

START_TEST(fish_offers_words_as_they_are)
{
    if (!there("fish")) return;
    static const char then[] = "complete -C'hallmark evil --choice '\ncomplete -C'hallmark evil --f'\n";
    char *said = said_by("HOME=$PWD fish script", complete_fish, then);
    for (int i = 0; choices[i]; i++)
        ck_assert_msg(strstr(said, choices[i]), "fish does not offer %s: %s", choices[i], said);
    ck_assert_ptr_nonnull(strstr(said, "--flag\t.so /etc/passwd 'tis [a] {b}: $(touch hit) `touch hit` \\fBb"));
    free(said);
}
END_TEST

int main(void)
{
    Suite *s   = suite_create("manual");
    TCase *tc  = tcase_create("pages"), *shells = tcase_create("shells");
    tcase_add_test(tc, a_page_says_what_the_table_says);
    tcase_add_test(tc, the_programs_page_names_all);
    tcase_add_test(tc, prose_is_filled);
    suite_add_tcase(s, tc);
    tcase_add_checked_fixture(shells, make_folder, remove_folder);
    tcase_add_test(shells, bash_offers_words_as_they_are);
    tcase_add_test(shells, zsh_is_given_words_as_they_are);
    tcase_add_test(shells, fish_offers_words_as_they_are);
    suite_add_tcase(s, shells);
    return run_suite(s);
}
