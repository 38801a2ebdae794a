// release_describe: see release_describe.h.
#include "release_describe.h"
#include "../arch/hparams.h"
#include "../formats/claims.h"
#include <stdio.h>
#include <string.h>

bool release_describe_unverified(verify_report *v, const char *path, const artifact_ref *a, err *e)
{
    hparams h;
    gguf   *g = gguf_open(path, e);
    if (!g) return false;
    bool ok = hparams_read(&h, g, e);
    if (ok) {
        snprintf(v->artifact, sizeof v->artifact, "%s", strrchr(path, '/') + 1);
        snprintf(v->type, sizeof v->type, "%s", a->type);
        snprintf(v->arith, sizeof v->arith, "%s", a->arith);
        snprintf(v->kv, sizeof v->kv, "%s", a->arith);
        snprintf(v->kv_required, sizeof v->kv_required, "%s", a->arith);
        snprintf(v->device, sizeof v->device, "none");
        v->attention_scale = h.attention_scale;
        v->file_bytes = gguf_file_bytes(g);
        hparams_free(&h);
    }
    gguf_close(g);
    return ok;
}

bool release_describe_not_derived(verify_report *v, const char *path, const char *label, const verify_derivation *d,
                                  err *e)
{
    char     key[96];
    gguf_str arch;
    err      absent = { 0 };
    gguf    *g = gguf_open(path, e);
    if (!g) return false;
    snprintf(v->artifact, sizeof v->artifact, "%s", strrchr(path, '/') + 1);
    snprintf(v->type, sizeof v->type, "%s", label);
    snprintf(v->arith, sizeof v->arith, "%s", claims_required_kv(label));
    strcpy(v->kv, v->arith);
    strcpy(v->kv_required, v->arith);
    strcpy(v->device, "none");
    if (gguf_get_str(g, "general.architecture", &arch, &absent)) {
        snprintf(key, sizeof key, "%.*s.attention.scale", arch.n < 64 ? (int)arch.n : 64, arch.s);
        gguf_get_f32_or(g, key, 0, &v->attention_scale, &absent);
    }
    v->file_bytes = gguf_file_bytes(g);
    v->derivation = *d;
    gguf_close(g);
    return true;
}
