#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "data/column_int.h"

/* Texts lie one behind the other in `bytes`, each followed by a NUL; text i begins at start[i] and
 * ends before the NUL at start[i + 1] - 1. `slots` is open addressing: the upper half of the text's
 * hash above code + 1, so that a look at another text's slot goes no further. */
struct qn_dict {
    char *bytes;     /* owned */
    size_t *start;   /* owned; size + 1 items when size > 0 */
    uint64_t *slots; /* owned; n_slots items, a power of two */
    size_t cap_bytes, cap_items, n_slots;
    int32_t size;
};

qn_dict *qn_dict_new(void) {
    return qn_new(qn_dict);
}

void qn_dict_free(qn_dict **dict) {
    if (!dict || !*dict)
        return;
    qn_freep(&(*dict)->bytes);
    qn_freep(&(*dict)->start);
    qn_freep(&(*dict)->slots);
    qn_freep(dict);
}

int32_t qn_dict_size(const qn_dict *dict) {
    return dict ? dict->size : 0;
}

const char *qn_dict_text(const qn_dict *dict, int32_t code, size_t *ret_bytes) {
    if (!dict || code < 0 || code >= dict->size)
        return NULL;
    if (ret_bytes)
        *ret_bytes = dict->start[code + 1] - dict->start[code] - 1;
    return dict->bytes + dict->start[code];
}

static uint64_t slot_of(uint64_t hash, int32_t code) {
    return (hash & ~(uint64_t)UINT32_MAX) | ((uint32_t)code + 1);
}

static int32_t code_of(uint64_t slot) {
    return (int32_t)(uint32_t)slot - 1;
}

/* The slot of the text, or the empty slot where it would go. */
static size_t find_slot(const qn_dict *dict, uint64_t hash, const char *bytes, size_t n) {
    const size_t mask = dict->n_slots - 1;
    for (size_t i = hash & mask;; i = (i + 1) & mask) {
        const uint64_t slot = dict->slots[i];
        if (!slot)
            return i;
        if ((slot ^ hash) >> 32)
            continue;
        const size_t code = (size_t)code_of(slot);
        if (dict->start[code + 1] - dict->start[code] - 1 == n &&
            memcmp(dict->bytes + dict->start[code], bytes, n) == 0)
            return i;
    }
}

int32_t qn_dict_find(const qn_dict *dict, const char *bytes, size_t n) {
    if (!dict || !dict->n_slots)
        return -1;
    return code_of(dict->slots[find_slot(dict, qn_hash64(bytes, n, 0), bytes, n)]);
}

/* Hashes are made again from the texts: only half of each is kept. */
static bool grow_slots(qn_dict *dict) {
    const size_t n_slots = dict->n_slots ? 2 * dict->n_slots : 64;
    uint64_t *slots = qn_new_array(uint64_t, n_slots);
    if (!slots)
        return false;
    qn_freep(&dict->slots);
    dict->slots = slots;
    dict->n_slots = n_slots;
    for (int32_t code = 0; code < dict->size; code++) {
        size_t n = 0;
        const char *text = qn_dict_text(dict, code, &n);
        const uint64_t hash = qn_hash64(text, n, 0);
        size_t i = hash & (n_slots - 1);
        while (slots[i])
            i = (i + 1) & (n_slots - 1);
        slots[i] = slot_of(hash, code);
    }
    return true;
}

static bool grow_items(qn_dict *dict) {
    const size_t cap = dict->cap_items ? 2 * dict->cap_items : 16;
    size_t *start = qn_realloc(dict->start, cap + 1, sizeof *start);
    if (!start)
        return false;
    dict->start = start;
    dict->cap_items = cap;
    return true;
}

static bool grow_bytes(qn_dict *dict, size_t used, size_t n) {
    size_t need, cap = dict->cap_bytes ? dict->cap_bytes : 256;
    if (!qn_size_add(used, n, &need) || !qn_size_add(need, 1, &need))
        return false;
    while (cap < need)
        if (!qn_size_mul(cap, 2, &cap))
            return false;
    if (cap == dict->cap_bytes)
        return true;
    char *bytes = qn_realloc(dict->bytes, cap, 1);
    if (!bytes)
        return false;
    dict->bytes = bytes;
    dict->cap_bytes = cap;
    return true;
}

int32_t qn_dict_add(qn_dict *dict, const char *bytes, size_t n) {
    if ((size_t)dict->size * 2 >= dict->n_slots && !grow_slots(dict))
        return -1;
    const uint64_t hash = qn_hash64(bytes, n, 0);
    const size_t slot = find_slot(dict, hash, bytes, n);
    if (dict->slots[slot])
        return code_of(dict->slots[slot]);
    if (dict->size == INT32_MAX)
        return -1;
    if ((size_t)dict->size == dict->cap_items && !grow_items(dict))
        return -1;
    const size_t used = dict->size ? dict->start[dict->size] : 0;
    if (!grow_bytes(dict, used, n))
        return -1;
    memcpy(dict->bytes + used, bytes, n);
    dict->bytes[used + n] = '\0';
    dict->start[dict->size] = used;
    dict->start[dict->size + 1] = used + n + 1;
    dict->slots[slot] = slot_of(hash, dict->size);
    return dict->size++;
}

size_t qn__dict_bytes(const qn_dict *dict) {
    return dict ? dict->cap_bytes + dict->cap_items * sizeof *dict->start +
                      dict->n_slots * sizeof *dict->slots
                : 0;
}
