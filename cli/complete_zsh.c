// complete: zsh, by _arguments. A text inside a specification of it has its brackets and colons escaped; each
// specification is one word in single quotes.
#include "complete.h"
#include "option_value.h"
#include <ctype.h>
#include <string.h>

// Inside of single quotes, in a description.
static void described(text_buf *t, const char *s)
{
    for (; *s; s++) {
        if (*s == '\'') {
            text_words(t, "'\\''");
            continue;
        }
        if (strchr("[]:\\", *s)) text_words(t, "\\");
        text_raw(t, s, 1);
    }
}

// "(a b c)", for an action, which _arguments evaluates: all but letters, digits and the like is escaped.
static void words(text_buf *t, const char *const *list)
{
    text_words(t, "(");
    for (; *list; list++) {
        for (const char *s = *list; *s; s++) {
            if (!isalnum((unsigned char)*s) && !strchr("_-", *s)) text_words(t, "\\");
            if (*s == '\'') text_words(t, "'\\''");
            else            text_raw(t, s, 1);
        }
        if (list[1]) text_words(t, " ");
    }
    text_words(t, ")");
}

static void action(text_buf *t, const opt *o)
{
    switch (option_value(o)) {
    case VALUE_NONE:
    case VALUE_TEXT:   text_words(t, " "); return;
    case VALUE_CHOICE: words(t, o->choices); return;
    case VALUE_TYPE:   text_words(t, "("); type_names(t, " "); text_words(t, ")"); return;
    case VALUE_TYPES:  text_words(t, "_values -s , type "); type_names(t, " "); return;
    case VALUE_FOLDER: text_words(t, "_files -/"); return;
    case VALUE_FILE:   text_words(t, "_files"); return;
    case VALUE_KEYED_FILE: text_words(t, "{compset -P \"*=\"; _files}"); return;
    }
}

// '(--output -o)'{--output=,-o+}'[what it is]:DIR:_files -/'
static void option(text_buf *t, const opt *o)
{
    const bool  takes = o->kind != OPT_FLAG, repeats = o->kind == OPT_PATHS;
    const char *equals = takes ? "=" : "", *follows = takes ? "+" : "";
    text_words(t, " \\\n            '");
    if (repeats) text_words(t, "*");
    else if (o->letter) text_printf(t, "(%s %s)", o->name, o->letter);
    if (o->letter) text_printf(t, "'{%s%s,%s%s}'", o->name, equals, o->letter, follows);
    else           text_printf(t, "%s%s", o->name, equals);
    text_words(t, "[");
    described(t, o->help);
    text_words(t, "]");
    if (takes) {
        text_words(t, ":");
        described(t, o->arg);
        text_words(t, ":");
        action(t, o);
    }
    text_words(t, "'");
}

static void command_case(text_buf *t, const command *c)
{
    text_printf(t, "        %s)\n            _arguments \\\n", c->name);
    text_words(t, "            '(- *)'{-h,--help}'[print this text]'");
    for (int i = 0; i < c->n_opts; i++) option(t, &c->opts[i]);
    text_words(t, " \\\n            '*:argument:");
    if (c->words) words(t, c->words);
    else          text_words(t, "_files");
    text_words(t, "'\n            ;;\n");
}

void complete_zsh(text_buf *t, const command *const *table, int n)
{
    text_words(t, "#compdef hallmark\n"
                  "# Completion for zsh, made by 'hallmark completion zsh' from the program's table of commands.\n"
                  "_hallmark()\n{\n    local curcontext=\"$curcontext\" state line\n    typeset -A opt_args\n"
                  "    local -a commands\n    commands=(\n");
    for (int i = 0; i < n; i++) {
        text_printf(t, "        '%s:", table[i]->name);
        described(t, table[i]->summary);
        text_words(t, "'\n");
    }
    text_words(t, "    )\n    _arguments -C \\\n"
                  "        '(- *)'{-h,--help}'[print the commands]' \\\n"
                  "        '(- *)'{-V,--version}'[print the version]' \\\n"
                  "        '1:command:->command' \\\n        '*::argument:->argument'\n"
                  "    case $state in\n"
                  "    command) _describe -t commands command commands ;;\n"
                  "    argument)\n        curcontext=\"${curcontext%:*:*}:hallmark-$words[1]:\"\n"
                  "        case $words[1] in\n"
                  "        help) _describe -t commands command commands ;;\n");
    for (int i = 0; i < n; i++) command_case(t, table[i]);
    text_words(t, "        esac\n        ;;\n    esac\n}\n"
                  "# Loaded by compinit as a function of this name, or read by 'source'.\n"
                  "if [[ ${funcstack[1]-} == _hallmark ]]; then _hallmark \"$@\"\n"
                  "else compdef _hallmark hallmark\nfi\n");
}
