#include "learn/gbdt.h"

#include <math.h>
#include <omp.h>
#include <string.h>

#include "base/limits.h"
#include "base/rng.h"
#include "learn/gbdt_divide_int.h"

enum { MANY_ROWS = 1 << 16 }; /* gradients do not fit the second-level cache */

/* Everything one fit holds. */
typedef struct fit {
    const qn_gbdt_params *params;
    const qn_fit_input *input;
    const qn_job *job;
    const qn__objective *objective;
    qn__objective_data data, valid;
    double *weight, *valid_y;     /* owned; weight NULL: all 1 */
    qn__queries *queries, *valid_queries; /* owned; of a ranking */
    qn__bin_map map;
    qn__bins bins, valid_bins;
    qn__quantised q;
    int32_t *gh;                  /* owned; n: gradients as integers; NULL: they are in the rows of bins */
    float *g, *h;                 /* owned; [n_outputs][n]; at_once: room for a list in g, h NULL */
    uint32_t *scratch;            /* owned; n: of one-side sampling */
    qn__range *range;             /* owned; of g and h, by output: of all rows, then of each block */
    double *score, *valid_score;  /* owned; [n_outputs][n] */
    double *valid_raw;            /* owned; [n][n_outputs], for input->loss */
    bool goss, from_average;
    bool at_once;                 /* gradients are rounded as they are found */
    float most_weight;
    qn__custom custom;            /* for input->gradients */
    uint32_t *bag;                /* owned; rows of the bag, then the others */
    int64_t n_bag;                /* data.n: all */
    bool *feature_used;           /* owned */
    qn__gain_log gains;
    double *gain;                 /* owned; per column: of the rounds kept */
    qn__stopping stopping;
    uint64_t *column_bins;        /* owned */
    qn__growth growth;
    bool has_dart;
    qn__dart dart;
    qn__grower *grower;
    qn__model_builder builder;
    qn__watch watch;
    int32_t first_round;          /* rounds of the model that this one goes on from */
} fit;

/* What is kept for every row, and histograms. */
static void forget_rows(fit *f) {
    qn__grower_free(&f->grower);
    qn__bins_done(&f->bins);
    qn__bins_done(&f->valid_bins);
    qn_freep(&f->gh);
    qn_freep(&f->scratch);
    qn_freep(&f->g);
    qn_freep(&f->h);
    qn_freep(&f->score);
}

static void fit_done(fit *f) {
    forget_rows(f);
    qn_freep(&f->weight);
    qn__custom_done(&f->custom);
    qn__queries_free(&f->queries);
    qn__queries_free(&f->valid_queries);
    if (!f->input->bins)
        qn__bin_map_done(&f->map);
    qn_freep(&f->range);
    qn_freep(&f->valid_score);
    qn_freep(&f->valid_raw);
    qn_freep(&f->bag);
    qn_freep(&f->feature_used);
    qn__gain_log_done(&f->gains);
    qn_freep(&f->gain);
    qn__stopping_done(&f->stopping);
    qn_freep(&f->column_bins);
    qn__growth_done(&f->growth);
    qn__dart_done(&f->dart);
    qn__model_builder_done(&f->builder);
}

static qn_status check_rows(const fit *f, const qn_fit_data *data, qn_error *err) {
    const qn__objective *o = f->objective;
    for (int64_t i = 0; i < data->x->n_rows; i++) {
        double y = data->y[i];
        if (o->task == QN_TASK_REGRESSION) {
            qn_error why = {0};
            if (qn__objective_check_target(o, y, &why) != QN_OK)
                return qn_error_set_at(err, QN_ERR_DATA, NULL, i + 1, NULL, "%s", why.message);
        } else if (!(y >= 0 && y < f->input->n_classes && y == floor(y))) {
            return qn_error_set_at(err, QN_ERR_DATA, NULL, i + 1, NULL,
                                   "target %g is none of %d classes", y, (int)f->input->n_classes);
        }
        if (data->weight && !(data->weight[i] >= 0 && data->weight[i] < INFINITY))
            return qn_error_set_at(err, QN_ERR_DATA, NULL, i + 1, NULL,
                                   "weight %g is not a finite number of at least 0",
                                   data->weight[i]);
    }
    return QN_OK;
}

