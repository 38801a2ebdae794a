// hallmark completion: what a shell needs to complete the program's command line.
#include "answer.h"
#include "text_out.h"
#include "complete.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const shells[] = { "bash", "zsh", "fish", NULL };
static void (*const writers[])(text_buf *t, const command *const *table, int n) = {
    complete_bash, complete_zsh, complete_fish,
};

typedef struct { bool json, quiet; } completion_options;

static const opt options[] = { OPT_ANSWER(completion_options) };

static bool write_script(const char *shell, err *e)
{
    const int n = N_ROWS(writers);
    text_buf t = { 0 };
    int i = 0;
    while (i < n && strcmp(shells[i], shell) != 0) i++;
    if (i == n) {
        const char *near = nearest_name(shell, shells, n);
        if (!near) return err_set(e, ERR_USAGE, "found '%s', expected bash, zsh or fish", shell);
        return err_set(e, ERR_USAGE, "found '%s', expected bash, zsh or fish; did you mean '%s'?", shell, near);
    }
    writers[i](&t, command_table, n_commands);
    char *text = text_take(&t);
    if (!text) return err_nomem(e, "the script", 0);
    answer_text("shell", shell, text);
    free(text);
    return true;
}

static int run(const void *opts, const text_list *args)
{
    err e = { 0 };
    return write_script(args->v[0], &e) ? 0 : cli_fail(&cmd_completion, &e);
}

const command cmd_completion = {
    .name = "completion",
    .summary = "print a script that completes this command line in bash, zsh or fish",
    .synopsis = "bash|zsh|fish",
    .about = "Prints what the shell has to read, made from the program's own table of commands and options. An\n"
             "installed hallmark has these scripts where the shells look for them; this is for a program that was not\n"
             "installed.\n",
    .examples = "  hallmark completion bash > ~/.local/share/bash-completion/completions/hallmark\n"
                "  hallmark completion zsh > ~/.zsh/_hallmark      where fpath has ~/.zsh\n"
                "  hallmark completion fish > ~/.config/fish/completions/hallmark.fish\n",
    .opts = options, .n_opts = N_ROWS(options), .options_bytes = sizeof(completion_options),
    .min_args = 1, .max_args = 1, .words = shells, .run = run,
};
