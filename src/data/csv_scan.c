/* Cuts bytes into records and cells. Sixty-four bytes at a time are turned into a mask of those
 * that matter (delimiter, quote, line end), as simdjson does (Langdale, Lemire 2019); the loop then
 * goes from one set bit to the next. Quoted fields are walked by memchr. */
#include <stdio.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "base/limits.h"
#include "base/mem.h"
#include "data/csv_int.h"

enum { PAD = 64, READ_BYTES = 1 << 20, MOST_BYTES = 8 << 20, MOST_CELLS = 1 << 18 };

typedef struct scanner {
    const char *bytes;
    size_t n, base; /* the mask is of the bytes from base on */
    uint64_t mask;
    char delimiter, quote, line_end;
} scanner;

#ifdef __SSE2__
static inline uint64_t special_mask(const scanner *s, const char *at) {
    const __m128i d = _mm_set1_epi8(s->delimiter), q = _mm_set1_epi8(s->quote),
                  e = _mm_set1_epi8(s->line_end);
    uint64_t mask = 0;
    for (int i = 0; i < 4; i++) {
        const __m128i x = _mm_loadu_si128((const __m128i *)(const void *)(at + 16 * i));
        const __m128i hit = _mm_or_si128(_mm_or_si128(_mm_cmpeq_epi8(x, d), _mm_cmpeq_epi8(x, q)),
                                         _mm_cmpeq_epi8(x, e));
        mask |= (uint64_t)(uint32_t)_mm_movemask_epi8(hit) << (16 * i);
    }
    return mask;
}
#else
static inline uint64_t special_mask(const scanner *s, const char *at) {
    uint64_t mask = 0;
    for (int i = 0; i < 64; i++)
        mask |= (uint64_t)(at[i] == s->delimiter || at[i] == s->quote || at[i] == s->line_end) << i;
    return mask;
}
#endif

/* The bytes are followed by PAD others, whose hits are cut off. */
static inline void seek(scanner *s, size_t pos) {
    s->base = pos;
    s->mask = pos < s->n ? special_mask(s, s->bytes + pos) : 0;
    if (s->n - pos < 64)
        s->mask &= ((uint64_t)1 << (s->n - pos)) - 1;
}

static inline size_t next_special(scanner *s) {
    while (!s->mask) {
        if (s->n - s->base <= 64)
            return s->n;
        seek(s, s->base + 64);
    }
    const size_t pos = s->base + (size_t)__builtin_ctzll(s->mask);
    s->mask &= s->mask - 1;
    return pos;
}

const char *qn__csv_file(const qn__csv *csv, size_t i_file) {
    return csv->files->n > 1 && i_file < csv->files->n ? csv->files->items[i_file] : csv->label;
}

qn_status qn__csv_init(qn__csv *csv, const qn__names *files, const char *label,
                       const qn__dialect *dialect, int32_t n_columns, qn_error *err) {
    *csv = (qn__csv){.files = files,
                     .label = label,
                     .dialect = dialect,
                     .n_columns = n_columns,
                     .begins = true,
                     .i_block = 1};
    int32_t rows = MOST_CELLS / (n_columns > 0 ? n_columns : 1);
    csv->cap_rows = rows < 64 ? 64 : rows > 16384 ? 16384 : rows;
    for (int i = 0; i < 2; i++) {
        csv->blocks[i].cells =
            qn_malloc_aligned((size_t)n_columns * (size_t)csv->cap_rows, sizeof(qn__cell));
        if (!csv->blocks[i].cells) {
            qn__csv_done(csv);
            return qn_error_memory(err);
        }
    }
    return QN_OK;
}

void qn__csv_done(qn__csv *csv) {
    for (int i = 0; i < 2; i++) {
        qn_freep(&csv->blocks[i].bytes);
        qn_freep(&csv->blocks[i].cells);
    }
    qn__input_free(&csv->input);
}

