/* Apart from the frame, so that what only predicts needs no cryptographic hash. */
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "data/frame.h"

static qn_status digest_column(const qn_column *column, qn_digest *digest, qn_error *err) {
    qn_cleanup(qn_buf_done) qn_buf block = {0};
    qn_buf_put_u64(&block, strlen(column->name));
    qn_buf_put_text(&block, column->name);
    qn_buf_put_u32(&block, (uint32_t)column->type);
    for (int64_t i = 0; i < column->n_rows; i++) {
        const bool valid = qn_column_is_valid(column, i);
        qn_buf_put_char(&block, (char)valid);
        if (valid && (column->type == QN_TYPE_CATEGORY || column->type == QN_TYPE_TEXT)) {
            size_t n = 0;
            const char *text = qn_column_text(column, i, &n);
            qn_buf_put_u64(&block, n);
            qn_buf_put(&block, text, n);
        } else if (valid && column->type == QN_TYPE_F64) {
            qn_buf_put_f64(&block, column->f64[i] == 0 ? 0 : column->f64[i]);
        } else if (valid) {
            qn_buf_put_u64(&block, column->type == QN_TYPE_BOOL ? column->b[i]
                                                                : (uint64_t)column->i64[i]);
        }
        if (block.len > 1 << 16) {
            QN_TRY(qn_buf_status(&block, err));
            qn_digest_update(digest, block.data, block.len);
            qn_buf_clear(&block);
        }
    }
    QN_TRY(qn_buf_status(&block, err));
    qn_digest_update(digest, block.data, block.len);
    return QN_OK;
}

qn_status qn_frame_digest(const qn_frame *frame, char ret_text[QN_DIGEST_TEXT], qn_error *err) {
    qn_digest digest;
    qn_digest_init(&digest);
    const int64_t shape[2] = {frame->n_rows, frame->n_columns};
    qn_digest_update(&digest, shape, sizeof shape);
    for (int32_t j = 0; j < frame->n_columns; j++)
        QN_TRY(digest_column(&frame->columns[j], &digest, err));
    qn_digest_final(&digest, ret_text);
    return QN_OK;
}
