// command_table: which commands there are, and what the program says of itself as a whole.
#include "cli.h"
#include <string.h>

const command *const command_table[] = {
    &cmd_convert, &cmd_quantize, &cmd_verify, &cmd_run, &cmd_bench, &cmd_inspect, &cmd_release, &cmd_check, &cmd_derive,
    &cmd_imatrix, &cmd_lab, &cmd_completion, &cmd_manual,
};
const int n_commands = N_ROWS(command_table);

const char program_about[] =
    "Hallmark turns a Hugging Face checkpoint into GGUF files and proves each one before it is published.";

const char exit_statuses[] =
    "Exit status: 0 done or passed; 1 it ran and the verdict is no; 2 the command line is wrong;\n"
    "3 an input file is unusable; 4 the system failed (disk, memory, device);\n"
    "129 ended by SIGHUP; 130 by SIGINT; 141 by SIGPIPE; 143 by SIGTERM.\n";

const command *command_find(const char *name)
{
    for (int i = 0; i < n_commands; i++)
        if (strcmp(command_table[i]->name, name) == 0) return command_table[i];
    return NULL;
}
