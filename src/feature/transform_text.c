/* transform_text.c - text as hashed n-grams weighted by tf-idf (sparse), and as a few plain
 * numbers.
 *
 * Every n-gram is hashed into one of n_buckets; of the buckets met in training those in at least
 * min_count rows are kept, the most frequent first, at most n_features. Weights are those of
 * scikit-learn's TfidfTransformer: (sublinear) count times log((1 + n) / (1 + df)) + 1, each row
 * scaled to length 1. */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "feature/tokens.h"
#include "feature/transforms_int.h"

typedef struct text_params {
    const char *analyser;
    int64_t ngram_min, ngram_max, n_features, n_buckets, min_count;
    double max_share;
    bool sublinear, idf, normalise;
} text_params;

static const char *const analysers[] = {"word", "char", NULL};
static const qn_param text_table[] = {
    {.name = "analyser",
     .aliases = "analyzer",
     .kind = QN_PARAM_CHOICE,
     .offset = offsetof(text_params, analyser),
     .choices = analysers,
     .preset = 0,
     .help = "n-grams of words or of characters"},
    {.name = "ngram_min",
     .kind = QN_PARAM_INT,
     .offset = offsetof(text_params, ngram_min),
     .low = 1,
     .high = 8,
     .preset = 1,
     .help = "shortest n-gram"},
    {.name = "ngram_max",
     .kind = QN_PARAM_INT,
     .offset = offsetof(text_params, ngram_max),
     .low = 1,
     .high = 8,
     .preset = 1,
     .help = "longest n-gram"},
    {.name = "n_features",
     .aliases = "max_features",
     .kind = QN_PARAM_INT,
     .offset = offsetof(text_params, n_features),
     .low = 1,
     .high = 1 << 20,
     .preset = 10000,
     .help = "columns at most: the n-grams in the most training rows"},
    {.name = "n_buckets",
     .kind = QN_PARAM_INT,
     .offset = offsetof(text_params, n_buckets),
     .low = 1,
     .high = 1 << 24,
     .preset = 1 << 20,
     .help = "hash space; n-grams of one bucket share a column"},
    {.name = "min_count",
     .aliases = "min_df",
     .kind = QN_PARAM_INT,
     .offset = offsetof(text_params, min_count),
     .low = 1,
     .high = 1e15,
     .preset = 2,
     .help = "n-grams in fewer training rows are left out"},
    {.name = "max_share",
     .aliases = "max_df",
     .kind = QN_PARAM_REAL,
     .offset = offsetof(text_params, max_share),
     .low = 0,
     .high = 1,
     .preset = 1,
     .help = "n-grams in a larger share of the training rows are left out"},
    {.name = "sublinear",
     .aliases = "sublinear_tf",
     .kind = QN_PARAM_BOOL,
     .offset = offsetof(text_params, sublinear),
     .preset = 0,
     .help = "count as 1 + log(count)"},
    {.name = "idf",
     .aliases = "use_idf",
     .kind = QN_PARAM_BOOL,
     .offset = offsetof(text_params, idf),
     .preset = 1,
     .help = "weigh by rarity"},
    {.name = "normalise",
     .aliases = "normalize norm",
     .kind = QN_PARAM_BOOL,
     .offset = offsetof(text_params, normalise),
     .preset = 1,
     .help = "scale every row to length 1"},
};

typedef struct text_state {
    qn__state base;
    int32_t n;
    int32_t *bucket;  /* owned; ascending */
    double *idf;      /* owned */
    qn_dict *terms;   /* owned; for names: the first n-gram met of each bucket */
    int32_t *table;   /* owned; open addressing by bucket: feature + 1, 0 empty; rebuilt, not saved */
    uint32_t mask;
} text_state;

/* The buckets of one row's n-grams, with room to grow. */
typedef struct row_grams {
    qn__tokens tokens;
    int32_t *bucket; /* owned */
    int64_t *gram;   /* owned; where each begins and ends in the token text: begin << 32 | bytes */
    int64_t n, cap;
} row_grams;

