#include "keyed_hash.h"

#include <string.h>
#include <sys/random.h>

bool hash_key_draw(hash_key *k, err *e)
{
    uint8_t bytes[16];
    if (getentropy(bytes, sizeof bytes) != 0) return err_errno(e, false, "the system's random numbers", "read");
    memcpy(&k->point, bytes, 8);
    memcpy(&k->mask, bytes + 8, 8);
    k->point = ((uint64_t)1 << 60) + k->point % (((uint64_t)1 << 60) - 1);
    return true;
}
