/* asset.h - files that live inside the program: parts of pages. web/embed.py makes their tables. */
#ifndef QN_BASE_ASSET_H
#define QN_BASE_ASSET_H

#include <stddef.h>

typedef struct qn_asset {
    const char *name;           /* base name of the file: "report.css" */
    const unsigned char *bytes; /* UTF-8, followed by a NUL that does not count */
    size_t n;
    const char *csp;            /* "sha256-...", as Content-Security-Policy names it */
} qn_asset;

/* Of a table that ends with a name of NULL; NULL when there is none of that name. */
const qn_asset *qn_asset_find(const qn_asset *table, const char *name);

/* The tables: of web/report with the Vega bundles, and of web/serve. */
extern const qn_asset qn__report_assets[];
extern const qn_asset qn__serve_assets[];

#endif
