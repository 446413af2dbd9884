/* display.h - the progress display on standard error: on a terminal one live line per stage (bar, elapsed,
 * remaining, current best), elsewhere one plain line when a stage begins to take time and when it ends. */
#ifndef QN_CLI_DISPLAY_H
#define QN_CLI_DISPLAY_H

#include "base/job.h"

typedef struct qn_display {
    bool is_terminal, is_quiet, has_line;
    char stage[64];
    double stage_start, last_draw, last_done, last_total;
    char note[96];
} qn_display;

void qn__display_init(qn_display *display, bool quiet);
/* For qn_job.on_progress; `user` is the display. A new stage name ends the one before. */
void qn__display_progress(void *user, const qn_progress *progress);
/* Ends the last stage and clears the live line. */
void qn__display_done(qn_display *display);

#endif
