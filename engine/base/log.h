/* log.h: log.txt, a line an event, for the person who wonders what happened.
 *
 *     2026-11-25 06:40:12 made models/tiny-emoji/out/red apple.png in 0.6 s
 *
 * The file is capped: past 1 MiB the older half is dropped (written anew, renamed). Lines are whole
 * even from several threads; control characters in them become spaces. Before fsd_log_open, lines
 * go to stderr. */
#ifndef FSD_BASE_LOG_H
#define FSD_BASE_LOG_H

#include "engine/base/status.h"

FSD_MUST_CHECK fsd_status fsd_log_open(const char *path, fsd_error *err);
void fsd_log(const char *fmt, ...) FSD_PRINTF(1, 2);
void fsd_log_close(void);

#endif
