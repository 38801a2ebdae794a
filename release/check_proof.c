#include "check_proof.h"
#include "../formats/text.h"
#include <stdlib.h>
#include <string.h>

static void names_free(check_names *l)
{
    for (int i = 0; i < l->n; i++) free(l->v[i]);
    free(l->v);
}

void check_proof_free(check_proof *p)
{
    names_free(&p->published);
    names_free(&p->others);
    names_free(&p->written);
    names_free(&p->kept);
    names_free(&p->left_out);
    free(p->v);
    *p = (check_proof){ 0 };
}

bool check_names_add(check_names *l, const char *name)
{
    char **grown = realloc(l->v, ((size_t)l->n + 1) * sizeof *grown);
    if (grown) l->v = grown;
    if (!grown || !(grown[l->n] = strdup(name))) return false;
    l->n++;
    return true;
}

check_file_proof *check_proof_add(check_proof *p, const char *name)
{
    check_file_proof *grown = realloc(p->v, ((size_t)p->n_artifacts + 1) * sizeof *grown);
    if (!grown) return NULL;
    p->v = grown;
    check_file_proof *x = &grown[p->n_artifacts++];
    *x = (check_file_proof){ .lacks = NULL };
    text_fit(x->name, sizeof x->name, name, strlen(name), 0);
    return x;
}
