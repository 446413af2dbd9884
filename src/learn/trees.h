/* trees.h - trees one node at a time: how those of other programs become a learner of family "gbdt",
 * and how a learner's own are walked by what writes them down.
 *
 *     qn_cleanup(qn_trees_done) qn_trees trees = {.link = QN_LINK_LOGIT, .n_outputs = 1, ...};
 *     QN_TRY(qn_trees_add(&trees, nodes, n_nodes, 0, err));       // per tree
 *     QN_TRY(qn_trees_pack(&trees, features, &learner, err));     // scored like one trained here
 *
 *     QN_TRY(qn_trees_unpack(learner, &trees, err));              // the other way */
#ifndef QN_LEARN_TREES_H
#define QN_LEARN_TREES_H

#include "learn/learner.h"

typedef struct qn_tree_node {
    int32_t feature;      /* column of the matrix; -1: a leaf */
    bool missing_left;
    bool is_set;          /* a split of categories: left when the bit of the code is set in the
                             words, right beyond them */
    uint32_t left, right; /* from the root, which is 0 */
    uint32_t n_words;
    int64_t first_word;   /* in qn_trees.words */
    double threshold;     /* of a number: left when x <= threshold */
    double value;         /* of a leaf */
    uint32_t count;       /* of a leaf: training rows, at least 1; explanations weigh by them */
    double gain;          /* of a split; 0 when unknown */
} qn_tree_node;

typedef struct qn_trees {
    qn_link link;
    int32_t n_outputs, n_features;
    const char *objective;  /* borrowed: a value of gbdt's parameter `objective` */
    double *base;           /* owned; n_outputs; NULL: 0 */
    uint32_t *init_columns; /* owned; n_outputs: 1 + the feature added to the raw score; NULL: none */
    int32_t n_trees;
    int32_t *output;        /* owned; per tree: the output it adds to */
    int64_t *start;         /* owned; n_trees + 1: first node of each tree */
    qn_tree_node *nodes;    /* owned; parents before children */
    uint32_t *words;        /* owned; category sets */
    int64_t n_words;
    int64_t cap_nodes, cap_words;
    int32_t cap_trees;
} qn_trees;

void qn_trees_done(qn_trees *trees);
/* Copies a tree whose nodes stand in any order, root first; nodes that no way leads to are left
 * out. QN_ERR_FORMAT when it is no tree, or a number in it is not finite. */
qn_status qn_trees_add(qn_trees *trees, const qn_tree_node *nodes, int64_t n_nodes, int32_t output,
                       qn_error *err) QN_MUST_USE;
/* Copies the words of a set; *ret_first is its first_word. */
qn_status qn_trees_add_words(qn_trees *trees, const uint32_t *words, int64_t n, int64_t *ret_first,
                             qn_error *err) QN_MUST_USE;
/* Trees of an output keep their order. */
qn_status qn_trees_pack(const qn_trees *trees, const qn_feature *features,
                        qn_learner **ret_learner, qn_error *err) QN_MUST_USE;

/* QN_ERR_USAGE when the learner is not of family "gbdt". Gains are not kept by node: 0. */
qn_status qn_trees_unpack(const qn_learner *learner, qn_trees *ret_trees, qn_error *err)
    QN_MUST_USE;

#endif