static qn_status check_input(fit *f, qn_error *err) {
    const qn_fit_input *in = f->input;
    QN_FAIL_IF(!in->train.x || !in->train.y || in->train.x->n_rows < 1, err, QN_ERR_DATA,
               "there are no rows to train on");
    QN_FAIL_IF(in->train.x->n_rows > INT32_MAX, err, QN_ERR_LIMIT,
               "gbdt trains on at most %d rows", INT32_MAX);
    QN_FAIL_IF(in->task == QN_TASK_MULTICLASS
                   && (in->n_classes < 2 || in->n_classes > QN_LIMIT_CLASSES),
               err, QN_ERR_USAGE, "multiclass needs 2 to %d classes, not %d", QN_LIMIT_CLASSES,
               in->n_classes);
    QN_FAIL_IF(in->task == QN_TASK_BINARY && in->n_classes != 2, err, QN_ERR_USAGE,
               "binary needs 2 classes, not %d", in->n_classes);
    QN_FAIL_IF(in->valid.x && (!in->valid.y || in->valid.x->n_features != in->train.x->n_features),
               err, QN_ERR_USAGE, "validation rows must have the features of the training rows");
    QN_FAIL_IF(strcmp(f->params->objective, "quantile") == 0 && f->params->alpha >= 1, err,
               QN_ERR_CONFIG, "alpha of quantile must be below 1, not %g", f->params->alpha);
    QN_TRY(qn__init_check(in, err));
    if (in->gradients)
        f->objective = qn__objective_custom(in->task);
    else
        QN_TRY(qn__objective_find(f->params->objective, in->task, in->train.query != NULL,
                                  &f->objective, err));
    QN_TRY(check_rows(f, &in->train, err));
    if (in->valid.x)
        QN_TRY(check_rows(f, &in->valid, err));
    if (in->from)
        QN_TRY(qn__warm_check(in->from, in, f->objective, err));
    QN_TRY(qn__rate_check(f->params, err));
    QN_TRY(qn__watch_init(&f->watch, f->params, in, err));
    return qn__sample_check(f->params, in->task, err);
}

static qn_status start_model(fit *f, qn_error *err) {
    int32_t n_k = f->data.n_outputs;
    qn__plain *m = &f->builder.plain;
    if (f->input->from) {
        QN_TRY(qn__warm_trees(f->input->from, &f->builder, f->gain, f->column_bins, err));
        f->first_round = m->n_trees / n_k;
    }
    enum { FIRST_NODES = 1 << 20 };
    double wanted = (double)(f->params->num_iterations * n_k) * 2 * (double)f->params->num_leaves;
    f->builder.first_nodes = wanted < FIRST_NODES ? (int64_t)wanted : FIRST_NODES;
    m->link = f->objective->link;
    m->n_outputs = n_k;
    m->n_features = f->input->train.x->n_features;
    if (!f->input->from)
        m->base = qn_new_array(double, n_k);
    if (!m->base)
        return qn_error_memory(err);
    for (int32_t i = 1; qn__objective_names[i]; i++)
        if (strcmp(qn__objective_names[i], f->objective->name) == 0)
            m->objective = i;
    QN_TRY(qn__init_take(f->input, m, err));
    /* As in LightGBM, whoever says where to start means it: trees learn the mean, too. What a loss of
     * the caller's own is least at is not known. */
    f->from_average = f->params->boost_from_average && !f->input->n_init && !f->input->gradients;
    if (f->from_average && !f->input->from)
        f->objective->init(&f->data, m->base);
    return QN_OK;
}

/* Where the rows' scores start, score[n_outputs][n_rows]. */
static void start_scores(const fit *f, const qn_matrix *x, double *score) {
    for (int32_t k = 0; k < f->data.n_outputs; k++)
        for (int64_t i = 0; i < x->n_rows; i++)
            score[k * x->n_rows + i] = f->builder.plain.base[k];
    qn__init_add(&f->builder.plain, x, x->n_rows, score);
}

/* Rows by queries, for objectives that need them. */
static qn_status make_queries(const fit *f, const qn_fit_data *data, qn__queries **ret_queries,
                              qn_error *err) {
    if (!f->objective->all_gradients)
        return QN_OK;
    QN_FAIL_IF(!data->query, err, QN_ERR_USAGE, "rows of a ranking must have queries");
    return qn__queries_new(f->params, data->y, data->query, data->x->n_rows, f->input->n_queries,
                           qn_job_threads(f->job), ret_queries, err);
}

