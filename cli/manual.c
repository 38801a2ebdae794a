// manual: the sections of a page, each from one field of a command.
#include "manual.h"
#include "option_value.h"
#include "roff.h"
#include <ctype.h>
#include <string.h>

static void section(text_buf *t, const char *name) { text_printf(t, ".SH %s\n", name); }

// A page's name, as "hallmark\-release". Part of a command's name is ours: letters and digits.
static void page_name(text_buf *t, const char *name)
{
    text_words(t, "hallmark");
    if (name) text_printf(t, "\\-%s", name);
}

static void head(text_buf *t, const char *name, const char *summary, const manual_edition *of)
{
    text_printf(t, ".\\\" Made by 'hallmark manual' from the program's table of commands.\n.TH HALLMARK%s",
                name ? "\\-" : "");
    for (const char *p = name ? name : ""; *p; p++) text_printf(t, "%c", toupper((unsigned char)*p));
    text_printf(t, " 1 \"%s\" \"hallmark %s\" \"User Commands\"\n", of->date, of->version);
    section(t, "NAME");
    page_name(t, name);
    text_words(t, " \\- ");
    roff_text(t, summary, strlen(summary));
    text_words(t, "\n");
}

// The next line of *at, which is moved behind it; false at the end. *n: without the line's end.
static bool next_line(const char **at, const char **line, size_t *n)
{
    if (!**at) return false;
    *line = *at;
    *n = strcspn(*at, "\n");
    *at += *n + ((*at)[*n] == '\n');
    return true;
}

static size_t indent(const char *line, size_t n)
{
    size_t i = 0;
    while (i < n && line[i] == ' ') i++;
    return i;
}

// A line that begins with the program's name is another usage; any other one goes on with the usage before it.
static void synopsis(text_buf *t, const command *c)
{
    static const char program[] = "hallmark ";
    const char *at = c->synopsis, *line;
    size_t n;
    section(t, "SYNOPSIS");
    text_printf(t, ".B hallmark %s\n", c->name);
    while (next_line(&at, &line, &n)) {
        const size_t in = indent(line, n);
        line += in;
        n -= in;
        if (n > sizeof program - 1 && memcmp(line, program, sizeof program - 1) == 0) {
            const size_t words = sizeof program - 1 + strcspn(line + sizeof program - 1, " \n");
            text_words(t, ".br\n.B ");
            roff_line(t, line, words);
            line += words;
            n -= words;
        }
        roff_prose(t, line, n);
    }
}

// The help's lines are broken by hand: a full stop at a line's end, or an empty line, ends a paragraph.
static void paragraphs(text_buf *t, const char *text)
{
    const char *line;
    size_t n;
    bool ended = false;
    while (next_line(&text, &line, &n)) {
        if (ended && n > 0) text_words(t, ".PP\n");
        ended = n == 0 || line[n - 1] == '.';
        roff_prose(t, line, n);
    }
}

static void option_tag(text_buf *t, const char *letter, const char *name, const char *arg)
{
    text_words(t, ".TP\n");
    if (letter) {
        roff_font(t, 'B', letter);
        text_words(t, ", ");
    }
    roff_font(t, 'B', name);
    if (arg) {
        text_words(t, " ");
        roff_font(t, 'I', arg);
    }
    text_words(t, "\n");
}

// Where the help does not name them itself.
static void choices(text_buf *t, const char *const *words, const char *help)
{
    const char *const *named = words;
    while (*named && strstr(help, *named)) named++;
    if (!*named) return;
    text_words(t, "One of\n");
    for (; *words; words++) {
        roff_font(t, 'B', *words);
        text_words(t, words[1] ? ",\n" : ".\n");
    }
}

