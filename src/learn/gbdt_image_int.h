/* gbdt_image_int.h - where the arrays of a packed model lie, for the one that writes them and the
 * one that checks them. docs/FORMAT.md specifies the bytes. */
#ifndef QN_LEARN_GBDT_IMAGE_INT_H
#define QN_LEARN_GBDT_IMAGE_INT_H

#include "learn/gbdt_model_int.h"

enum {
    QN__GBDT_VERSION = 2,
    QN__GBDT_CODED_VERSION = 3, /* leaves are codes */
    QN__GBDT_INIT_VERSION = 4,  /* leaves in any form, and initial scores of several outputs */
    QN__IMAGE_ALIGN = 64,
};

/* The first bytes of the image, as they are in the file. */
typedef struct qn__image_header {
    uint32_t version, link, n_outputs, n_features, objective, best_iteration, n_trees, n_slots;
    uint32_t n_keys, n_number_keys, side_bits; /* side_bits 0: nodes of 64 bits */
    uint32_t init_column; /* of one output: 1 + the feature added to the raw score; 0: none */
    uint64_t n_cuts, n_answers, n_nodes;
    uint32_t leaf_form, zero;
    uint64_t zeros[6];
} qn__image_header;

_Static_assert(sizeof(qn__image_header) == 2 * QN__IMAGE_ALIGN, "the header is two units");
_Static_assert(sizeof(qn__gbdt_key) == 24, "keys have no gaps");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "packed models are little-endian");

/* Fills the model's fields from the header at `image` and points its arrays behind it, each at the
 * next multiple of 64; the bytes of all. 0 when the counts are beyond every limit. */
size_t qn__image_layout(const unsigned char *image, const qn__image_header *header, qn__gbdt *m);

/* Bits of a side in nodes of 32 bits. */
uint32_t qn__side_bits(uint32_t n_keys);
/* The number of the `n` ascending cuts that are below x; NaN: 0. */
uint32_t qn__cuts_below(const double *cuts, uint32_t n, double x);

#endif
