#include "feature/matrix.h"

#include <math.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"

enum { ALIGNMENT = 64 };

/* One block for all dense columns: a row-sized matrix costs three allocations, not one per
 * feature. */
static qn_status slab_new(qn_matrix *matrix, qn_error *err) {
    size_t num_bytes, code_bytes, total = 0;
    if (!qn_size_mul((size_t)matrix->n_rows, sizeof(double), &num_bytes) ||
        !qn_size_add(num_bytes, ALIGNMENT - 1, &num_bytes))
        return qn_error_memory(err);
    num_bytes = num_bytes / ALIGNMENT * ALIGNMENT;
    code_bytes = ((size_t)matrix->n_rows * sizeof(int32_t) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    for (int32_t i = 0; i < matrix->n_features; i++) {
        qn_feature_kind kind = matrix->features[i].kind;
        size_t more = kind == QN_FEATURE_NUMERIC    ? num_bytes
                      : kind == QN_FEATURE_CATEGORY ? code_bytes
                                                    : 0;
        if (!qn_size_add(total, more, &total))
            return qn_error_memory(err);
    }
    char *slab = qn_malloc_aligned(total, 1);
    if (!slab)
        return qn_error_memory(err);
    matrix->slab = slab;
    matrix->slab_bytes = total ? total : 1; /* no rows: columns still point here */
    for (int32_t i = 0; i < matrix->n_features; i++) {
        qn_matrix_column *column = &matrix->columns[i];
        if (matrix->features[i].kind == QN_FEATURE_NUMERIC) {
            column->num = (double *)(void *)slab;
            for (int64_t r = 0; r < matrix->n_rows; r++)
                column->num[r] = NAN;
            slab += num_bytes;
        } else if (matrix->features[i].kind == QN_FEATURE_CATEGORY) {
            column->code = (int32_t *)(void *)slab;
            memset(column->code, 0xFF, (size_t)matrix->n_rows * sizeof(int32_t));
            slab += code_bytes;
        }
    }
    return QN_OK;
}

qn_status qn_matrix_new(int64_t n_rows, const qn_feature *features, int32_t n_features,
                        qn_matrix **ret_matrix, qn_error *err) {
    QN_FAIL_IF(n_rows < 0 || n_features < 0 || n_features > QN_LIMIT_FEATURES, err, QN_ERR_LIMIT,
               "a matrix of %lld rows and %d features is beyond the limit of %d features",
               (long long)n_rows, n_features, QN_LIMIT_FEATURES);
    qn_cleanup(qn_matrix_free) qn_matrix *matrix = qn_new(qn_matrix);
    if (!matrix)
        return qn_error_memory(err);
    matrix->n_rows = n_rows;
    matrix->features = features;
    matrix->columns = qn_new_array(qn_matrix_column, n_features);
    if (!matrix->columns)
        return qn_error_memory(err);
    matrix->n_features = n_features;
    QN_TRY(slab_new(matrix, err));
    *ret_matrix = qn_steal(&matrix);
    return QN_OK;
}

static bool in_slab(const qn_matrix *matrix, const void *address) {
    uintptr_t at = (uintptr_t)address, slab = (uintptr_t)matrix->slab;
    if (at >= slab && at < slab + matrix->slab_bytes)
        return true;
    for (int32_t i = 0; i < matrix->n_blocks; i++) {
        uintptr_t block = (uintptr_t)matrix->blocks[i].data;
        if (at >= block && at < block + matrix->blocks[i].bytes)
            return true;
    }
    return false;
}

/* A column array may be replaced by its user with one of its own. */
static void free_if_own(const qn_matrix *matrix, void *address_of_pointer) {
    void *pointer;
    memcpy(&pointer, address_of_pointer, sizeof pointer);
    if (pointer && !in_slab(matrix, pointer))
        qn_freep(address_of_pointer);
}

void qn_matrix_free(qn_matrix **matrix) {
    if (!matrix || !*matrix)
        return;
    qn_matrix *m = *matrix;
    for (int32_t i = 0; m->columns && i < m->n_features; i++) {
        free_if_own(m, &m->columns[i].num);
        free_if_own(m, &m->columns[i].code);
        free_if_own(m, &m->columns[i].row);
        free_if_own(m, &m->columns[i].value);
    }
    for (int32_t i = 0; i < m->n_blocks; i++)
        qn_freep(&m->blocks[i].data);
    qn_freep(&m->blocks);
    qn_freep(&m->slab);
    qn_freep(&m->columns);
    qn_freep(matrix);
}

size_t qn_matrix_bytes(const qn_matrix *matrix) {
    size_t bytes = sizeof *matrix + (size_t)matrix->n_features * sizeof(qn_matrix_column)
                   + matrix->slab_bytes;
    for (int32_t i = 0; i < matrix->n_blocks; i++)
        bytes += matrix->blocks[i].bytes;
    for (int32_t i = 0; i < matrix->n_features; i++) {
        const qn_matrix_column *column = &matrix->columns[i];
        if (column->num && !in_slab(matrix, column->num))
            bytes += (size_t)matrix->n_rows * sizeof(double);
        if (column->code && !in_slab(matrix, column->code))
            bytes += (size_t)matrix->n_rows * sizeof(int32_t);
        if (column->row && !in_slab(matrix, column->row))
            bytes += (size_t)column->n_set * 16;
    }
    return bytes;
}

void *qn_matrix_block(qn_matrix *matrix, size_t n_items, size_t item_bytes) {
    size_t bytes;
    if (!qn_size_mul(n_items, item_bytes, &bytes))
        return NULL;
    qn_matrix_slab *blocks = qn_realloc(matrix->blocks, (size_t)matrix->n_blocks + 1,
                                        sizeof *blocks);
    if (!blocks)
        return NULL;
    matrix->blocks = blocks;
    void *data = qn_malloc_aligned(n_items, item_bytes);
    if (!data)
        return NULL;
    blocks[matrix->n_blocks++] = (qn_matrix_slab){.data = data, .bytes = bytes ? bytes : 1};
    return data;
}

/* start[r] .. start[r + 1] - 1 of `at` are the new positions of old row r, ascending. */
static qn_status invert_rows(const int64_t *rows, int64_t n, int64_t n_old, int64_t **ret_start,
                             int64_t **ret_at, qn_error *err) {
    qn_cleanup(qn_freep) int64_t *start = qn_new_array(int64_t, n_old + 2);
    qn_cleanup(qn_freep) int64_t *at = qn_new_array(int64_t, n);
    if (!start || !at)
        return qn_error_memory(err);
    for (int64_t i = 0; i < n; i++)
        start[rows[i] + 2]++;
    for (int64_t r = 0; r < n_old; r++)
        start[r + 2] += start[r + 1];
    for (int64_t i = 0; i < n; i++)
        at[start[rows[i] + 1]++] = i;
    *ret_start = qn_steal(&start);
    *ret_at = qn_steal(&at);
    return QN_OK;
}

typedef struct sparse_item {
    int64_t row;
    double value;
} sparse_item;

static void sort_items(sparse_item *items, int64_t n) {
    /* heap sort: no recursion, no worst case */
    for (int64_t root = n / 2, last = n; last > 1;) {
        sparse_item item;
        if (root > 0) {
            item = items[--root];
        } else {
            item = items[--last];
            items[last] = items[0];
        }
        int64_t hole = root;
        for (int64_t child; (child = 2 * hole + 1) < last; hole = child) {
            if (child + 1 < last && items[child + 1].row > items[child].row)
                child++;
            if (items[child].row <= item.row)
                break;
            items[hole] = items[child];
        }
        items[hole] = item;
    }
}

static qn_status take_sparse(const qn_matrix_column *from, const int64_t *start, const int64_t *at,
                             qn_matrix_column *to, qn_error *err) {
    int64_t n = 0;
    for (int64_t k = 0; k < from->n_set; k++)
        n += start[from->row[k] + 1] - start[from->row[k]];
    if (n == 0)
        return QN_OK;
    qn_cleanup(qn_freep) sparse_item *items = qn_new_array(sparse_item, n);
    to->row = qn_malloc_aligned((size_t)n, sizeof *to->row);
    to->value = qn_malloc_aligned((size_t)n, sizeof *to->value);
    if (!items || !to->row || !to->value)
        return qn_error_memory(err);
    int64_t n_items = 0;
    bool ascending = true;
    for (int64_t k = 0; k < from->n_set; k++)
        for (int64_t j = start[from->row[k]]; j < start[from->row[k] + 1]; j++) {
            items[n_items] = (sparse_item){.row = at[j], .value = from->value[k]};
            ascending = ascending && (n_items == 0 || items[n_items - 1].row < at[j]);
            n_items++;
        }
    if (!ascending)
        sort_items(items, n_items);
    for (int64_t k = 0; k < n_items; k++) {
        to->row[k] = items[k].row;
        to->value[k] = items[k].value;
    }
    to->n_set = n_items;
    return QN_OK;
}

qn_status qn_matrix_take(const qn_matrix *matrix, const int64_t *rows, int64_t n_rows,
                         qn_matrix **ret_matrix, qn_error *err) {
    for (int64_t i = 0; i < n_rows; i++)
        QN_FAIL_IF(rows[i] < 0 || rows[i] >= matrix->n_rows, err, QN_ERR_USAGE,
                   "row %lld is not in a matrix of %lld rows", (long long)rows[i],
                   (long long)matrix->n_rows);
    qn_cleanup(qn_matrix_free) qn_matrix *taken = NULL;
    QN_TRY(qn_matrix_new(n_rows, matrix->features, matrix->n_features, &taken, err));
    qn_cleanup(qn_freep) int64_t *start = NULL, *at = NULL;
    for (int32_t i = 0; i < matrix->n_features; i++) {
        const qn_matrix_column *from = &matrix->columns[i];
        qn_matrix_column *to = &taken->columns[i];
        if (from->num)
            for (int64_t r = 0; r < n_rows; r++)
                to->num[r] = from->num[rows[r]];
        if (from->code)
            for (int64_t r = 0; r < n_rows; r++)
                to->code[r] = from->code[rows[r]];
        if (from->n_set == 0)
            continue;
        if (!start)
            QN_TRY(invert_rows(rows, n_rows, matrix->n_rows, &start, &at, err));
        QN_TRY(take_sparse(from, start, at, to, err));
    }
    *ret_matrix = qn_steal(&taken);
    return QN_OK;
}

int64_t qn_matrix_column_from(const qn_matrix_column *column, int64_t row) {
    int64_t low = 0, high = column->n_set;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (column->row[middle] < row)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void qn_matrix_rows(const qn_matrix *matrix, int64_t first, int64_t n, double *out) {
    size_t stride = (size_t)matrix->n_features;
    for (int32_t i = 0; i < matrix->n_features; i++) {
        const qn_matrix_column *column = &matrix->columns[i];
        double *to = out + i;
        if (matrix->features[i].kind == QN_FEATURE_NUMERIC) {
            for (int64_t r = 0; r < n; r++)
                to[(size_t)r * stride] = column->num[first + r];
        } else if (matrix->features[i].kind == QN_FEATURE_CATEGORY) {
            for (int64_t r = 0; r < n; r++)
                to[(size_t)r * stride] = column->code[first + r];
        } else {
            for (int64_t r = 0; r < n; r++)
                to[(size_t)r * stride] = 0;
            int64_t k = qn_matrix_column_from(column, first);
            for (; k < column->n_set && column->row[k] < first + n; k++)
                to[(size_t)(column->row[k] - first) * stride] = column->value[k];
        }
    }
}
