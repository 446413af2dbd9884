/* The learning rate of each round: constant, or on its way from learning_rate to learning_rate_end,
 * with t from 0 (the first round) to 1 (round learning_rate_rounds):
 *
 *     linear        a + (b - a) t
 *     cosine        b + (a - b) (1 + cos(pi t)) / 2     Loshchilov and Hutter 2017, without restarts
 *     exponential   a (b / a)^t
 *
 * or as listed, round by round. */
#include <math.h>
#include <string.h>

#include "base/text.h"
#include "learn/gbdt_int.h"

static double listed(const json_t *rates, size_t i) {
    const json_t *value = json_array_get(rates, i);
    double x = (double)NAN;
    if (json_is_number(value))
        return json_number_value(value);
    bool is_number = json_is_string(value) && qn_text_to_double(json_string_value(value), &x);
    return is_number ? x : (double)NAN;
}

qn_status qn__rate_check(const qn_gbdt_params *p, qn_error *err) {
    QN_FAIL_IF(strcmp(p->learning_rate_schedule, "exponential") == 0 && p->learning_rate_end <= 0,
               err, QN_ERR_CONFIG,
               "learning_rate_schedule exponential needs a learning_rate_end above 0");
    if (!p->learning_rates)
        return QN_OK;
    QN_FAIL_IF(!json_is_array(p->learning_rates) || json_array_size(p->learning_rates) == 0, err,
               QN_ERR_CONFIG, "learning_rates must be a list of numbers, one for each round");
    for (size_t i = 0; i < json_array_size(p->learning_rates); i++) {
        double rate = listed(p->learning_rates, i);
        QN_FAIL_IF(!(rate > 0 && rate <= 100), err, QN_ERR_CONFIG,
                   "learning_rates: number %zu must be above 0 and at most 100", i + 1);
    }
    return QN_OK;
}

double qn__rate_of(const qn_gbdt_params *p, int64_t round) {
    double a = p->learning_rate, b = p->learning_rate_end;
    if (p->learning_rates) {
        size_t n = json_array_size(p->learning_rates);
        return listed(p->learning_rates, (size_t)round < n ? (size_t)round : n - 1);
    }
    if (strcmp(p->learning_rate_schedule, "constant") == 0)
        return a;
    int64_t n = p->learning_rate_rounds > 0 ? p->learning_rate_rounds : p->num_iterations;
    double t = n > 1 ? fmin((double)round / (double)(n - 1), 1) : 0;
    if (strcmp(p->learning_rate_schedule, "linear") == 0)
        return a + (b - a) * t;
    if (strcmp(p->learning_rate_schedule, "cosine") == 0)
        return b + (a - b) * (1 + cos(M_PI * t)) / 2;
    return a * pow(b / a, t);
}
