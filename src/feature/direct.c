/* direct.c - which features are inputs as they are. */
#include "feature/feature_int.h"
#include "feature/transforms_int.h"

/* No transform, or only such as pass the number on. */
static bool passes_numbers(const qn__chain *chain) {
    if (chain->kinds[0] != QN__NUMBER)
        return false;
    for (int32_t k = 0; k < chain->n_nodes; k++)
        if (chain->nodes[k].state->transform != &qn__transform_number)
            return false;
    return true;
}

static bool gives_codes(const qn__chain *chain) {
    return chain->n_nodes == 1 && chain->nodes[0].state->transform == &qn__transform_category;
}

bool qn_pipeline_direct(const qn_pipeline *pipeline, qn_direct *ret_direct) {
    bool all = true;
    for (int32_t f = 0; f < pipeline->n_features; f++)
        ret_direct[f] = (qn_direct){.i_input = -1};
    for (int32_t c = 0; c < pipeline->n_chains; c++) {
        const qn__chain *chain = &pipeline->chains[c];
        const bool codes = chain->n_inputs == 1 && gives_codes(chain);
        if (chain->n_features == 0)
            continue;
        if (!codes && (chain->n_inputs != 1 || !passes_numbers(chain))) {
            all = false;
            continue;
        }
        const qn__seen *seen = &pipeline->seen[chain->inputs[0]];
        const qn__state *state = codes ? chain->nodes[0].state : NULL;
        ret_direct[chain->i_feature] = (qn_direct){.i_input = chain->inputs[0],
                                                   .codes = codes ? state->transform->dict(state)
                                                                  : NULL,
                                                   .low = seen->low,
                                                   .high = seen->high};
    }
    return all;
}