static qn_status start_valid(fit *f, qn_error *err) {
    const qn_fit_data *valid = &f->input->valid;
    if (!valid->x)
        return QN_OK;
    int32_t n_k = f->data.n_outputs;
    f->valid = f->data;
    f->valid.y = valid->y;
    f->valid.w = valid->weight;
    f->valid.n = valid->x->n_rows;
    QN_TRY(make_queries(f, valid, &f->valid_queries, err));
    f->valid.queries = f->valid_queries;
    size_t cells;
    if (!qn_size_mul((size_t)f->valid.n, (size_t)n_k, &cells))
        return qn_error_memory(err);
    f->valid_score = qn_malloc_aligned(cells, sizeof(double));
    f->valid_raw = qn_malloc_aligned(cells, sizeof(double));
    if (!f->valid_score || !f->valid_raw)
        return qn_error_memory(err);
    start_scores(f, valid->x, f->valid_score);
    if (f->input->from)
        QN_TRY(qn__warm_scores(f->input->from, valid->x, f->data.n_threads, f->valid_score, err));
    QN_TRY(qn__stopping_init(&f->stopping, f->params, f->input, &f->valid, err));
    if (f->input->bins)
        return qn__bins_gather(f->input->bins, f->input->valid_rows, f->valid.n, QN__NO_COLUMNS,
                               f->job, &f->valid_bins, err);
    return qn__bins_fill(&f->map, valid->x, QN__NO_COLUMNS, f->job, &f->valid_bins, err);
}

/* Bins of the training rows, found here or shared with other fits. */
static qn_status start_bins(fit *f, qn_error *err) {
    const qn_fit_input *in = f->input;
    const qn_matrix *x = in->train.x;
    if (in->bins) {
        f->map = in->bins->map; /* borrowed */
        return qn__bins_gather(in->bins, in->train_rows, x->n_rows, QN__COLUMNS_THAT_PAY, f->job,
                               &f->bins, err);
    }
    qn__map_rows rows = {.x = x, .more = in->valid.x, .job = f->job, .input = in};
    QN_TRY(qn__bin_map_fit(f->params, &rows, in->seed, &f->map, err));
    QN_TRY(qn_job_check(f->job, err));
    return qn__bins_fill(&f->map, x, QN__COLUMNS_THAT_PAY, f->job, &f->bins, err);
}

/* Where the gradients are put once rounded. */
static qn_status place_gradients(fit *f, qn_error *err) {
    const size_t n = (size_t)f->data.n;
    f->q.gh = (qn__gradients){.at = f->bins.rows + f->bins.gh_at,
                              .stride = (size_t)f->bins.stride};
    if (f->bins.gh_at == 0) {
        f->gh = qn_malloc_aligned(n, sizeof *f->gh);
        f->q.gh = qn__gradients_in(f->gh);
    }
    if (f->goss)
        f->scratch = qn_malloc_aligned(n, sizeof *f->scratch);
    return f->q.gh.at && (f->scratch || !f->goss) ? QN_OK : qn_error_memory(err);
}

static qn_status start(fit *f, qn_error *err) {
    const qn_matrix *x = f->input->train.x;
    int64_t n = x->n_rows;
    int32_t n_k = f->input->task == QN_TASK_MULTICLASS ? f->input->n_classes : 1;
    QN_TRY(check_input(f, err));
    QN_TRY(qn__weights_make(f->params, &f->input->train, n, f->input->task, f->input->n_classes,
                            &f->weight, err));
    f->data = (qn__objective_data){.params = f->params, .y = f->input->train.y, .w = f->weight,
                                   .n = n, .n_outputs = n_k, .n_threads = qn_job_threads(f->job)};
    if (f->input->gradients)
        QN_TRY(qn__custom_init(&f->custom, n, n_k, err));
    QN_TRY(make_queries(f, &f->input->train, &f->queries, err));
    f->data.queries = f->queries;
    QN_TRY(start_bins(f, err));
    size_t cells;
    if (!qn_size_mul((size_t)n, (size_t)n_k, &cells))
        return qn_error_memory(err);
    f->goss = strcmp(f->params->data_sample_strategy, "goss") == 0;
    f->at_once = f->objective->most_g > 0 && !f->goss && n > MANY_ROWS;
    f->range = qn_new_array(qn__range, ((size_t)n / QN__GRADIENT_BLOCK + 2) * (size_t)n_k);
    f->g = qn_malloc_aligned(cells, sizeof *f->g);
    f->h = f->at_once ? NULL : qn_malloc_aligned(cells, sizeof *f->h);
    f->score = qn_malloc_aligned(cells, sizeof *f->score);
    f->gain = qn_new_array(double, x->n_features);
    f->column_bins = qn_new_array(uint64_t, x->n_features);
    f->feature_used = qn_new_array(bool, f->map.n_features);
    if (!f->range || !f->g || (!f->h && !f->at_once) || !f->score || !f->gain || !f->column_bins
        || !f->feature_used)
        return qn_error_memory(err);
    for (int32_t i = 0; i < f->map.n_features; i++)
        f->column_bins[f->map.features[i].column] = (uint64_t)f->map.features[i].n_values;
    QN_TRY(start_model(f, err));
    QN_TRY(start_valid(f, err));
    f->n_bag = n;
    if (qn__sample_any(f->params)) {
        f->bag = qn_malloc_aligned((size_t)n, sizeof *f->bag);
        if (!f->bag)
            return qn_error_memory(err);
    }
    start_scores(f, x, f->score);
    if (f->input->from)
        QN_TRY(qn__warm_scores(f->input->from, x, f->data.n_threads, f->score, err));
    QN_TRY(qn__growth_init(&f->growth, f->params, &f->map, x->features, x->n_features, n, err));
    if (f->input->from)
        qn__warm_costs(f->input->from, &f->map, &f->growth.costs);
    QN_FAIL_IF(f->growth.monotone && f->objective->renew_quantile, err, QN_ERR_CONFIG,
               "monotone_constraints do not go with objective %s, whose leaves hold quantiles",
               f->objective->name);
    QN_TRY(qn__grower_new(&f->growth, &f->map, &f->bins, f->job, &f->grower, err));
    QN_TRY(place_gradients(f, err));
    f->has_dart = strcmp(f->params->boosting, "dart") == 0;
    f->dart = (qn__dart){.params = f->params, .seed = f->input->seed};
    f->most_weight = 1;
    for (int64_t i = 0; f->weight && i < n; i++)
        f->most_weight = i == 0 || (float)f->weight[i] > f->most_weight ? (float)f->weight[i]
                                                                       : f->most_weight;
    return QN_OK;
}

