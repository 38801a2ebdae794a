#include "version.h"
#include "hallmark_commit.h"

const char *hallmark_version(void) { return HALLMARK_VERSION; }
const char *hallmark_commit(void)  { return HALLMARK_COMMIT; }