static void row_grams_done(row_grams *row) {
    qn__tokens_done(&row->tokens);
    qn_freep(&row->bucket);
    qn_freep(&row->gram);
}

static bool is_char(const text_params *p) {
    return strcmp(p->analyser, "char") == 0;
}

/* All n-grams of row i, in order of length and place. */
static qn_status read_row(const text_params *p, const qn__values *in, int64_t i, row_grams *row,
                          qn_error *err) {
    size_t bytes = 0;
    const char *text = qn__value_text(in, i, &bytes);
    QN_TRY(is_char(p) ? qn__tokens_chars(&row->tokens, text, bytes, err)
                      : qn__tokens_words(&row->tokens, text, bytes, err));
    const qn__tokens *t = &row->tokens;
    int64_t most = (p->ngram_max - p->ngram_min + 1) * t->n;
    if (most > row->cap) {
        size_t cap = (size_t)most * 2;
        int32_t *bucket = qn_realloc(row->bucket, cap, sizeof *bucket);
        row->bucket = bucket ? bucket : row->bucket;
        int64_t *gram = qn_realloc(row->gram, cap, sizeof *gram);
        row->gram = gram ? gram : row->gram;
        if (!bucket || !gram)
            return qn_error_memory(err);
        row->cap = (int64_t)cap;
    }
    row->n = 0;
    for (int64_t n = p->ngram_min; n <= p->ngram_max; n++)
        for (int64_t k = 0; k + n <= t->n; k++) {
            int64_t begin = t->begin[k], len = t->end[k + n - 1] - begin;
            uint64_t hash = qn_hash64(t->text.data + begin, (size_t)len, (uint64_t)is_char(p));
            row->bucket[row->n] = (int32_t)(hash % (uint64_t)p->n_buckets);
            row->gram[row->n++] = begin << 32 | len;
        }
    return QN_OK;
}

