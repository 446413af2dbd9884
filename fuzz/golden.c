#include "golden.h"

#include "fuzz.h"

static const char *const names[N_GOLDEN] = {"v1_gbdt_binary",       "v1_gbdt_multiclass",
                                            "v1_linear_binary",     "v1_linear_regression",
                                            "v1_prior_regression", "v1_stump_multiclass"};

const char *golden_folder(void) {
    return GOLDEN_FOLDER;
}

const char *golden_name(int i) {
    return names[i];
}

char *golden_path(int i) {
    return qn_format("%s/%s.qn", GOLDEN_FOLDER, names[i]);
}
