#define FSD_LOOPS fsd_cpu_loops_plain
#define FSD_LOOPS_NAME "plain C"
#include "kernels/cpu/loops_all.h"
