// complete: bash. Words are compared by the script itself, because compgen -W would expand them once more. An empty
// COMPREPLY means readline's own file names, which knows quotes and '~'; _hallmark_nothing takes those back.
#include "complete.h"
#include "option_value.h"

static const char FUNCTIONS[] =
    "_hallmark_offer()\n"
    "{\n"
    "    local word\n"
    "    for word in \"${@:2}\"; do [[ $1$word == \"$cur\"* ]] && COMPREPLY+=(\"$1$word\"); done\n"
    "    _hallmark_nothing\n"
    "}\n"
    "_hallmark_nothing() { compopt +o default 2> /dev/null || :; }\n"
    "_hallmark_folders() { compopt -o dirnames +o default 2> /dev/null || :; }\n"
    "\n"
    "_hallmark()\n"
    "{\n"
    "    local cur=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} list=\n"
    "    local -a options=() arguments=()\n"
    "    COMPREPLY=()\n"
    "    # --option=value comes as three words\n"
    "    if [[ $cur == = ]]; then cur=\n"
    "    elif [[ $before == = ]] && ((COMP_CWORD > 2)); then before=${COMP_WORDS[COMP_CWORD-2]}\n"
    "    fi\n"
    "    [[ $cur == *,* ]] && list=${cur%\"${cur##*,}\"}\n";

static void words(text_buf *t, const char *const *list)
{
    for (; *list; list++) {
        text_words(t, " ");
        text_puts(t, TEXT_SHELL, *list);
    }
}

static void value(text_buf *t, const opt *o)
{
    switch (option_value(o)) {
    case VALUE_NONE:
    case VALUE_TEXT:   text_words(t, "_hallmark_nothing"); return;
    case VALUE_CHOICE: text_words(t, "_hallmark_offer ''"); words(t, o->choices); return;
    case VALUE_TYPE:   text_words(t, "_hallmark_offer '' "); type_names(t, " "); return;
    case VALUE_TYPES:  text_words(t, "_hallmark_offer \"$list\" "); type_names(t, " "); return;
    case VALUE_FOLDER: text_words(t, "_hallmark_folders"); return;
    case VALUE_FILE:
    case VALUE_KEYED_FILE: text_words(t, ":"); return;
    }
}

static void names(text_buf *t, const opt *o, const char *between)
{
    text_puts(t, TEXT_SHELL, o->name);
    if (!o->letter) return;
    text_words(t, between);
    text_puts(t, TEXT_SHELL, o->letter);
}

static void command_case(text_buf *t, const command *c)
{
    text_words(t, "    ");
    text_puts(t, TEXT_SHELL, c->name);
    text_words(t, ")\n        options=(");
    for (int i = 0; i < c->n_opts; i++) {
        names(t, &c->opts[i], " ");
        text_words(t, " ");
    }
    text_words(t, "--help -h)\n");
    if (c->words) {
        text_words(t, "        arguments=(");
        words(t, c->words);
        text_words(t, " )\n");
    }
    text_words(t, "        case $before in\n");
    for (int i = 0; i < c->n_opts; i++) {
        if (c->opts[i].kind == OPT_FLAG) continue;
        text_words(t, "        ");
        names(t, &c->opts[i], " | ");
        text_words(t, ") ");
        value(t, &c->opts[i]);
        text_words(t, "; return ;;\n");
    }
    text_words(t, "        esac\n        ;;\n");
}

void complete_bash(text_buf *t, const command *const *table, int n)
{
    text_words(t, "# Completion for bash, made by 'hallmark completion bash' from the program's table of commands.\n");
    text_words(t, FUNCTIONS);
    text_words(t, "    local -a commands=(");
    for (int i = 0; i < n; i++) {
        text_words(t, " ");
        text_puts(t, TEXT_SHELL, table[i]->name);
    }
    text_words(t, " )\n    if ((COMP_CWORD == 1)); then\n"
                  "        _hallmark_offer '' \"${commands[@]}\" help --help -h --version -V\n        return\n    fi\n"
                  "    case ${COMP_WORDS[1]} in\n    help) arguments=(\"${commands[@]}\") ;;\n");
    for (int i = 0; i < n; i++) command_case(t, table[i]);
    text_words(t, "    esac\n"
                  "    if [[ $cur == -* ]]; then _hallmark_offer '' \"${options[@]}\"\n"
                  "    elif ((${#arguments[@]} > 0)); then _hallmark_offer '' \"${arguments[@]}\"\n    fi\n}\n"
                  "complete -o default -F _hallmark hallmark\n");
}