/* ---- sampling ------------------------------------------------------------------------------ */

/* The rows of a round, whose gradients are there. One-side sampling starts, as LightGBM's, when
 * the gradients tell the rows apart: after 1 / learning_rate rounds. */
static qn_status draw_rows(fit *f, int64_t round, qn_error *err) {
    const qn_gbdt_params *p = f->params;
    bool first = round == 0;
    round += f->first_round;
    if (f->bag && !f->goss) { /* a bag lasts bagging_freq rounds */
        first |= round % p->bagging_freq == 0;
        round -= round % p->bagging_freq;
    }
    uint64_t seed = qn_rng_hash(f->input->seed ^ 0x6261670000000000u, (uint64_t)round);
    if (f->goss && (double)round >= 1 / p->learning_rate) {
        qn__goss_input in = {.params = p, .g = f->g, .h = f->h, .n = f->data.n,
                             .scratch = f->scratch, .n_outputs = f->data.n_outputs,
                             .seed = seed, .n_threads = f->data.n_threads};
        return qn__sample_goss(&in, f->bag, f->range, &f->n_bag, err);
    }
    if (f->bag && !f->goss && first)
        f->n_bag = qn__sample_bag(p, f->data.y, f->data.n, seed, f->bag);
    return QN_OK;
}

/* The features of one tree: the share with the smallest hashes. */
static const bool *draw_features(fit *f, uint64_t tree) {
    int32_t n = f->map.n_features;
    if (f->params->feature_fraction >= 1 || n < 2)
        return NULL;
    int32_t want = (int32_t)ceil(f->params->feature_fraction * n);
    want = want < 1 ? 1 : want;
    qn_rng rng;
    qn_rng_init_stream(&rng, f->input->seed ^ 0x6665617400000000u, tree);
    /* Selection sampling (Knuth 3.4.2 S): exactly `want` of n. */
    for (int32_t i = 0; i < n; i++) {
        f->feature_used[i] = qn_rng_uniform(&rng) * (double)(n - i) < (double)want;
        want -= f->feature_used[i];
    }
    return f->feature_used;
}

/* ---- leaf values --------------------------------------------------------------------------- */

static double newton(const fit *f, const qn__grown_node *leaf) {
    double g = (double)leaf->total.g * f->q.g_unit, h = (double)leaf->total.h * f->q.h_unit;
    double a = fmax(fabs(g) - f->params->lambda_l1, 0);
    return h + leaf->l2 > 0 ? copysign(a, -g) / (h + leaf->l2) : 0;
}

