// key_tool KIND PRIVATE PUBLIC [PASSWORD]: writes a new key pair as PEM files ("P-256", "P-384", "P-521", "Ed25519",
// ...). For the end-to-end scripts.
#include "tests/keys.h"
#include <stdio.h>
#include <sys/stat.h>

int main(int argc, char **argv)
{
    if (argc < 4) { fprintf(stderr, "usage: key_tool KIND PRIVATE PUBLIC [PASSWORD]\n"); return 2; }
    EVP_PKEY *k = key_new(argv[1]);
    umask(077);
    const bool ok = k && key_write_private(k, argv[2], argc > 4 ? argv[4] : NULL) && key_write_public(k, argv[3]);
    EVP_PKEY_free(k);
    if (!ok) fprintf(stderr, "key_tool: cannot write a pair of %s\n", argv[1]);
    return !ok;
}
