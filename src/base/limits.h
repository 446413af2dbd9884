/* limits.h - every bound on what comes from outside, in one place. Tests check that each one holds
 * and that its message names the limit. */
#ifndef QN_BASE_LIMITS_H
#define QN_BASE_LIMITS_H

enum {
    QN_LIMIT_COLUMNS = 16384,           /* columns of a table */
    QN_LIMIT_NAME_BYTES = 1024,         /* one column, model or project name */
    QN_LIMIT_CLASSES = 4096,            /* classes of a multiclass target */
    QN_LIMIT_JSON_DEPTH = 64,           /* nesting of any JSON we read */
    QN_LIMIT_YAML_DEPTH = 32,           /* nesting of quern.yaml */
    QN_LIMIT_YAML_NODES = 100000,       /* nodes of quern.yaml: aliases cannot blow it up */
    QN_LIMIT_EXPR_BYTES = 4096,         /* a value expression */
    QN_LIMIT_EXPR_DEPTH = 64,           /* its nesting */
    QN_LIMIT_FEATURES = 4 << 20,        /* columns of a feature matrix */
    QN_LIMIT_TREES = 1 << 20,           /* trees of a model */
    QN_LIMIT_TREE_NODES = 1 << 24,      /* nodes of one tree */
    QN_LIMIT_FOREIGN_CODES = 1 << 17,   /* category codes of all inputs of an imported model */
    QN_LIMIT_SET_WORDS = 1 << 26,       /* category sets of trees from elsewhere, of 32 codes each */
    QN_LIMIT_THREADS = 1024,
    QN_LIMIT_MISSING_WORDS = 1000,      /* texts of data.missing */
    QN_LIMIT_REQUEST_ROWS = 1 << 20,    /* rows of one request */
};

#define QN_LIMIT_CONFIG_BYTES ((size_t)1 << 20)     /* quern.yaml */
#define QN_LIMIT_FIELD_BYTES ((size_t)16 << 20)     /* one CSV line or JSON object */
#define QN_LIMIT_MANIFEST_BYTES ((size_t)64 << 20)  /* the JSON manifest of a model file */
#define QN_LIMIT_MODEL_BYTES ((size_t)16 << 30)     /* a model file */
#define QN_LIMIT_FOREIGN_BYTES ((size_t)2 << 30)    /* a model file of another program */
#define QN_LIMIT_BUFFER_BYTES ((size_t)1 << 30)     /* any growing text buffer */

#endif