static qn_status set_values(fit *f, int64_t round, int32_t k, qn__grown_node *nodes,
                            int32_t n_nodes, qn_error *err) {
    int64_t n = f->data.n;
    double rate = f->has_dart ? f->dart.rate : qn__rate_of(f->params, round);
    bool renew = f->objective->renew_quantile != NULL;
    qn_cleanup(qn_freep) qn__residual *items = renew ? qn_malloc_aligned((size_t)n, sizeof *items)
                                                     : NULL;
    if (renew && !items)
        return qn_error_memory(err);
    if (renew)
        qn__grower_list_rows(f->grower);
    bool parallel = renew && 8 * n > QN__WORTH_THREADS;
#pragma omp parallel for schedule(dynamic, 8) num_threads(f->data.n_threads) if (parallel)
    for (int32_t i = 0; i < n_nodes; i++) {
        qn__grown_node *leaf = &nodes[i];
        if (leaf->split.feature >= 0)
            continue;
        double value = f->growth.ruled ? leaf->value : newton(f, leaf);
        value = qn__within_steps(f->objective->link, value);
        if (renew)
            value = qn__renewed(f->objective, &f->data, f->score + k * n, leaf->rows, leaf->n,
                                items + leaf->begin);
        leaf->value = isfinite(value) ? rate * value : 0;
    }
    return QN_OK;
}

/* The first of n ascending rows at or after `row`. */
static int64_t rows_before(const uint32_t *rows, int64_t n, int64_t row) {
    int64_t from = 0;
    while (n > 0) {
        int64_t half = n / 2;
        if (rows[from + half] < row) {
            from += half + 1;
            n -= half + 1;
        } else {
            n = half;
        }
    }
    return from;
}

/* What of a leaf its rows' scores need, close together. */
typedef struct own_rows {
    const uint64_t *set;  /* or else: */
    const uint32_t *rows; /* ascending */
    int64_t n;
    double value;
} own_rows;

/* At most two of a leaf, so n_nodes + 1. */
static int32_t list_leaves(const qn__grown_node *nodes, int32_t n_nodes, own_rows *leaves) {
    int32_t n = 0;
    for (int32_t i = 0; i < n_nodes; i++) {
        const qn__grown_node *leaf = &nodes[i];
        if (leaf->split.feature >= 0)
            continue;
        leaves[n++] = (own_rows){leaf->set, leaf->rows, leaf->set ? 0 : leaf->n_first, leaf->value};
        if (!leaf->set && leaf->n_first < leaf->n)
            leaves[n++] = (own_rows){NULL, leaf->rows + leaf->n_first, leaf->n - leaf->n_first,
                                     leaf->value};
    }
    return n;
}

/* Adds the leaf values to the scores of the rows that grew the tree, few rows at a time: their
 * scores stay in cache while all leaves have their turn. */
static qn_status score_own(const fit *f, const qn__grown_node *nodes, int32_t n_nodes,
                           double *score, qn_error *err) {
    enum { TASK = 1 << 16, BLOCK = 1 << 12 };
    int64_t n = f->data.n, n_tasks = (n + TASK - 1) / TASK;
    int n_threads = f->data.n_threads;
    const size_t most = (size_t)n_nodes + 1;
    qn_cleanup(qn_freep) own_rows *leaves = qn_malloc_aligned(most, sizeof *leaves);
    qn_cleanup(qn_freep) int64_t *all_next = qn_new_array(int64_t, most * (size_t)n_threads);
    if (!leaves || !all_next)
        return qn_error_memory(err);
    int32_t n_leaves = list_leaves(nodes, n_nodes, leaves);
#pragma omp parallel for schedule(static) num_threads(n_threads) if (2 * n > QN__WORTH_THREADS)
    for (int64_t task = 0; task < n_tasks; task++) {
        int64_t first = task * TASK, end = first + TASK < n ? first + TASK : n;
        int64_t *next = all_next + (size_t)omp_get_thread_num() * most;
        for (int32_t i = 0; i < n_leaves; i++)
            next[i] = rows_before(leaves[i].rows, leaves[i].n, first);
        for (int64_t last = first + BLOCK; first < end; first = last, last += BLOCK)
            for (int32_t i = 0; i < n_leaves; i++) {
                const uint32_t *own = leaves[i].rows;
                double value = leaves[i].value;
                int64_t r = next[i];
                if (leaves[i].set)
                    qn__dense_add(leaves[i].set, first, last < end ? last : end, value, score);
                for (; r < leaves[i].n && own[r] < last; r++)
                    score[own[r]] += value;
                next[i] = r;
            }
    }
    return QN_OK;
}

/* score += times * value of the leaf, of the given rows (NULL: all). */
static void score_others(const fit *f, const qn__grown_node *nodes, const qn__bins *bins,
                         const uint32_t *rows, int64_t n, double times, double *score) {
#pragma omp parallel for schedule(static) num_threads(f->data.n_threads) if (16 * n > QN__WORTH_THREADS)
    for (int64_t i = 0; i < n; i++) {
        int64_t row = rows ? rows[i] : i;
        score[row] += times * nodes[qn__grown_leaf(nodes, &f->map, bins, row)].value;
    }
}

