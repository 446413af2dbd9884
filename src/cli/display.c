#include "cli/display.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "base/text.h"

static const double REDRAW_S = 0.08, PLAIN_S = 10;
enum { TICK_NS = 100000000 };

static int terminal_width(void) {
    struct winsize size;
    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col >= 40 ? size.ws_col : 80;
}

/* A bar of `cells` characters with eighths. */
static void bar_text(double share, int cells, char *text, size_t size) {
    static const char *const eighths[] = {" ", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
    size_t n = 0;
    int full = (int)(share * cells * 8);
    for (int i = 0; i < cells && n + 4 < size; i++) {
        int here = full - 8 * i;
        const char *cell = here >= 8 ? "█" : here > 0 ? eighths[here] : " ";
        size_t len = strlen(cell);
        memcpy(text + n, cell, len);
        n += len;
    }
    text[n] = '\0';
}

/* Cuts a line to the width of the terminal, counting characters. */
static void cut_to_width(char *line) {
    int columns = 0, width = terminal_width() - 2; /* room for the ^C that a terminal echoes */
    size_t end = 0;
    while (line[end] && columns < width - 1) {
        end++;
        while (((unsigned char)line[end] & 0xC0) == 0x80)
            end++;
        columns++;
    }
    line[end] = '\0';
}

static void draw(qn_display *display, double now) {
    char elapsed[QN_DOUBLE_TEXT], left[QN_DOUBLE_TEXT] = "", bar[128] = "", line[512];
    double spent = now - display->stage_start, share = 0;
    qn_text_duration(spent, elapsed);
    if (display->last_total > 0) {
        share = fmin(fmax(display->last_done / display->last_total, 0), 1);
        bar_text(share, 20, bar, sizeof bar);
        if (share > 0.02 && share < 1 && spent > 0.5)
            qn_text_duration(spent / share * (1 - share), left);
    }
    if (bar[0])
        snprintf(line, sizeof line, "%-16s ▕%s▏ %3.0f%%  %s%s%s  %s", display->stage, bar,
                 share * 100, elapsed, left[0] ? ", about " : "", left[0] ? left : "",
                 display->note);
    else
        snprintf(line, sizeof line, "%-16s %s  %s", display->stage, elapsed, display->note);
    cut_to_width(line);
    fprintf(stderr, "\r%s\033[K", line);
    fflush(stderr);
    display->has_line = true;
    display->last_draw = now;
}

static void end_stage(qn_display *display) {
    if (!display->stage[0])
        return;
    char elapsed[QN_DOUBLE_TEXT];
    qn_text_duration(qn_now_s() - display->stage_start, elapsed);
    if (display->has_line)
        fprintf(stderr, "\r\033[K");
    fprintf(stderr, "%-16s %10s%s%s\n", display->stage, elapsed, display->note[0] ? "   " : "",
            display->note);
    display->has_line = false;
    display->stage[0] = '\0';
}

static void begin_stage(qn_display *display, const char *stage, double now) {
    end_stage(display);
    snprintf(display->stage, sizeof display->stage, "%s", stage);
    display->note[0] = '\0';
    display->stage_start = now;
    display->last_done = display->last_total = 0;
    display->last_draw = display->is_terminal ? 0 : now;
}

static void take_progress(qn_display *display, const qn_progress *progress) {
    double now = qn_now_s();
    if (strncmp(display->stage, progress->stage, sizeof display->stage - 1) != 0)
        begin_stage(display, progress->stage, now);
    display->last_done = progress->done;
    display->last_total = progress->total;
    if (progress->note)
        snprintf(display->note, sizeof display->note, "%s", progress->note);
    if (display->is_terminal && now - display->last_draw >= REDRAW_S) {
        draw(display, now);
    } else if (!display->is_terminal && now - display->last_draw >= PLAIN_S) {
        if (progress->total > 0)
            fprintf(stderr, "%s: %.0f%%  %s\n", display->stage,
                    100 * progress->done / progress->total, display->note);
        else if (display->note[0])
            fprintf(stderr, "%s: %s\n", display->stage, display->note);
        display->last_draw = now;
    }
}

void qn__display_progress(void *user, const qn_progress *progress) {
    qn_display *display = user;
    if (display->is_quiet)
        return;
    pthread_mutex_lock(&display->lock);
    take_progress(display, progress);
    pthread_mutex_unlock(&display->lock);
}

void qn__display_end_stage(qn_display *display) {
    pthread_mutex_lock(&display->lock);
    end_stage(display);
    pthread_mutex_unlock(&display->lock);
}

/* --- the ticker ------------------------------------------------------------------------------- */

static void *tick(void *user) {
    qn_display *display = user;
    pthread_mutex_lock(&display->lock);
    while (!display->is_done) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += TICK_NS;
        if (until.tv_nsec >= 1000000000) {
            until.tv_nsec -= 1000000000;
            until.tv_sec++;
        }
        pthread_cond_timedwait(&display->wake, &display->lock, &until);
        double now = qn_now_s();
        if (!display->is_done && display->stage[0] && now - display->last_draw >= REDRAW_S)
            draw(display, now);
    }
    pthread_mutex_unlock(&display->lock);
    return NULL;
}

void qn__display_init(qn_display *display, bool quiet) {
    *display = (qn_display){.is_terminal = isatty(STDERR_FILENO) == 1, .is_quiet = quiet};
    pthread_mutex_init(&display->lock, NULL);
    pthread_cond_init(&display->wake, NULL);
    if (display->is_terminal && !quiet)
        display->has_ticker = pthread_create(&display->ticker, NULL, tick, display) == 0;
}

void qn__display_done(qn_display *display, bool completed) {
    pthread_mutex_lock(&display->lock);
    display->is_done = true;
    pthread_cond_signal(&display->wake);
    pthread_mutex_unlock(&display->lock);
    if (display->has_ticker)
        pthread_join(display->ticker, NULL);
    if (completed)
        end_stage(display);
    else if (display->has_line)
        fprintf(stderr, "\r\033[K");
    pthread_cond_destroy(&display->wake);
    pthread_mutex_destroy(&display->lock);
}
