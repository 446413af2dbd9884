/* display.h - the progress display on standard error: on a terminal one live line per stage (bar,
 * elapsed, remaining, current best), elsewhere one plain line when a stage takes long and one when
 * it ends.
 *
 * On a terminal a thread of its own redraws the line, so that time passes also in stages that tell
 * nothing. */
#ifndef QN_CLI_DISPLAY_H
#define QN_CLI_DISPLAY_H

#include <pthread.h>

#include "base/job.h"

typedef struct qn_display {
    bool is_terminal, is_quiet, has_line;
    char stage[64];
    double stage_start, last_draw, last_done, last_total;
    char note[192];
    pthread_t ticker;
    bool has_ticker, is_done;
    pthread_mutex_t lock; /* guards all of the above */
    pthread_cond_t wake;
} qn_display;

/* The display must stay where it is until it is done. */
void qn__display_init(qn_display *display, bool quiet);
/* For qn_job.on_progress; `user` is the display. A new stage name ends the one before. */
void qn__display_progress(void *user, const qn_progress *progress);
/* Ends the current stage: its line is final, and other text may follow. */
void qn__display_end_stage(qn_display *display);
/* Ends the last stage and clears the live line; `completed` false drops the line of the stage that
 * failed. */
void qn__display_done(qn_display *display, bool completed);

#endif
