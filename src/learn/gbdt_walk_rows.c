/* Trees for many rows side by side, without going anywhere: all nodes of a tree are asked, children first,
 * and each says for every row which of its leaves the row reaches. A question to 32 rows is a comparison
 * of bytes, an addition and a choice, so a tree of 255 leaves costs a row about 8 questions, where its way
 * has 11 nodes that wait for each other and are read one by one.
 *
 * Leaves are numbered from left to right. A node's answer is that of the left child, or the leaves of the
 * left child and the answer of the right one; that of a leaf is 0. Answers lie on a stack: the child of more
 * leaves is asked first, so that a tree of 256 needs 9 of them.
 *
 * Trees are taken apart into questions once, unless they are very many: it takes as long as the questions of
 * a thousand rows. */
#include <string.h>

#include "learn/gbdt_int.h"
#include "learn/gbdt_kernel_int.h"

enum {
    ROWS = 128,
    MOST_LEAVES = 256,      /* an answer is a byte */
    MOST_NODES = 2 * MOST_LEAVES - 1,
    ANSWERS = 9,            /* the first is that of every leaf */
    COLUMNS = 1 << 17,      /* bytes of ranks */
    MOST_KEPT = 1 << 18,    /* nodes of a model whose questions are kept: 3 MB; */
    MANY_ROWS_ONCE = 1024,  /* where they are not, fewer rows are not worth making them */
};

/* rank < below goes left; both are moved so that they are signed. Places are those of bytes. */
typedef struct question {
    uint32_t rank;
    uint16_t left, right, to;
    uint8_t left_leaves;
    int8_t below;
} question;

typedef struct tree {
    question questions[MOST_LEAVES]; /* from `first` on */
    int32_t first;
    double value[MOST_LEAVES];
} tree;

/* The same of all trees. */
typedef struct qn__asked_trees {
    question *questions;    /* owned */
    double *value;          /* owned; as those of the model, but from left to right */
    int64_t *start;         /* owned; n_trees + 1: the first question of a tree */
} qn__asked_trees;

static inline uint8_t moved(uint32_t rank) {
    return (uint8_t)(rank ^ 0x80);
}

/* A node whose answer goes to `to`; its leaves are numbered from `leaf` on. */
typedef struct visit {
    uint32_t node, leaf, to;
} visit;

/* Leaves below each node of n, by ways to them; MOST_LEAVES + 1: more than MOST_LEAVES, which a file can make
 * up whose nodes share children. */
static void count_leaves(const qn__gbdt *m, int32_t t, uint32_t n, uint16_t *n_leaves) {
    for (uint32_t i = n; i-- > 0;) {
        qn__gbdt_node node = qn__gbdt_node_at(m, m->start[t], i);
        uint32_t both = node.is_leaf ? 1 : (uint32_t)n_leaves[node.to] + n_leaves[node.to + 1];
        n_leaves[i] = (uint16_t)(both < MOST_LEAVES ? both : MOST_LEAVES + (both > MOST_LEAVES));
    }
}

/* False: it is none. */
static bool take_tree(const qn__gbdt *m, int32_t t, tree *ret_tree) {
    const double *value = m->value + qn__gbdt_leaf_start(m, t);
    uint16_t n_leaves[MOST_NODES];
    visit waiting[MOST_LEAVES];
    int32_t n_waiting = 0;
    count_leaves(m, t, (uint32_t)(m->start[t + 1] - m->start[t]), n_leaves);
    if (n_leaves[0] > MOST_LEAVES)
        return false;
    /* Parents before children, the child of fewer leaves before the other: questions from the last on. */
    ret_tree->first = MOST_LEAVES;
    waiting[n_waiting++] = (visit){.to = 1};
    while (n_waiting > 0) {
        visit v = waiting[--n_waiting];
        qn__gbdt_node node = qn__gbdt_node_at(m, m->start[t], v.node);
        if (node.is_leaf) {
            ret_tree->value[v.leaf] = value[node.to];
            continue;
        }
        uint32_t left = node.to, right = left + 1, n_left = n_leaves[left];
        bool left_first = n_left >= n_leaves[right];
        visit a = {left, v.leaf, v.to + !left_first};
        visit b = {right, v.leaf + n_left, v.to + left_first};
        waiting[n_waiting++] = left_first ? a : b;
        waiting[n_waiting++] = left_first ? b : a;
        ret_tree->questions[--ret_tree->first] = (question){
            .rank = node.side * ROWS, .below = (int8_t)moved(node.test + 1),
            .left = (uint16_t)((n_left > 1 ? a.to : 0) * ROWS), .left_leaves = (uint8_t)n_left,
            .right = (uint16_t)((n_leaves[right] > 1 ? b.to : 0) * ROWS),
            .to = (uint16_t)(v.to * ROWS)};
    }
    return true;
}

