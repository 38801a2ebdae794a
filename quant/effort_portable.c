// effort_portable: the search of effort.h, 4 rows at once; see effort_rows.inc.
#define LANES 4
#define LEVEL(name) name##_portable
#include "effort_rows.inc"
#include "moments.inc"
