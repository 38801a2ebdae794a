#include "foreign_options.h"
#include <stddef.h>
#include <string.h>

#define GREEDY "generation is greedy: the best id, and no sampling"
#define NAMED  "the file is named without an option"

static const foreign_option OPTIONS[] = {
    { "--outtype", "--type", NULL }, { "--outfile", "--output", NULL }, { "--max-tokens", "--tokens", NULL },
    { "--max-new-tokens", "--tokens", NULL }, { "--n-predict", "--tokens", NULL }, { "--predict", "--tokens", NULL },
    { "--temp", NULL, GREEDY }, { "--temperature", NULL, GREEDY }, { "--top-k", NULL, GREEDY },
    { "--top-p", NULL, GREEDY }, { "--min-p", NULL, GREEDY }, { "--seed", NULL, GREEDY },
    { "--model", NULL, NAMED }, { "-m", NULL, NAMED },
};

const foreign_option *foreign_option_find(const char *name)
{
    const size_t n = strcspn(name, "=");
    for (size_t i = 0; i < sizeof OPTIONS / sizeof *OPTIONS; i++)
        if (strlen(OPTIONS[i].name) == n && memcmp(OPTIONS[i].name, name, n) == 0) return &OPTIONS[i];
    return NULL;
}