/* One row after the other. */
static void add_ways(const qn__gbdt *m, int32_t t, const qn__ranked *rows, int64_t first, int64_t n,
                     double *raw) {
    const double *value = m->value + qn__gbdt_leaf_start(m, t);
    for (int64_t i = 0; i < n; i++) {
        const uint8_t *ranks = rows->ranks + (size_t)(first + i) * rows->rank_stride;
        qn__gbdt_node node = qn__gbdt_node_at(m, m->start[t], 0);
        while (!node.is_leaf)
            node = qn__gbdt_node_at(m, m->start[t], node.to + (ranks[node.side] > node.test));
        raw[i * m->learner.n_outputs] += value[node.to];
    }
}

/* ranks[side][ROWS], answers[ANSWERS][ROWS] */
QN__WIDE static void ask_all(const question *ask, const question *end, const uint8_t *ranks,
                             uint8_t *answers) {
    for (; ask < end; ask++) {
        const int8_t *rank = (const int8_t *)ranks + ask->rank;
        const uint8_t *left = answers + ask->left, *right = answers + ask->right;
        uint8_t *to = answers + ask->to, left_leaves = ask->left_leaves;
        int8_t below = ask->below;
#if defined(__clang__)
#pragma clang loop vectorize(assume_safety)
#else
#pragma GCC ivdep
#pragma GCC unroll 8
#endif
        for (int j = 0; j < ROWS; j++) {
            uint8_t l = left[j], r = (uint8_t)(right[j] + left_leaves); /* in any case: no branch */
            to[j] = rank[j] < below ? l : r;
        }
    }
}

/* By side, ROWS rows after the other: columns[n / ROWS][n_sides][ROWS]. */
static void turn_ranks(const qn__ranked *rows, int64_t first, int64_t n, size_t n_sides,
                       uint8_t *columns) {
    for (int64_t i = 0; i < n; i++) {
        const uint8_t *rank = rows->ranks + (size_t)(first + i) * rows->rank_stride;
        uint8_t *to = columns + (size_t)(i / ROWS) * n_sides * ROWS + i % ROWS;
        for (size_t s = 0; s < n_sides; s++)
            to[s * ROWS] = moved(rank[s]);
    }
}

bool qn__gbdt_many_rows(const qn__gbdt *m, int64_t n) {
    if (n < (m->n_nodes > MOST_KEPT ? MANY_ROWS_ONCE : QN__MANY_ROWS) || m->wide
        || m->n_keys > m->n_number_keys || m->n_number_keys * 2 * ROWS > COLUMNS)
        return false;
    for (int32_t t = 0; t < m->n_trees; t++)
        if (m->start[t + 1] - m->start[t] > MOST_NODES)
            return false;
    return true;
}

static inline void add_values(const double *value, const uint8_t *answers, int64_t n, int32_t n_k,
                              double *raw) {
    for (int64_t i = 0; i < n; i++)
        raw[i * n_k] += value[answers[i]];
}

/* Stands for those of a model with a tree that is none: they are not tried again. */
static const qn__asked_trees refused = {0};

static void asked_free(qn__asked_trees *asked) {
    if (!asked || asked == &refused)
        return;
    qn_freep(&asked->questions);
    qn_freep(&asked->value);
    qn_freep(&asked->start);
    qn_freep(&asked);
}

void qn__gbdt_asked_free(qn__gbdt *m) {
    asked_free(m->asked);
    m->asked = NULL;
}