static qn_status grow_bytes(qn__csv_block *block, size_t need, qn_error *err) {
    if (need <= block->cap_bytes)
        return QN_OK;
    size_t cap = block->cap_bytes ? block->cap_bytes : READ_BYTES;
    while (cap < need)
        cap += cap / 2;
    char *bytes = qn_malloc_aligned(cap + PAD, 1);
    if (!bytes)
        return qn_error_memory(err);
    if (block->n_bytes)
        memcpy(bytes, block->bytes, block->n_bytes);
    memset(bytes + cap, 0, PAD);
    qn_freep(&block->bytes);
    block->bytes = bytes;
    block->cap_bytes = cap;
    return QN_OK;
}

/* Reads until the block has `want` bytes or the file ends. */
static qn_status fill(qn__csv *csv, qn__csv_block *block, size_t want, qn_error *err) {
    QN_TRY(grow_bytes(block, want, err));
    while (block->n_bytes < want && !csv->ended) {
        size_t n = 0;
        QN_TRY(qn__input_read(csv->input, block->bytes + block->n_bytes, want - block->n_bytes, &n,
                              err));
        block->n_bytes += n;
        csv->ended = n == 0;
        if (csv->begins && (block->n_bytes >= 3 || csv->ended)) {
            csv->begins = false;
            if (block->n_bytes >= 3 && memcmp(block->bytes, "\xef\xbb\xbf", 3) == 0) {
                memmove(block->bytes, block->bytes + 3, block->n_bytes - 3);
                block->n_bytes -= 3;
            }
        }
    }
    memset(block->bytes + block->n_bytes, 0,
           block->cap_bytes - block->n_bytes < PAD ? block->cap_bytes - block->n_bytes : PAD);
    return QN_OK;
}

static qn_status ragged(const qn__csv *csv, int64_t row, int64_t n_fields, qn_error *err) {
    return qn_error_set_at(
        err, QN_ERR_DATA, qn__csv_file(csv, csv->i_file), row, NULL,
        "%lld fields where the header has %d; check for a missing or extra '%s', or for "
        "text that needs quotes",
        (long long)n_fields, csv->n_columns, csv->dialect->delimiter);
}

static qn_status too_long(const qn__csv *csv, qn_error *err) {
    return qn_error_set_at(
        err, QN_ERR_LIMIT, qn__csv_file(csv, csv->i_file), csv->n_file_rows + 1, NULL,
        "it is longer than the limit of %zu MiB for one row (or a quote does not end)",
        QN_LIMIT_FIELD_BYTES >> 20);
}

static qn_status open_quote(const qn__csv *csv, int64_t row, qn_error *err) {
    return qn_error_set_at(err, QN_ERR_DATA, qn__csv_file(csv, csv->i_file), row, NULL,
                           "a quote (%s) begins and does not end with the field",
                           csv->dialect->quote);
}

/* The closing quote of the field whose text begins at `at`; n when it is not among the bytes. */
static size_t find_closing(const scanner *s, size_t at, char escape, bool *ret_escaped) {
    *ret_escaped = false;
    if (escape == s->quote || !escape) {
        for (;;) {
            const char *p = memchr(s->bytes + at, s->quote, s->n - at);
            if (!p)
                return s->n;
            const size_t pos = (size_t)(p - s->bytes);
            if (!escape || pos + 1 >= s->n || s->bytes[pos + 1] != s->quote)
                return pos;
            *ret_escaped = true;
            at = pos + 2;
        }
    }
    for (; at < s->n; at++) {
        if (s->bytes[at] == escape && at + 1 < s->n) {
            *ret_escaped = true;
            at++;
        } else if (s->bytes[at] == s->quote) {
            return at;
        }
    }
    return s->n;
}

typedef enum cut { CUT_WHOLE, CUT_SHORT, CUT_BAD } cut;

