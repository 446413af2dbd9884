/* asset.h - the files of web/report and the Vega bundles, inside the program (web/embed.py makes
 * the table). */
#ifndef QN_REPORT_ASSET_H
#define QN_REPORT_ASSET_H

#include <stddef.h>

typedef struct qn__asset {
    const char *name;           /* base name of the file: "report.css" */
    const unsigned char *bytes; /* UTF-8, followed by a NUL that does not count */
    size_t n;
    const char *csp; /* "sha256-...", as Content-Security-Policy names it */
} qn__asset;

extern const qn__asset qn__assets[];
extern const size_t qn__n_assets;

/* NULL when there is none of that name. */
const qn__asset *qn__asset_find(const char *name);

#endif