/* NULL: there is no memory. `refused`: one is no tree, or has nodes that nothing leads to. */
static qn__asked_trees *take_trees(const qn__gbdt *m) {
    qn__asked_trees *asked = qn_new(qn__asked_trees);
    if (!asked)
        return NULL;
    const size_t n_leaves = qn__gbdt_leaf_start(m, m->n_trees);
    asked->questions = qn_malloc_aligned((size_t)m->n_nodes - n_leaves + 1,
                                         sizeof *asked->questions);
    asked->value = qn_malloc_aligned(n_leaves, sizeof *asked->value);
    asked->start = qn_malloc_aligned((size_t)m->n_trees + 1, sizeof *asked->start);
    if (!asked->questions || !asked->value || !asked->start) {
        asked_free(asked);
        return NULL;
    }
    int64_t n = 0;
    for (int32_t t = 0; t < m->n_trees; t++) {
        tree one;
        bool fine = take_tree(m, t, &one);
        int32_t n_questions = fine ? MOST_LEAVES - one.first : 0;
        const uint64_t leaf = qn__gbdt_leaf_start(m, t);
        if (!fine || (uint64_t)n_questions + 1 != qn__gbdt_leaf_start(m, t + 1) - leaf) {
            asked_free(asked);
            return (qn__asked_trees *)&refused;
        }
        memcpy(asked->questions + n, one.questions + one.first,
               (size_t)n_questions * sizeof *one.questions);
        memcpy(asked->value + leaf, one.value, (size_t)(n_questions + 1) * sizeof *one.value);
        asked->start[t] = n;
        asked->start[t + 1] = n += n_questions;
    }
    return asked;
}

/* Those of the model, which the first of the threads that need them makes; NULL: there are none. */
static const qn__asked_trees *asked_of(const qn__gbdt *m) {
    qn__asked_trees **place = (qn__asked_trees **)&m->asked, *before = NULL;
    qn__asked_trees *asked = __atomic_load_n(place, __ATOMIC_ACQUIRE);
    if (!asked && m->n_nodes <= MOST_KEPT && (asked = take_trees(m))
        && !__atomic_compare_exchange_n(place, &before, asked, false, __ATOMIC_ACQ_REL,
                                        __ATOMIC_ACQUIRE)) {
        asked_free(asked);
        asked = before; /* what another thread has made meanwhile */
    }
    return asked == &refused ? NULL : asked;
}

/* Rows first .. first + n - 1, whose ranks are turned. */
static void add_tree(const qn__gbdt *m, int32_t t, const qn__asked_trees *asked,
                     const qn__ranked *rows, int64_t first, int64_t n, const uint8_t *columns,
                     uint8_t *answers, double *raw) {
    size_t n_sides = 2 * (size_t)m->n_number_keys;
    int32_t n_k = m->learner.n_outputs;
    tree now;
    if (!asked && !take_tree(m, t, &now)) {
        add_ways(m, t, rows, first, n, raw);
        return;
    }
    const question *ask = asked ? asked->questions + asked->start[t] : now.questions + now.first;
    const question *end = asked ? asked->questions + asked->start[t + 1]
                                : now.questions + MOST_LEAVES;
    const double *value = asked ? asked->value + qn__gbdt_leaf_start(m, t) : now.value;
    const uint8_t *said = answers + (ask < end ? ROWS : 0); /* a leaf alone: 0 */
    for (int64_t i = 0; i < n; i += ROWS) {
        int64_t n_here = n - i < ROWS ? n - i : ROWS;
        ask_all(ask, end, columns + (size_t)i * n_sides, answers);
        if (n_k == 1)
            add_values(value, said, n_here, 1, raw + i);
        else
            add_values(value, said, n_here, n_k, raw + i * n_k);
    }
}

void qn__gbdt_add_many_rows(const qn__gbdt *m, const qn__ranked *rows, int64_t n, double *raw) {
    _Alignas(64) uint8_t columns[COLUMNS], answers[ANSWERS * ROWS];
    memset(answers, 0, ROWS);
    size_t n_sides = 2 * (size_t)m->n_number_keys;
    int64_t most = n_sides ? COLUMNS / (int64_t)(n_sides * ROWS) * ROWS : n;
    int32_t n_k = m->learner.n_outputs;
    const qn__asked_trees *asked = asked_of(m);
    for (int64_t first = 0, here; first < n; first += here) {
        here = n - first < most ? n - first : most;
        turn_ranks(rows, first, here, n_sides, columns);
        for (int32_t t = 0; t < m->n_trees; t++)
            add_tree(m, t, asked, rows, first, here, columns, answers,
                     raw + first * n_k + t % n_k);
    }
}
