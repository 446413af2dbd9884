/* gbdt_prune_int.h - inside learn/: trees taken apart, merged, and cut.
 *
 *   gbdt_unpack  packed -> plain, merging   gbdt_prune  the pruner   gbdt_prune_cost  links measured */
#ifndef QN_LEARN_GBDT_PRUNE_INT_H
#define QN_LEARN_GBDT_PRUNE_INT_H

#include "learn/gbdt.h"
#include "learn/gbdt_model_int.h"
#include "learn/gbdt_prune.h"

/* Packed trees as plain ones: the inverse of qn__gbdt_pack but for the order of nodes. QN_ERR_FORMAT
 * when a node has two parents, which no writer makes. */
qn_status qn__gbdt_unpack(const qn__gbdt *m, qn__plain *ret_plain, qn_error *err) QN_MUST_USE;
/* Puts one in the place of two equal leaves, or subtrees, of a split, from the leaves up. What nothing
 * leads to any more stays in the array. */
qn_status qn__plain_merge(qn__plain *plain, qn_error *err) QN_MUST_USE;

/* A node of a tree in preorder: its left child follows it, the right child is where the left
 * one's subtree ends. */
typedef struct qn__prune_node {
    double weight;     /* of a leaf: training rows times the mean second derivative of their loss */
    double value;      /* what a leaf here answers: the mean of its leaves by their weights */
    double spread;     /* sum over its leaves of weight (value - mean)^2 */
    double cost;       /* measured: what the loss gains when it becomes a leaf */
    uint64_t count;    /* training rows */
    uint32_t first_row, last_row; /* of qn_pruner.order of the tree: the rows that come here */
    uint32_t end;      /* one behind its subtree */
    uint32_t parent;
    uint32_t grown;    /* in the plain tree */
    uint32_t n_leaves; /* measured: below it now */
    bool is_leaf;      /* now; nodes below a leaf are gone */
} qn__prune_node;

typedef enum qn__prune_loss {
    QN__PRUNE_LOG,      /* log loss of a logit or of softmax */
    QN__PRUNE_SQUARED,
    QN__PRUNE_ABSOLUTE,
    QN__PRUNE_POISSON,  /* deviance, of a log link */
    QN__PRUNE_LAMBDA,   /* lambdas of a ranking, see gbdt_prune_cost.c */
} qn__prune_loss;

/* Of a ranking: rows by queries, and what a round of lambdarank makes of them. */
typedef struct qn__rank_rows {
    qn_gbdt_params params;
    struct qn__queries *queries; /* owned */
    int32_t *query;            /* owned; n_rows */
    float *g, *h;              /* owned; n_rows: first and second derivatives */
} qn__rank_rows;

struct qn_pruner {
    qn__plain plain;           /* merged */
    const qn_feature *features; /* borrowed */
    qn__prune_loss loss;
    int64_t *start;            /* owned; n_trees + 1: nodes of a tree */
    qn__prune_node *nodes;     /* owned */
    int64_t n_rows;
    double offset;
    double *y;                 /* owned; n_rows */
    double *init;              /* owned; [n_rows][n_outputs]: what rows add to their scores */
    double *raw;               /* owned; [n_rows][n_outputs]: scores now */
    double *slope;             /* owned; [n_outputs][n_rows]: what costs are made of, see the .c */
    qn__rank_rows *rank;       /* owned; NULL: no ranking */
    uint32_t *order;           /* owned; [n_trees][n_rows]: rows by the leaves they come to */
    int64_t n_leaves;
    int32_t n_kept;            /* trees of the rounds that are kept */
    bool is_cut;
};

/* Fills slope from raw. */
void qn__pruner_fill_slopes(qn_pruner *pruner, const qn_job *job);
/* Fills cost and n_leaves of every node that is not gone. */
qn_status qn__pruner_measure(qn_pruner *pruner, const qn_job *job, qn_error *err) QN_MUST_USE;
/* Makes an inner node a leaf. */
void qn__pruner_cut_node(qn_pruner *pruner, int32_t tree, uint32_t node);

#endif
