/* mem.h - the only way Quern allocates: checked sizes, 64-byte alignment where asked, scoped
 * cleanup, arenas named by lifespan, and a switch by which tests make any allocation fail.
 *
 *     qn_cleanup(qn_freep) double *mean = qn_new_array(double, n);
 *     if (!mean)
 *         return qn_error_memory(err);
 *
 * Conventions of the tree: `x_free(x **)` frees a handle and sets the pointer to NULL; `x_done(x
 * *)` empties a struct the caller holds. Both accept NULL, empty and half-built objects, so both
 * can be used with qn_cleanup(). */
#ifndef QN_BASE_MEM_H
#define QN_BASE_MEM_H

#include "base/error.h"

#define qn_cleanup(function) __attribute__((cleanup(function)))

/* Zeroed memory for n_items of item_bytes each; NULL when the product overflows, exceeds
 * PTRDIFF_MAX, or memory is short. n_items 0 gives a valid pointer. */
void *qn_calloc(size_t n_items, size_t item_bytes) QN_MUST_USE;

/* The same, aligned to 64 bytes (columns, kernels). Freed by qn_freep like the rest. */
void *qn_calloc_aligned(size_t n_items, size_t item_bytes) QN_MUST_USE;

/* The same, aligned and not zeroed: for arrays about to be filled. */
void *qn_malloc_aligned(size_t n_items, size_t item_bytes) QN_MUST_USE;

/* Resizes `old` (from qn_calloc or here; not the aligned ones); on NULL `old` is still valid. New
 * bytes are not zeroed. */
void *qn_realloc(void *old, size_t n_items, size_t item_bytes) QN_MUST_USE;

/* Frees the memory that *address_of_pointer points to and sets it to NULL. */
void qn_freep(void *address_of_pointer);

char *qn_strdup(const char *text) QN_MUST_USE;
char *qn_strndup(const char *text, size_t bytes) QN_MUST_USE;

/* Formats into new memory; NULL when memory is short. */
char *qn_format(const char *format, ...) QN_PRINTF(1, 2) QN_MUST_USE;

#define qn_new(type) ((type *)qn_calloc(1, sizeof(type)))
#define qn_new_array(type, n) ((type *)qn_calloc((size_t)(n), sizeof(type)))

/* Takes the value out of a variable that has a cleanup, leaving NULL: `*ret = qn_steal(&frame)`. */
#define qn_steal(address)                                       \
    __extension__({                                             \
        typeof(*(address)) qn_stolen_ = *(address);             \
        *(address) = NULL;                                      \
        qn_stolen_;                                             \
    })

/* Size arithmetic: true and *ret set, or false when the result does not fit. */
static inline bool qn_size_add(size_t a, size_t b, size_t *ret) {
    return !__builtin_add_overflow(a, b, ret);
}
static inline bool qn_size_mul(size_t a, size_t b, size_t *ret) {
    return !__builtin_mul_overflow(a, b, ret);
}

/* An arena hands out memory that is all freed at once. Its name tells how long it lives (job, fit,
 * batch, request). Not thread-safe. */
typedef struct qn_arena qn_arena;

qn_arena *qn_arena_new(const char *lifespan) QN_MUST_USE; /* `lifespan` is borrowed: a literal */
void qn_arena_free(qn_arena **arena);
/* Zeroed, 16-byte aligned; NULL when short of memory or on overflow. */
void *qn_arena_alloc(qn_arena *arena, size_t n_items, size_t item_bytes) QN_MUST_USE;
char *qn_arena_strdup(qn_arena *arena, const char *text) QN_MUST_USE;
/* Gives everything back for reuse but keeps the largest block. */
void qn_arena_reset(qn_arena *arena);

/* For tests: after `n_successes` further allocations every one fails, until called with a negative
 * number. Process-wide. */
void qn_mem_fail_after(int64_t n_successes);

/* Peak resident memory of this process so far, in bytes (getrusage). */
size_t qn_mem_peak_bytes(void);
/* Physical memory usable by this process (cgroup limit or RAM), in bytes. */
size_t qn_mem_available_bytes(void);

#endif