/* A quoted field; *pos is behind it and the spaces after it. CUT_SHORT: more bytes are needed. */
static cut take_quoted(const qn__csv *csv, const scanner *s, size_t *pos, qn__cell *cell) {
    bool escaped;
    const size_t begin = *pos + 1;
    const size_t end = find_closing(s, begin, csv->dialect->escape[0], &escaped);
    if (end >= s->n)
        return csv->ended ? CUT_BAD : CUT_SHORT;
    size_t after = end + 1;
    while (after < s->n && s->bytes[after] == ' ')
        after++;
    if (after + 1 >= s->n && !csv->ended) /* a second quote may follow, or what ends a line */
        return CUT_SHORT;
    *cell = (qn__cell){(uint32_t)begin, (uint32_t)(end - begin) | (escaped ? QN__CELL_ESCAPED : 0)};
    *pos = after;
    if (after >= s->n || s->bytes[after] == s->line_end ||
        (s->bytes[after] == '\r' && (after + 1 >= s->n || s->bytes[after + 1] == s->line_end)))
        return CUT_WHOLE;
    const size_t n_delimiter = strlen(csv->dialect->delimiter);
    return s->n - after >= n_delimiter &&
                   memcmp(s->bytes + after, csv->dialect->delimiter, n_delimiter) == 0
               ? CUT_WHOLE
               : CUT_BAD;
}

static bool only_spaces(const char *bytes, size_t from, size_t to) {
    while (from < to && bytes[from] == ' ')
        from++;
    return from == to;
}

/* What a record in progress knows. */
typedef struct record {
    size_t begin, field; /* where it and its current field begin */
    int64_t n_cells;
    bool is_quoted; /* `cell` holds the current field */
    qn__cell cell;
} record;

static inline void put_cell(const qn__csv *csv, qn__csv_block *block, record *r, size_t end) {
    if (r->n_cells < csv->n_columns)
        block->cells[(size_t)r->n_cells * (size_t)csv->cap_rows + (size_t)block->n_rows] =
            r->is_quoted ? r->cell : (qn__cell){(uint32_t)r->field, (uint32_t)(end - r->field)};
    r->n_cells++;
    r->is_quoted = false;
}

/* At a line's end (or the file's). Blank lines are no records, but a table of one column has
 * missing values so. */
static qn_status end_record(qn__csv *csv, qn__csv_block *block, record *r, size_t end, size_t next,
                            qn_error *err) {
    if (next - r->begin > QN_LIMIT_FIELD_BYTES)
        return too_long(csv, err);
    if (end > r->field && block->bytes[end - 1] == '\r' && !r->is_quoted)
        end--;
    const bool blank = r->n_cells == 0 && !r->is_quoted && end == r->field;
    put_cell(csv, block, r, end);
    if (blank && (csv->n_columns > 1 || csv->skips)) {
        /* nothing */
    } else if (csv->skips) {
        csv->skips = false;
    } else if (r->n_cells != csv->n_columns) {
        return ragged(csv, csv->n_file_rows + 1, r->n_cells, err);
    } else {
        block->n_rows++;
        csv->n_file_rows++;
    }
    *r = (record){.begin = next, .field = next};
    block->used = next;
    return QN_OK;
}