/* Takes the dropped rounds out of the scores of the training rows, or puts them back with what is
 * left of their weight; validation rows then lose the rest. */
static void score_dropped(const fit *f, bool back) {
    const qn__dart *dart = &f->dart;
    int32_t n_k = f->data.n_outputs;
    for (int32_t d = 0; f->has_dart && d < dart->n_dropped; d++)
        for (int32_t k = 0; k < n_k; k++) {
            const qn__grown_node *nodes = dart->trees[dart->dropped[d] * n_k + k].nodes;
            double scale = dart->scale[dart->dropped[d]];
            score_others(f, nodes, &f->bins, NULL, f->data.n, back ? scale * dart->keeps : -scale,
                         f->score + k * f->data.n);
            if (back && f->valid_score)
                score_others(f, nodes, &f->valid_bins, NULL, f->valid.n,
                             scale * (dart->keeps - 1), f->valid_score + k * f->valid.n);
        }
}

/* ---- rounds -------------------------------------------------------------------------------- */

/* Gradients of all rows, and how large they get while they are in cache. */
static qn_status find_gradients(fit *f, int64_t round, qn_error *err) {
    int64_t n = f->data.n, size = QN__GRADIENT_BLOCK, n_blocks = (n + size - 1) / size;
    int32_t n_k = f->data.n_outputs;
    if (f->input->gradients)
        QN_TRY(qn__custom_gradients(&f->custom, f->input, &f->data, f->score, round, f->g, f->h,
                                    err));
    else if (f->objective->all_gradients)
        f->objective->all_gradients(&f->data, f->score, f->g, f->h);
    /* Static, so that a block of scores stays with the thread, and its cache, from round to round. */
#pragma omp parallel for schedule(static) num_threads(f->data.n_threads) if (4 * n * n_k > QN__WORTH_THREADS)
    for (int64_t b = 0; b < n_blocks; b++) {
        int64_t first = b * size, here = n - first < size ? n - first : size;
        if (f->objective->gradients)
            f->objective->gradients(&f->data, f->score, first, here, f->g, f->h);
        for (int32_t k = 0; k < n_k; k++) {
            qn__range *range = &f->range[n_k + b * n_k + k];
            *range = (qn__range){0};
            qn__range_add(range, f->g + k * n + first, f->h + k * n + first, here);
        }
    }
    memset(f->range, 0, (size_t)n_k * sizeof *f->range);
    for (int64_t i = 0; i < n_blocks * n_k; i++) /* in order: sums of doubles depend on it */
        qn__range_join(&f->range[i % n_k], &f->range[n_k + i]);
    return QN_OK;
}

static uint64_t tree_number(const fit *f, int64_t round, int32_t k) {
    return (uint64_t)(round + f->first_round) * (uint64_t)f->data.n_outputs + (uint64_t)k;
}

/* Gradients of rows first .. first + n - 1 of the only output, as an objective of one output sees
 * them. */
static void gradients_of(const fit *f, int64_t first, int64_t n, float *g, float *h) {
    qn__objective_data some = f->data;
    some.y += first;
    some.w = some.w ? some.w + first : NULL;
    some.n = n;
    f->objective->gradients(&some, f->score + first, 0, n, g, h);
}

/* About how large they are, by every 16th block: units have to suit the mean, and the bounds are
 * known. */
static qn__range estimate_range(const fit *f) {
    enum { EVERY = 16 };
    const int64_t n = f->data.n, size = QN__GRADIENT_BLOCK, n_blocks = n / size / EVERY;
#pragma omp parallel for schedule(static) num_threads(f->data.n_threads)
    for (int64_t b = 0; b < n_blocks; b++) {
        float g[QN__GRADIENT_BLOCK], h[QN__GRADIENT_BLOCK];
        gradients_of(f, b * EVERY * size, size, g, h);
        f->range[b] = (qn__range){0};
        qn__range_add(&f->range[b], g, h, size);
    }
    qn__range all = {0};
    for (int64_t b = 0; b < n_blocks; b++) /* in order: sums of doubles depend on it */
        qn__range_join(&all, &f->range[b]);
    double times = (double)n / (double)(n_blocks * size);
    return (qn__range){.g = f->objective->most_g * f->most_weight,
                       .h = f->objective->most_h * f->most_weight,
                       .sum_g = all.sum_g * times, .sum_h = all.sum_h * times};
}

