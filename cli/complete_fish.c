// complete: fish, a 'complete' for each command and option; which of them holds is asked of the second word.
#include "complete.h"
#include "option_value.h"
#include <string.h>

// One word in single quotes, in which fish knows two escapes.
static void quoted(text_buf *t, const char *s)
{
    text_words(t, "'");
    for (; *s; s++) {
        if (*s == '\'' || *s == '\\') text_words(t, "\\");
        text_raw(t, s, 1);
    }
    text_words(t, "'");
}

// The value of -a is taken apart and expanded once more: such words are printed by a command in it.
static void offered(text_buf *t, const char *const *list)
{
    text_buf inner = { 0 };
    text_words(&inner, "(printf '%s\\n'");
    for (; *list; list++) {
        text_words(&inner, " ");
        quoted(&inner, *list);
    }
    text_words(&inner, ")");
    t->failed = t->failed || inner.failed;
    text_words(t, " -x -a ");
    if (!inner.failed) quoted(t, inner.s);
    text_drop(&inner);
}

static void types(text_buf *t, bool list)
{
    text_words(t, list ? " -x -a '(__fish_append , " : " -x -a '");
    type_names(t, " ");
    text_words(t, list ? ")'" : "'");
}

static void value(text_buf *t, const opt *o)
{
    switch (option_value(o)) {
    case VALUE_NONE:   return;
    case VALUE_TEXT:   text_words(t, " -x"); return;
    case VALUE_CHOICE: offered(t, o->choices); return;
    case VALUE_TYPE:   types(t, false); return;
    case VALUE_TYPES:  types(t, true); return;
    case VALUE_FOLDER: text_words(t, " -x -a '(__fish_complete_directories (commandline -ct))'"); return;
    case VALUE_FILE:
    case VALUE_KEYED_FILE: text_words(t, " -r -F"); return;
    }
}

static void option(text_buf *t, const command *c, const opt *o)
{
    text_printf(t, "complete -c hallmark -n '__hallmark_at %s' -l %s", c->name, o->name + strspn(o->name, "-"));
    if (o->letter) text_printf(t, " -s %s", o->letter + 1);
    value(t, o);
    text_words(t, " -d ");
    quoted(t, o->help);
    text_words(t, "\n");
}

static void commands(text_buf *t, const char *when, const command *const *table, int n)
{
    for (int i = 0; i < n; i++) {
        text_printf(t, "complete -c hallmark -n %s -f -a %s -d ", when, table[i]->name);
        quoted(t, table[i]->summary);
        text_words(t, "\n");
    }
}

void complete_fish(text_buf *t, const command *const *table, int n)
{
    text_words(t, "# Completion for fish, made by 'hallmark completion fish' from the program's table of commands.\n"
                  "function __hallmark_first\n    test (count (commandline -opc)) -eq 1\nend\n"
                  "function __hallmark_at\n    set -l words (commandline -opc)\n"
                  "    test (count $words) -ge 2; and test \"$words[2]\" = $argv[1]\nend\n");
    commands(t, "__hallmark_first", table, n);
    commands(t, "'__hallmark_at help'", table, n);
    text_words(t, "complete -c hallmark -n __hallmark_first -f -a help -d 'what a command does'\n"
                  "complete -c hallmark -n __hallmark_first -s V -l version -d 'print the version'\n"
                  "complete -c hallmark -s h -l help -d 'print what there is'\n");
    for (int i = 0; i < n; i++) {
        for (int k = 0; k < table[i]->n_opts; k++) option(t, table[i], &table[i]->opts[k]);
        if (!table[i]->words) continue;
        text_printf(t, "complete -c hallmark -n '__hallmark_at %s'", table[i]->name);
        offered(t, table[i]->words);
        text_words(t, "\n");
    }
}
