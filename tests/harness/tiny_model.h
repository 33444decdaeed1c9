/* tiny_model.h: miniature models whose weights are made of a counter hash, so that none are committed.
 *
 * tests/golden/models/<kind>/ holds their configurations and tensor lists; tests/oracle/models.py makes
 * the same weights for the oracle. */
#ifndef FSD_TESTS_TINY_MODEL_H
#define FSD_TESTS_TINY_MODEL_H

#include "engine/base/half.h"

/* A diffusers folder of this kind ("sd15-layers", "odd"), weights stored as `dtype`; removed at exit. The
 * program ends with a sentence if it cannot be made. */
const char *check_tiny_model(const char *kind, fsd_dtype dtype);

#endif