/* Gradients rounded to integers while they are in cache, and nowhere else. */
static void find_quantised(fit *f, int64_t round) {
    const int64_t n = f->data.n, size = QN__GRADIENT_BLOCK, n_blocks = (n + size - 1) / size;
    uint64_t seed = qn_rng_hash(f->input->seed, tree_number(f, round, 0));
    qn__quantise_units(estimate_range(f), n, &f->q);
    do {
        int64_t sum_g = 0, sum_h = 0;
#pragma omp parallel for schedule(static) num_threads(f->data.n_threads) reduction(+ : sum_g, sum_h)
        for (int64_t b = 0; b < n_blocks; b++) {
            float g[QN__GRADIENT_BLOCK], h[QN__GRADIENT_BLOCK];
            int64_t first = b * size, here = n - first < size ? n - first : size;
            gradients_of(f, first, here, g, h);
            qn__quantise_some(g, h, first, (int32_t)here, seed, &f->q, &sum_g, &sum_h);
        }
        f->q.total = (qn__sum){.g = sum_g, .h = sum_h, .n = n};
    } while (qn__quantise_again(&f->q));
}

static qn_status grow_tree(fit *f, int64_t round, int32_t k, bool *ret_grew, qn_error *err) {
    int64_t n = f->data.n;
    uint64_t tree = tree_number(f, round, k);
    if (!f->at_once)
        qn__quantise(f->g + k * n, f->h + k * n, n, f->range[k], qn_rng_hash(f->input->seed, tree),
                     f->data.n_threads, &f->q);
    const uint32_t *rows = f->n_bag < n ? f->bag : NULL;
    /* Once rounded, the gradients are not needed any more. */
    uint32_t *list = (uint32_t *)(void *)(f->g + k * n);
    f->growth.key = qn_rng_hash(f->input->seed ^ 0x67726f7700000000u, tree);
    QN_TRY(qn__grower_run(f->grower, &f->q, rows, f->n_bag, draw_features(f, tree), list, err));
    int32_t n_nodes;
    qn__grown_node *nodes = qn__grower_nodes(f->grower, &n_nodes);
    *ret_grew |= n_nodes > 1;
    /* Without a split there is nothing to learn from but the mean, which the base score holds; the
     * median of the residuals is new. */
    if (n_nodes > 1 || f->objective->renew_quantile || !f->from_average)
        QN_TRY(set_values(f, round, k, nodes, n_nodes, err));
    else
        nodes[0].value = 0;
    QN_TRY(score_own(f, nodes, n_nodes, f->score + k * n, err));
    if (rows)
        score_others(f, nodes, &f->bins, f->bag + f->n_bag, n - f->n_bag, 1, f->score + k * n);
    if (f->valid_score)
        score_others(f, nodes, &f->valid_bins, NULL, f->valid.n, 1,
                     f->valid_score + k * f->valid.n);
    if (f->has_dart)
        QN_TRY(qn__dart_keep(&f->dart, nodes, n_nodes, err));
    for (int32_t i = 0; i < n_nodes; i++)
        if (nodes[i].split.feature >= 0)
            QN_TRY(qn__gain_log_add(&f->gains, round,
                                    f->map.features[nodes[i].split.feature].column,
                                    nodes[i].split.gain, err));
    return qn__model_add(&f->builder, &f->map, nodes, n_nodes, err);
}

/* values[n_metrics, or 1]; without[n_stretches]: the same without each stretch of time, when there
 * are any. */
static void measure_valid(fit *f, double *values, double *without) {
    bool stretches = f->stopping.n_stretches > 0;
    bool given = f->input->loss || f->input->n_metrics > 0;
    if (!given && stretches)
        values[0] = qn__stopping_loss(&f->stopping, f->objective, &f->valid, f->valid_score,
                                      without);
    else if (!given)
        values[0] = f->objective->loss(&f->valid, f->valid_score);
    if (!given)
        return;
    int32_t n_k = f->valid.n_outputs;
    for (int64_t i = 0; i < f->valid.n; i++)
        for (int32_t k = 0; k < n_k; k++)
            f->valid_raw[i * n_k + k] = f->valid_score[k * f->valid.n + i];
    if (f->input->n_metrics > 0) {
        qn_link_apply(f->objective->link, f->valid_raw, f->valid.n, n_k);
        f->input->measure(f->input->user, f->valid_raw, values);
    } else {
        values[0] = f->input->loss(f->input->user, f->objective->link, f->valid_raw,
                                   stretches ? without : NULL);
    }
}