/* Takes whole records until the block is full or the bytes end. */
static qn_status cut_records(qn__csv *csv, qn__csv_block *block, qn_error *err) {
    const qn__dialect *dialect = csv->dialect;
    const size_t n_delimiter = strlen(dialect->delimiter);
    scanner s = {.bytes = block->bytes,
                 .n = block->n_bytes,
                 .delimiter = dialect->delimiter[0],
                 .quote = dialect->quote[0] ? dialect->quote[0] : dialect->delimiter[0],
                 .line_end = dialect->line_end};
    record r = {.begin = block->used, .field = block->used};
    seek(&s, block->used);
    while (block->n_rows < csv->cap_rows) {
        size_t pos = next_special(&s);
        if (pos >= s.n)
            break;
        const char c = s.bytes[pos];
        if (c == s.line_end) {
            QN_TRY(end_record(csv, block, &r, pos, pos + 1, err));
        } else if (c == s.delimiter) {
            if (n_delimiter > 1) {
                if (s.n - pos < n_delimiter ||
                    memcmp(s.bytes + pos, dialect->delimiter, n_delimiter) != 0)
                    continue;
                seek(&s, pos + n_delimiter);
            }
            put_cell(csv, block, &r, pos);
            r.field = pos + n_delimiter;
        } else if (!r.is_quoted && only_spaces(s.bytes, r.field, pos)) {
            const cut made = take_quoted(csv, &s, &pos, &r.cell);
            if (made == CUT_BAD)
                return open_quote(csv, csv->n_file_rows + !csv->skips, err);
            if (made == CUT_SHORT)
                return QN_OK;
            r.is_quoted = true;
            seek(&s, pos);
        }
    }
    if (block->n_rows < csv->cap_rows && csv->ended && r.begin < s.n)
        QN_TRY(end_record(csv, block, &r, s.n, s.n, err));
    return QN_OK;
}

static qn_status next_file(qn__csv *csv, qn_error *err) {
    qn__input_free(&csv->input);
    QN_TRY(qn__input_open(csv->files->items[csv->i_file], &csv->input, err));
    csv->begins = true;
    csv->ended = false;
    csv->skips = csv->dialect->header;
    csv->n_file_rows = 0;
    return QN_OK;
}

/* A block that holds no whole record gets more bytes, up to the limit of one record. */
static qn_status make_block(qn__csv *csv, qn__csv_block *block, const qn__csv_block *before,
                            qn_error *err) {
    size_t left = before->n_bytes - before->used;
    block->n_bytes = block->used = 0;
    block->n_rows = 0;
    while (csv->i_file < csv->files->n) {
        if (!csv->input)
            QN_TRY(next_file(csv, err));
        double want = csv->row_bytes > 0 ? csv->row_bytes * csv->cap_rows * 1.05 : READ_BYTES;
        size_t more = want > MOST_BYTES ? MOST_BYTES : want < 65536 ? 65536 : (size_t)want;
        QN_TRY(grow_bytes(block, left > more ? left : more, err));
        if (left)
            memcpy(block->bytes, before->bytes + before->used, left);
        block->n_bytes = left;
        block->used = 0;
        block->i_file = csv->i_file;
        block->first_row = csv->n_file_rows + 1;
        left = 0;
        for (size_t size = block->n_bytes > more ? block->n_bytes : more;; size = 2 * size) {
            QN_TRY(fill(csv, block, size, err));
            QN_TRY(cut_records(csv, block, err));
            if (block->n_rows || csv->ended)
                break;
            if (block->n_bytes - block->used > QN_LIMIT_FIELD_BYTES)
                return too_long(csv, err);
        }
        if (block->n_rows) {
            csv->row_bytes = (double)block->used / block->n_rows;
            return QN_OK;
        }
        csv->n_bytes_before += qn__input_position(csv->input);
        qn__input_free(&csv->input);
        csv->i_file++;
    }
    return QN_OK;
}

void qn__csv_prepare(qn__csv *csv) {
    qn__csv_block *block = &csv->blocks[1 - csv->i_block];
    const qn__csv_block *before = &csv->blocks[csv->i_block];
    block->error = (qn_error){0};
    if (before->status != QN_OK) { /* it was told already */
        block->n_rows = 0;
        return;
    }
    block->status = make_block(csv, block, before, &block->error);
}

qn_status qn__csv_advance(qn__csv *csv, qn_error *err) {
    qn__csv_block *left = &csv->blocks[csv->i_block];
    if (left->status != QN_OK) {
        if (err)
            *err = left->error;
        return left->status;
    }
    csv->i_block = 1 - csv->i_block;
    const qn__csv_block *block = &csv->blocks[csv->i_block];
    if (block->status != QN_OK && !block->n_rows) {
        if (err)
            *err = block->error;
        return block->status;
    }
    return QN_OK;
}
