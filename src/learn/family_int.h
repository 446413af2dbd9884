/* family_int.h - every family's table of functions, each defined in the family's own file and
 * listed once in family.c. */
#ifndef QN_LEARN_FAMILY_INT_H
#define QN_LEARN_FAMILY_INT_H

#include "learn/learner.h"

extern const qn_family qn__family_gbdt;   /* gbdt.c */
extern const qn_family qn__family_linear; /* linear.c */
extern const qn_family qn__family_prior;  /* baseline.c */
extern const qn_family qn__family_stump;  /* baseline.c */

/* The link a task has by nature: identity, logit or softmax. */
qn_link qn__link_of(qn_task task);

#endif
