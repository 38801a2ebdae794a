#include "check_proof.h"
#include "../formats/text.h"
#include <stdlib.h>
#include <string.h>

void check_proof_free(check_proof *p)
{
    dir_list_free(&p->published);
    dir_list_free(&p->others);
    dir_list_free(&p->written);
    dir_list_free(&p->kept);
    dir_list_free(&p->left_out);
    dir_list_free(&p->own);
    dir_list_free(&p->unnamed);
    free(p->v);
    *p = (check_proof){ 0 };
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