static int compare_i32(const void *a, const void *b) {
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

static uint32_t slot_of(int32_t bucket, uint32_t mask) {
    return (uint32_t)bucket * 2654435769u >> 7 & mask;
}

static qn_status text_index(text_state *s, qn_error *err) {
    uint32_t size = 16;
    while (size < 2 * (uint32_t)s->n)
        size *= 2;
    s->mask = size - 1;
    s->table = qn_new_array(int32_t, size);
    if (!s->table)
        return qn_error_memory(err);
    for (int32_t f = 0; f < s->n; f++) {
        uint32_t slot = slot_of(s->bucket[f], s->mask);
        while (s->table[slot])
            slot = (slot + 1) & s->mask;
        s->table[slot] = f + 1;
    }
    return QN_OK;
}

static int32_t text_find(const text_state *s, int32_t bucket) {
    for (uint32_t slot = slot_of(bucket, s->mask); s->table[slot]; slot = (slot + 1) & s->mask)
        if (s->bucket[s->table[slot] - 1] == bucket)
            return s->table[slot] - 1;
    return -1;
}

typedef struct bucket_count {
    int32_t bucket;
    int64_t rows;
} bucket_count;

static int compare_buckets(const void *a, const void *b) {
    const bucket_count *x = a, *y = b;
    if (x->rows != y->rows)
        return x->rows > y->rows ? -1 : 1;
    return (x->bucket > y->bucket) - (x->bucket < y->bucket);
}

/* Document frequency of every bucket. */
static qn_status count_rows(const text_params *p, const qn__values *in, int32_t *rows,
                            qn_error *err) {
    qn_cleanup(row_grams_done) row_grams row = {0};
    qn_cleanup(qn_freep) int32_t *last = qn_new_array(int32_t, p->n_buckets); /* last row + 1 that had it */
    QN_FAIL_IF(in->n_rows >= INT32_MAX, err, QN_ERR_LIMIT, "too many rows for text: %lld",
               (long long)in->n_rows);
    if (!last)
        return qn_error_memory(err);
    for (int64_t i = 0; i < in->n_rows; i++) {
        QN_TRY(read_row(p, in, i, &row, err));
        for (int64_t k = 0; k < row.n; k++) {
            int32_t b = row.bucket[k];
            rows[b] += last[b] != (int32_t)(i + 1);
            last[b] = (int32_t)(i + 1);
        }
    }
    return QN_OK;
}

static qn_status choose_buckets(text_state *s, const int32_t *rows, int64_t n_rows, qn_error *err) {
    const text_params *p = s->base.params;
    double most = p->max_share * (double)n_rows;
    int64_t n = 0;
    for (int64_t b = 0; b < p->n_buckets; b++)
        n += rows[b] >= p->min_count && rows[b] <= most;
    qn_cleanup(qn_freep) bucket_count *counts = qn_new_array(bucket_count, n);
    if (!counts)
        return qn_error_memory(err);
    n = 0;
    for (int64_t b = 0; b < p->n_buckets; b++)
        if (rows[b] >= p->min_count && rows[b] <= most)
            counts[n++] = (bucket_count){.bucket = (int32_t)b, .rows = rows[b]};
    qsort(counts, (size_t)n, sizeof *counts, compare_buckets);
    s->n = (int32_t)(n < p->n_features ? n : p->n_features);
    s->bucket = qn_new_array(int32_t, s->n);
    s->idf = qn_new_array(double, s->n);
    if (!s->bucket || !s->idf)
        return qn_error_memory(err);
    for (int32_t f = 0; f < s->n; f++)
        s->bucket[f] = counts[f].bucket;
    qsort(s->bucket, (size_t)s->n, sizeof *s->bucket, compare_i32);
    for (int32_t f = 0; f < s->n; f++)
        s->idf[f] = p->idf ? log((1 + (double)n_rows) / (1 + (double)rows[s->bucket[f]])) + 1 : 1;
    return text_index(s, err);
}

/* What each column is called: the first n-gram met in its bucket. */
static qn_status name_terms(text_state *s, const qn__values *in, qn_error *err) {
    qn_cleanup(row_grams_done) row_grams row = {0};
    qn_cleanup(qn_freep) int32_t *code = qn_new_array(int32_t, s->n);
    qn_cleanup(qn_dict_free) qn_dict *met = qn_dict_new();
    s->terms = qn_dict_new();
    if (!code || !met || !s->terms)
        return qn_error_memory(err);
    int32_t left = s->n;
    for (int64_t i = 0; i < in->n_rows && left > 0; i++) {
        QN_TRY(read_row(s->base.params, in, i, &row, err));
        for (int64_t k = 0; k < row.n; k++) {
            int32_t f = text_find(s, row.bucket[k]);
            if (f < 0 || code[f])
                continue;
            int32_t added = qn_dict_add(met, row.tokens.text.data + (row.gram[k] >> 32),
                                        (size_t)(row.gram[k] & 0xFFFFFFFF));
            if (added < 0)
                return qn_error_memory(err);
            code[f] = added + 1;
            left--;
        }
    }
    for (int32_t f = 0; f < s->n; f++) {
        size_t n;
        const char *text = qn_dict_text(met, code[f] - 1, &n);
        if (qn_dict_add(s->terms, text, n) != f)
            return qn_error_memory(err);
    }
    return QN_OK;
}

static qn_status text_check(const void *params, const json_t *list, qn_error *err) {
    const text_params *p = params;
    QN_FAIL_IF(p->ngram_min > p->ngram_max, err, QN_ERR_CONFIG,
               "text: ngram_min %lld is above ngram_max %lld", (long long)p->ngram_min,
               (long long)p->ngram_max);
    return QN_OK;
}

static qn_status text_fit(qn__state *state, const qn__values *in, int32_t n_in, const qn__fit *fit,
                          qn_error *err) {
    text_state *s = (text_state *)state;
    const text_params *p = state->params;
    qn_cleanup(qn_freep) int32_t *rows = qn_new_array(int32_t, p->n_buckets);
    if (!rows)
        return qn_error_memory(err);
    QN_TRY(count_rows(p, in, rows, err));
    QN_TRY(choose_buckets(s, rows, in->n_rows, err));
    state->n_out = 1;
    state->n_sparse = s->n;
    return name_terms(s, in, err);
}

/* Features of one row with their weights, ascending; *ret_n of them into feature[] and weight[]. */
static int64_t weigh_row(const text_state *s, row_grams *row, int32_t *feature, double *weight) {
    const text_params *p = s->base.params;
    int64_t n = 0, n_set = 0;
    for (int64_t k = 0; k < row->n; k++) {
        int32_t f = text_find(s, row->bucket[k]);
        if (f >= 0)
            row->bucket[n++] = f;
    }
    qsort(row->bucket, (size_t)n, sizeof *row->bucket, compare_i32);
    double squares = 0;
    for (int64_t k = 0, run; k < n; k += run) {
        for (run = 1; k + run < n && row->bucket[k + run] == row->bucket[k];)
            run++;
        double count = p->sublinear ? 1 + log((double)run) : (double)run;
        feature[n_set] = row->bucket[k];
        weight[n_set] = count * s->idf[row->bucket[k]];
        squares += weight[n_set] * weight[n_set];
        n_set++;
    }
    double length = p->normalise && squares > 0 ? sqrt(squares) : 1;
    for (int64_t k = 0; k < n_set; k++)
        weight[k] /= length;
    return n_set;
}

static qn_status text_apply(const qn__state *state, const qn__values *in, int32_t n_in,
                            qn__values *out, qn_error *err) {
    const text_state *s = (const text_state *)state;
    qn_cleanup(row_grams_done) row_grams row = {0};
    out->start = qn_new_array(int64_t, in->n_rows + 1);
    if (!out->start)
        return qn_error_memory(err);
    int64_t n = 0, cap = 0;
    for (int64_t i = 0; i < in->n_rows; i++) {
        QN_TRY(read_row(state->params, in, i, &row, err));
        if (n + row.n > cap || !out->feature) {
            cap = in->n_rows == 1 ? row.n : (n + row.n) * 2 + 64;
            int32_t *feature = qn_realloc(out->feature, (size_t)cap, sizeof *feature);
            out->feature = feature ? feature : out->feature;
            double *weight = qn_realloc(out->weight, (size_t)cap, sizeof *weight);
            out->weight = weight ? weight : out->weight;
            if (!feature || !weight)
                return qn_error_memory(err);
        }
        if (row.n > 0)
            n += weigh_row(s, &row, out->feature + n, out->weight + n);
        out->start[i + 1] = n;
    }
    return QN_OK;
}

static void text_save(const qn__state *state, qn_buf *out) {
    const text_state *s = (const text_state *)state;
    qn_buf_put_u64(out, (uint64_t)s->n);
    for (int32_t f = 0; f < s->n; f++)
        qn_buf_put_u32(out, (uint32_t)s->bucket[f]);
    qn__put_numbers(out, s->idf, s->n);
    qn__put_dict(out, s->terms);
}

static qn_status text_load(qn__state *state, qn_reader *reader, qn_error *err) {
    text_state *s = (text_state *)state;
    const text_params *p = state->params;
    int64_t n;
    QN_TRY(qn__read_count(reader, 12, p->n_features, &n, err));
    s->bucket = qn_new_array(int32_t, n);
    if (!s->bucket)
        return qn_error_memory(err);
    for (int64_t f = 0; f < n; f++) {
        uint32_t bucket = qn_reader_u32(reader);
        if (bucket >= (uint64_t)p->n_buckets || (f > 0 && bucket <= (uint32_t)s->bucket[f - 1]))
            return qn__damaged(err);
        s->bucket[f] = (int32_t)bucket;
    }
    s->n = (int32_t)n;
    QN_TRY(qn__read_numbers(reader, n, &s->idf, err));
    QN_TRY(qn__read_dict(reader, &s->terms, err));
    for (int64_t f = 0; f < n; f++)
        if (!(s->idf[f] > 0 && s->idf[f] < 1e6))
            return qn__damaged(err);
    if (qn_dict_size(s->terms) != s->n)
        return qn__damaged(err);
    state->n_out = 1;
    state->n_sparse = s->n;
    return text_index(s, err);
}

static void text_name(const qn__state *state, const char *in, int32_t i, qn_buf *out) {
    size_t n;
    const char *term = qn_dict_text(((const text_state *)state)->terms, i, &n);
    qn_buf_printf(out, "%s%s", in, is_char(state->params) ? "~" : ":");
    qn_buf_put(out, term, n);
}

static void text_done(qn__state *state) {
    text_state *s = (text_state *)state;
    qn_freep(&s->bucket);
    qn_freep(&s->idf);
    qn_freep(&s->table);
    qn_dict_free(&s->terms);
}

const qn__transform qn__transform_text = {
    .name = "text",
    .aliases = "tfidf tf_idf tf-idf ngrams",
    .help = "hashed n-grams weighted by tf-idf",
    .accepts = QN__TEXT | QN__CATEGORY,
    .gives = QN__SPARSE,
    .fills = true,
    .params = text_table,
    .n_params = sizeof text_table / sizeof text_table[0],
    .params_bytes = sizeof(text_params),
    .main_param = "analyser",
    .state_bytes = sizeof(text_state),
    .check = text_check,
    .fit = text_fit,
    .apply = text_apply,
    .save = text_save,
    .load = text_load,
    .name_out = text_name,
    .done = text_done,
};

/* --- text_stats --- */

enum { STAT_LENGTH, STAT_WORDS, STAT_DIGITS, STAT_UPPER, STAT_OTHER, N_STATS };

static const char *const stat_names[N_STATS] = {"length", "words", "digit share",
                                                "upper-case share", "punctuation share"};

static void stats_of(const char *text, size_t n, double stat[N_STATS]) {
    double count[N_STATS] = {0};
    bool in_word = false;
    for (size_t at = 0; text && at < n;) {
        uint32_t c = qn__utf8_next(text, n, &at);
        bool word = qn__is_word(c);
        count[STAT_LENGTH]++;
        count[STAT_WORDS] += word && !in_word;
        count[STAT_DIGITS] += c >= '0' && c <= '9';
        count[STAT_UPPER] += qn__is_upper(c);
        count[STAT_OTHER] += !word && c > 0x20;
        in_word = word;
    }
    double length = count[STAT_LENGTH] > 0 ? count[STAT_LENGTH] : 1;
    for (int k = 0; k < N_STATS; k++)
        stat[k] = k <= STAT_WORDS ? count[k] : count[k] / length;
}

static qn_status stats_fit(qn__state *state, const qn__values *in, int32_t n_in, const qn__fit *fit,
                           qn_error *err) {
    state->n_out = N_STATS;
    return QN_OK;
}

static qn_status stats_apply(const qn__state *state, const qn__values *in, int32_t n_in,
                             qn__values *out, qn_error *err) {
    for (int k = 0; k < N_STATS; k++)
        if (!qn__out_numbers(&out[k]))
            return qn_error_memory(err);
    for (int64_t i = 0; i < in->n_rows; i++) {
        size_t n = 0;
        double stat[N_STATS];
        const char *text = qn__value_text(in, i, &n);
        stats_of(text, n, stat);
        for (int k = 0; k < N_STATS; k++)
            out[k].num[i] = stat[k];
    }
    return QN_OK;
}

static qn_status stats_load(qn__state *state, qn_reader *reader, qn_error *err) {
    state->n_out = N_STATS;
    return QN_OK;
}

static void stats_name(const qn__state *state, const char *in, int32_t i, qn_buf *out) {
    qn_buf_printf(out, "%s %s", in, stat_names[i]);
}

const qn__transform qn__transform_text_stats = {
    .name = "text_stats",
    .help = "length, words, and shares of digits, capitals and punctuation; missing text counts as "
            "empty",
    .accepts = QN__TEXT | QN__CATEGORY,
    .gives = QN__NUMBER,
    .fills = true,
    .state_bytes = sizeof(qn__state),
    .fit = stats_fit,
    .apply = stats_apply,
    .load = stats_load,
    .name_out = stats_name,
};
