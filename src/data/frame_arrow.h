/* frame_arrow.h - a frame as a table of the Arrow C data interface (structs: quern.h).
 *
 *     qn_arrow_view *view = NULL;
 *     QN_TRY(qn_arrow_view_new(frame, &view, err));
 *     QN_TRY(qn_predict_arrow(model, &view->schema, &view->array, NULL, scores, err));
 *
 * Types: bool, int64, double, dictionary of large_utf8 by int32, large_utf8, timestamp in
 * microseconds UTC. Values are lent by the frame, which must live as long; what Arrow lays out
 * otherwise (bits of bools, texts of dictionaries) is copied into the view. */
#ifndef QN_DATA_FRAME_ARROW_H
#define QN_DATA_FRAME_ARROW_H

#include "data/frame.h"

typedef struct qn_arrow_view {
    struct ArrowSchema schema;
    struct ArrowArray array;
    struct qn_arena *arena; /* owned: everything the two point to, but for the frame's arrays */
} qn_arrow_view;

qn_status qn_arrow_view_new(const qn_frame *frame, qn_arrow_view **ret_view, qn_error *err)
    QN_MUST_USE;
/* Releasing schema or array only marks them as released; this frees. */
void qn_arrow_view_free(qn_arrow_view **view);

#endif