/* Measures the round and tells of it; *ret_stop when it is time to stop. */
static qn_status end_round(fit *f, int64_t round, bool *ret_stop, qn_error *err) {
    char note[160] = "";
    double values[QN_FIT_METRICS_MAX], without[QN__STRETCHES_MAX];
    int64_t patience = f->params->early_stopping_round;
    if (f->valid_score) {
        measure_valid(f, values, without);
        if (f->stopping.n_stretches > 0)
            QN_TRY(qn__stopping_add(&f->stopping, values[0], without, err));
        *ret_stop = qn__watch_round(&f->watch, round, values);
        qn__watch_note(&f->watch, round, note, sizeof note);
    }
    /* Early stopping makes the end unknown: no share of the rounds is claimed then. */
    double total = patience > 0 && f->valid_score ? 0 : (double)f->params->num_iterations;
    qn_job_progress(f->job, "train gbdt", (double)(round + 1), total, note[0] ? note : NULL);
    return QN_OK;
}

static qn_status boost_rounds(fit *f, qn_error *err) {
    double started = qn_now_s();
    const qn_job_stop *by_hand = f->job ? f->job->stop : NULL;
    bool asked_before = by_hand && by_hand->asked; /* of another fit */
    bool sampled = f->bag || f->params->feature_fraction < 1
                   || f->params->feature_fraction_bynode < 1 || f->params->extra_trees
                   || f->has_dart;
    for (int64_t round = 0; round < f->params->num_iterations; round++) {
        QN_TRY(qn_job_check(f->job, err));
        if (f->has_dart)
            QN_TRY(qn__dart_begin(&f->dart, err));
        score_dropped(f, false);
        if (f->at_once)
            find_quantised(f, round);
        else
            QN_TRY(find_gradients(f, round, err));
        QN_TRY(draw_rows(f, round, err));
        bool grew = false;
        for (int32_t k = 0; k < f->data.n_outputs; k++)
            QN_TRY(grow_tree(f, round, k, &grew, err));
        score_dropped(f, true);
        if (f->has_dart)
            qn__dart_end(&f->dart);
        bool stop = false;
        QN_TRY(end_round(f, round, &stop, err));
        bool late = f->job && f->job->budget_s > 0 && qn_now_s() - started > f->job->budget_s;
        bool asked = by_hand && by_hand->asked && !asked_before;
        if (stop || late || asked || (!grew && !sampled))
            break;
    }
    return QN_OK;
}

/* While it lasts a wish to stop is heeded: the rounds so far are a model. */
static qn_status boost(fit *f, qn_error *err) {
    qn_job_stop *by_hand = f->job ? f->job->stop : NULL;
    if (by_hand)
        by_hand->possible = 1;
    qn_status status = boost_rounds(f, err);
    if (by_hand)
        by_hand->possible = 0;
    return status;
}

/* The values of the trees kept, as they were when the last of them was grown. */
static qn_status scale_trees(fit *f, int32_t n_rounds, qn_error *err) {
    qn__plain *m = &f->builder.plain;
    if (!f->has_dart)
        return QN_OK;
    QN_TRY(qn__dart_replay(&f->dart, n_rounds, err));
    for (int32_t t = 0; t < n_rounds * f->data.n_outputs; t++) {
        const int64_t *start = m->start + t + f->first_round * f->data.n_outputs;
        for (int64_t i = start[0]; i < start[1]; i++)
            if (m->nodes[i].slot_flags & QN__NODE_LEAF)
                m->nodes[i].value *= f->dart.scale[t / f->data.n_outputs];
    }
    return QN_OK;
}

qn_status qn__gbdt_fit(const void *params, const qn_fit_input *input, const qn_job *job,
                       qn_learner **ret_learner, qn_error *err) {
    qn_cleanup(fit_done) fit f = {.params = params, .input = input, .job = job};
    QN_TRY(start(&f, err));
    QN_TRY(boost(&f, err));
    forget_rows(&f); /* their memory serves to pack the model */
    qn__plain *m = &f.builder.plain;
    int32_t n_k = f.data.n_outputs;
    int32_t rounds = m->n_trees / n_k - f.first_round; /* of this training */
    int32_t best_round = qn__watch_best(&f.watch);
    if (f.params->early_stopping_round > 0 && best_round > 0)
        rounds = best_round;
    if (f.stopping.n_stretches > 0)
        rounds = qn__stopping_pick(&f.stopping, best_round, f.params->early_stopping_round,
                                   f.params->early_stopping_se);
    m->best_iteration = f.first_round + rounds;
    QN_TRY(scale_trees(&f, rounds, err));
    qn__gain_log_sum(&f.gains, rounds, f.gain);
    return qn__model_finish(&f.builder, m->best_iteration * n_k, f.gain, f.column_bins,
                            input->train.x->features, ret_learner, err);
}
