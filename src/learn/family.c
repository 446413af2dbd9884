#include "learn/family_int.h"

#include <string.h>

#include "base/text.h"

enum { N_FAMILIES = 4 };

static const qn_family *const families[N_FAMILIES + 1] = {
    &qn__family_gbdt,
    &qn__family_linear,
    &qn__family_stump,
    &qn__family_prior,
    NULL,
};

const qn_family *const *qn_families(void) {
    return families;
}

qn_status qn_family_find(const char *name, const qn_family **ret_family, qn_error *err) {
    const char *names[N_FAMILIES];
    for (size_t i = 0; i < N_FAMILIES; i++) {
        names[i] = families[i]->name;
        if (strcmp(names[i], name) == 0) {
            *ret_family = families[i];
            return QN_OK;
        }
    }
    const char *near = qn_text_nearest(name, names, N_FAMILIES);
    if (near)
        return qn_error_set(err, QN_ERR_CONFIG,
                            "unknown family of models '%s': did you mean '%s'?", name, near);
    return qn_error_set(err, QN_ERR_CONFIG,
                        "unknown family of models '%s': there are gbdt, linear, stump and prior",
                        name);
}
