/* Bodies that are not JSON as a whole: CSV and JSON lines. */
#include <string.h>

#include "serve/serve_int.h"

/* --- CSV (RFC 4180; comma) -------------------------------------------------------------------- */

typedef struct csv {
    const char *at, *end;
    qn_buf cell; /* owned; a quoted cell with doubled quotes */
} csv;

/* The next cell; *ret_last tells that it ends its row. False: a quote is not closed. */
static bool next_cell(csv *c, qn_scan_string *ret_cell, bool *ret_last) {
    const char *from = c->at, *p = from;
    if (p < c->end && *p == '"') {
        qn_buf_clear(&c->cell);
        for (from = ++p;; p++) {
            if (p == c->end)
                return false;
            if (*p != '"')
                continue;
            qn_buf_put(&c->cell, from, (size_t)(p - from));
            if (p + 1 == c->end || p[1] != '"')
                break;
            from = ++p; /* the second of a pair stands for itself */
        }
        *ret_cell = (qn_scan_string){qn_buf_text(&c->cell), c->cell.len};
        p++;
        if (p < c->end && *p != ',' && *p != '\n' && *p != '\r')
            return false;
    } else {
        while (p < c->end && *p != ',' && *p != '\n' && *p != '\r')
            p++;
        *ret_cell = (qn_scan_string){from, (size_t)(p - from)};
    }
    *ret_last = p == c->end || *p != ',';
    if (p < c->end && *p == '\r')
        p++;
    if (p < c->end && (*p == ',' || *p == '\n'))
        p++;
    c->at = p;
    return true;
}

static qn_status unclosed(int64_t line, qn_error *err) {
    return qn_error_set_at(err, QN_ERR_FORMAT, NULL, line, NULL,
                           "a quote is not closed, or text follows one that is");
}

static qn_status find_header(csv c, const qn_rows_reader *reader, qn__csv_header *header,
                             qn_error *err) {
    bool last = *header != QN__HEADER_FIND, found = false;
    c.cell = (qn_buf){0};
    while (!last) {
        qn_scan_string cell;
        if (!next_cell(&c, &cell, &last)) {
            qn_buf_done(&c.cell);
            return unclosed(1, err);
        }
        found |= qn_rows_reader_find(reader, cell.bytes, cell.n) >= 0;
    }
    qn_buf_done(&c.cell);
    if (*header == QN__HEADER_FIND)
        *header = found ? QN__HEADER_PRESENT : QN__HEADER_ABSENT;
    return QN_OK;
}

static qn_status read_header(csv *c, qn_rows_reader *reader, qn_error *err) {
    bool last = false;
    QN_TRY(qn_rows_columns_begin(reader, err));
    while (!last) {
        qn_scan_string cell;
        if (!next_cell(c, &cell, &last))
            return unclosed(1, err);
        QN_TRY(qn_rows_columns_add(reader, cell.bytes, cell.n, err));
    }
    return qn_rows_columns_end(reader, err);
}

static qn_status read_row(csv *c, qn__desk *desk, qn_error *err) {
    int64_t i_row = qn_rows_count(desk->rows);
    int32_t n_columns = qn_rows_columns_count(desk->reader), i = 0;
    bool last = false;
    QN_TRY(qn_rows_add(desk->rows, 1, err));
    for (; !last && i <= n_columns; i++) {
        qn_scan_string cell;
        if (!next_cell(c, &cell, &last))
            return unclosed(i_row + 1, err);
        if (i == n_columns)
            continue;
        int32_t i_input = qn_rows_columns_input(desk->reader, i);
        if (i_input >= 0)
            QN_TRY(qn_rows_set_text(desk->rows, i_row, i_input, cell.bytes, cell.n, err));
    }
    if (i != n_columns)
        return qn_error_set_at(err, QN_ERR_DATA, NULL, i_row + 1, NULL,
                               "it has %s cells than the %d columns",
                               i < n_columns ? "fewer" : "more", n_columns);
    return QN_OK;
}

static void skip_empty_lines(csv *c) {
    while (c->at < c->end && (*c->at == '\n' || *c->at == '\r'))
        c->at++;
}

qn_status qn__csv_read(qn__desk *desk, const char *bytes, size_t n, qn__csv_header *header,
                       qn_error *err) {
    if (n >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0) {
        bytes += 3;
        n -= 3;
    }
    csv c = {.at = bytes, .end = bytes + n};
    QN_FAIL_IF(n == 0, err, QN_ERR_DATA, "the body is empty");
    QN_TRY(find_header(c, desk->reader, header, err));
    qn_status status = *header == QN__HEADER_PRESENT ? read_header(&c, desk->reader, err)
                                                     : qn_rows_columns_all(desk->reader, err);
    /* With a single column an empty line is a missing value; else it is nothing. */
    bool single = qn_rows_columns_count(desk->reader) == 1;
    while (status == QN_OK) {
        if (!single)
            skip_empty_lines(&c);
        if (c.at >= c.end)
            break;
        status = read_row(&c, desk, err);
    }
    qn_buf_done(&c.cell);
    return status;
}

/* --- JSON lines ------------------------------------------------------------------------------- */

qn_status qn__lines_read(qn__desk *desk, const char *bytes, size_t n, qn_error *err) {
    qn_scan *scan = &desk->scan;
    qn_scan_again(scan, bytes, n);
    QN_TRY(qn_rows_columns_all(desk->reader, err));
    /* Values are told apart by their own brackets; what stands between them is white space. */
    while (!scan->problem && qn_scan_peek(scan))
        QN_TRY(qn_rows_read_row(desk->reader, scan, err));
    QN_FAIL_IF(!scan->problem && qn_rows_count(desk->rows) == 0, err, QN_ERR_DATA,
               "the body is empty");
    if (!qn_scan_finish(scan))
        return qn_scan_error(scan, "the body of JSON lines", err);
    return QN_OK;
}
