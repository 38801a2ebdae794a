#include "config_plan.h"

#include "../arch/keys.h"
#include "convert.h"

#include <stdlib.h>

bool config_plan_hparams(const hf_config *c, gguf_plan *p, err *e)
{
    hparam_list l = { .arch = c->arch->family->arch };
    c->arch->family->hparams(c, &l);
    return hparams_write(&l, p, e);
}

int64_t config_mtp_of(const gguf *art)
{
    err        ignored = { 0 };
    arch_facts f;
    return arch_facts_read(&f, art, &ignored) ? f.n_layer - f.first_mtp : 0;
}

bool convert_config_agrees(const gguf *g, const cJSON *config, err *e)
{
    hf_config *c = malloc(sizeof *c);
    if (!c) return err_nomem(e, "a config", sizeof *c);
    bool ok = hf_config_read(c, config, "the fixture's config", e);
    if (ok) {
        hparam_list l = { .arch = c->arch->family->arch };
        // A file may go without the block that guesses, and have one that the config is silent about: nobody runs it.
        const int64_t n_mtp = c->arch->family->mtp ? config_mtp_of(g) : 0;
        c->n_mtp = n_mtp == 1 ? 1 : 0;
        c->arch->family->hparams(c, &l);
        ok = hparams_agree(&l, g, e);
    }
    free(c);
    return ok;
}

gguf_plan *convert_plan_of_config(const cJSON *config, const char *where, err *e)
{
    hf_config *c = malloc(sizeof *c);
    gguf_plan *p = NULL;
    if (!c) {
        err_nomem(e, "a config", sizeof *c);
        return NULL;
    }
    if (hf_config_read(c, config, where, e) && (p = gguf_plan_new(32, e))
        && !(gguf_plan_str(p, "general.architecture", c->arch->family->arch, e) && config_plan_hparams(c, p, e))) {
        gguf_plan_free(p);
        p = NULL;
    }
    free(c);
    return p;
}
