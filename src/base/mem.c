#include "base/mem.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* The one mutable global of the allocator: a countdown that only tests set. */
static _Atomic int64_t fail_countdown = -1;

void qn_mem_fail_after(int64_t n_successes) {
    atomic_store(&fail_countdown, n_successes < 0 ? -1 : n_successes + 1);
}

static bool must_fail(void) {
    if (__builtin_expect(atomic_load_explicit(&fail_countdown, memory_order_relaxed) < 0, 1))
        return false;
    int64_t left = atomic_fetch_sub(&fail_countdown, 1);
    if (left > 1)
        return false;
    atomic_store(&fail_countdown, 1);
    return true;
}

static bool checked_bytes(size_t n_items, size_t item_bytes, size_t *ret_bytes) {
    if (must_fail() || !qn_size_mul(n_items, item_bytes, ret_bytes) || *ret_bytes > PTRDIFF_MAX)
        return false;
    if (*ret_bytes == 0)
        *ret_bytes = 1;
    return true;
}

void *qn_calloc(size_t n_items, size_t item_bytes) {
    size_t bytes;
    return checked_bytes(n_items, item_bytes, &bytes) ? calloc(1, bytes) : NULL;
}

void *qn_malloc_aligned(size_t n_items, size_t item_bytes) {
    size_t bytes;
    if (!checked_bytes(n_items, item_bytes, &bytes) || bytes > PTRDIFF_MAX - 64)
        return NULL;
    return aligned_alloc(64, (bytes + 63) & ~(size_t)63);
}

void *qn_calloc_aligned(size_t n_items, size_t item_bytes) {
    void *memory = qn_malloc_aligned(n_items, item_bytes);
    if (memory)
        memset(memory, 0, n_items * item_bytes);
    return memory;
}

void *qn_realloc(void *old, size_t n_items, size_t item_bytes) {
    size_t bytes;
    return checked_bytes(n_items, item_bytes, &bytes) ? realloc(old, bytes) : NULL;
}

void qn_freep(void *address_of_pointer) {
    void **address = address_of_pointer;
    if (!address)
        return;
    free(*address);
    *address = NULL;
}

char *qn_strndup(const char *text, size_t bytes) {
    char *copy = qn_calloc(bytes + 1, 1);
    if (copy)
        memcpy(copy, text, bytes);
    return copy;
}

char *qn_strdup(const char *text) {
    return text ? qn_strndup(text, strlen(text)) : NULL;
}

char *qn_format(const char *format, ...) {
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    char *text = n < 0 ? NULL : qn_calloc((size_t)n + 1, 1);
    if (text)
        vsnprintf(text, (size_t)n + 1, format, again);
    va_end(again);
    return text;
}

/* Blocks form a list, newest first:  [next | size | used | pad | bytes ...] */
typedef struct qn_arena_block {
    struct qn_arena_block *next;
    size_t size, used;
    size_t pad_;
    _Alignas(16) char bytes[];
} qn_arena_block;

struct qn_arena {
    const char *lifespan;    /* borrowed: a literal */
    qn_arena_block *newest;  /* owned */
};

enum { ARENA_FIRST_BYTES = 4096, ARENA_MAX_STEP = 1 << 22 };

qn_arena *qn_arena_new(const char *lifespan) {
    qn_arena *arena = qn_new(qn_arena);
    if (arena)
        arena->lifespan = lifespan;
    return arena;
}

static void free_blocks(qn_arena_block *block) {
    while (block) {
        qn_arena_block *next = block->next;
        qn_freep(&block);
        block = next;
    }
}

void qn_arena_free(qn_arena **arena) {
    if (!arena || !*arena)
        return;
    free_blocks((*arena)->newest);
    qn_freep(arena);
}

static qn_arena_block *new_block(qn_arena *arena, size_t need) {
    size_t step = arena->newest ? arena->newest->size * 2 : ARENA_FIRST_BYTES;
    if (step > ARENA_MAX_STEP)
        step = ARENA_MAX_STEP;
    size_t size = need > step ? need : step, bytes;
    if (!qn_size_add(size, sizeof(qn_arena_block), &bytes))
        return NULL;
    qn_arena_block *block = qn_calloc(1, bytes);
    if (!block)
        return NULL;
    block->size = size;
    block->next = arena->newest;
    arena->newest = block;
    return block;
}

void *qn_arena_alloc(qn_arena *arena, size_t n_items, size_t item_bytes) {
    size_t bytes;
    if (!qn_size_mul(n_items, item_bytes, &bytes) || bytes > PTRDIFF_MAX - 16)
        return NULL;
    bytes = (bytes + 15) & ~(size_t)15;
    qn_arena_block *block = arena->newest;
    if (!block || block->size - block->used < bytes)
        block = new_block(arena, bytes);
    if (!block)
        return NULL;
    void *memory = block->bytes + block->used;
    block->used += bytes;
    return memory;
}

char *qn_arena_strdup(qn_arena *arena, const char *text) {
    size_t n = strlen(text) + 1;
    char *copy = qn_arena_alloc(arena, n, 1);
    if (copy)
        memcpy(copy, text, n);
    return copy;
}

void qn_arena_reset(qn_arena *arena) {
    if (!arena->newest)
        return;
    free_blocks(arena->newest->next);
    arena->newest->next = NULL;
    memset(arena->newest->bytes, 0, arena->newest->used);
    arena->newest->used = 0;
}

size_t qn_mem_peak_bytes(void) {
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) == 0 ? (size_t)usage.ru_maxrss * 1024 : 0;
}

static bool read_number(const char *path, const char *format, size_t *ret_value) {
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    int n = fscanf(file, format, ret_value);
    fclose(file);
    return n == 1;
}

size_t qn_mem_available_bytes(void) {
    size_t ram = (size_t)sysconf(_SC_PHYS_PAGES) * (size_t)sysconf(_SC_PAGESIZE), cgroup;
    if (read_number("/sys/fs/cgroup/memory.max", "%zu", &cgroup) && cgroup < ram)
        return cgroup;
    return ram;
}