static void options(text_buf *t, const command *c)
{
    section(t, "OPTIONS");
    for (int i = 0; i < c->n_opts; i++) {
        const opt *o = &c->opts[i];
        option_tag(t, o->letter, o->name, o->arg);
        roff_prose(t, o->help, strlen(o->help));
        if (o->required) text_words(t, "(required)\n");
        if (o->kind == OPT_PATHS) text_words(t, "(may be repeated)\n");
        if (o->kind == OPT_CHOICE) choices(t, o->choices, o->help);
    }
    option_tag(t, "-h", "--help", NULL);
    text_words(t, "print a shorter text\n");
}

static void types(text_buf *t, const command *c)
{
    if (!command_takes_types(c)) return;
    section(t, "TYPES");
    type_names(t, "\n");
    text_words(t, "\n");
}

static void examples(text_buf *t, const char *text)
{
    const char *line;
    size_t n;
    section(t, "EXAMPLES");
    text_words(t, ".EX\n");
    while (next_line(&text, &line, &n)) {
        const size_t in = indent(line, n);
        roff_line(t, line + in, n - in);
    }
    text_words(t, ".EE\n");
}

// "Exit status: 0 done; 1 no; ..." as a list.
static void statuses(text_buf *t)
{
    const char *at = strchr(exit_statuses, ':');
    section(t, "EXIT STATUS");
    while (at && *at) {
        at += 1;
        at += strspn(at, " \n");
        const size_t number = strspn(at, "0123456789"), n = strcspn(at, ";");
        text_words(t, ".TP\n\\fB");
        roff_text(t, at, number);
        text_words(t, "\\fR\n");
        roff_prose(t, at + number, n - number);
        at = at[n] ? at + n : NULL;
    }
}

static void see_also(text_buf *t, const command *const *table, int n, const command *but)
{
    section(t, "SEE ALSO");
    if (but) text_words(t, ".BR hallmark (1),\n");
    for (int i = 0; i < n; i++) {
        if (table[i] == but) continue;
        const bool last = i + 1 == n || (i + 2 == n && table[i + 1] == but);
        text_words(t, ".BR ");
        page_name(t, table[i]->name);
        text_printf(t, " (1)%s\n", last ? "" : ",");
    }
}

void manual_of_command(text_buf *t, const command *c, const manual_edition *of)
{
    head(t, c->name, c->summary, of);
    synopsis(t, c);
    section(t, "DESCRIPTION");
    paragraphs(t, c->about);
    options(t, c);
    types(t, c);
    examples(t, c->examples);
    statuses(t);
    see_also(t, command_table, n_commands, c);
}

static void environment(text_buf *t)
{
    section(t, "ENVIRONMENT");
    text_words(t, ".TP\n.BR HF_HUB_CACHE ,\\~ HF_HOME\n"
                  "where the Hub cache is, in which the id of a model is looked for\n"
                  "(default: \\(ti/.cache/huggingface)\n"
                  ".TP\n.BR GOMP_SPINCOUNT ,\\~ OMP_WAIT_POLICY\n"
                  "how long waiting threads spin; by default a short time, which leaves other programs their share\n");
}

void manual_of_program(text_buf *t, const command *const *table, int n, const manual_edition *of)
{
    head(t, NULL, "GGUF files that are proved against Hugging Face Transformers", of);
    section(t, "SYNOPSIS");
    text_words(t, ".B hallmark\n");
    roff_prose(t, "COMMAND ...", strlen("COMMAND ..."));
    section(t, "DESCRIPTION");
    roff_prose(t, program_about, strlen(program_about));
    section(t, "COMMANDS");
    for (int i = 0; i < n; i++) {
        text_words(t, ".TP\n.BR ");
        page_name(t, table[i]->name);
        text_words(t, " (1)\n");
        roff_prose(t, table[i]->summary, strlen(table[i]->summary));
    }
    section(t, "OPTIONS");
    option_tag(t, "-h", "--help", NULL);
    text_words(t, "print the commands; after a command, its options\n");
    option_tag(t, "-V", "--version", NULL);
    text_words(t, "print the version\n");
    statuses(t);
    environment(t);
    see_also(t, table, n, NULL);
}
