/* html.h - writing HTML so that forgetting to escape is hard, and reading the run document so that
 * what is absent or of the wrong type is simply not there.
 *
 *     qn__html(out, "<td title=\"%s\">%s</td>", name, value);    // every %s is escaped
 */
#ifndef QN_REPORT_HTML_H
#define QN_REPORT_HTML_H

#include "base/buf.h"
#include "base/json.h"

/* Appends `text` (NULL: nothing) as HTML text or as the inside of a quoted attribute: & < > " '
 * become entities, control characters become U+FFFD. */
void qn__html_text(qn_buf *out, const char *text);

/* Appends `format`, which is HTML, with its arguments. Only %s (escaped as above), %d and %% are
 * known; anything else ends the format there. */
void qn__html(qn_buf *out, const char *format, ...) QN_PRINTF(2, 3);

/* Members of an object that may be NULL, null or something else. Borrowed. */
const json_t *qn__doc_object(const json_t *object,
                             const char *key); /* NULL unless a non-empty object */
const json_t *qn__doc_array(const json_t *object,
                            const char *key);                    /* NULL unless a non-empty array */
const char *qn__doc_text(const json_t *object, const char *key); /* NULL unless a non-empty text */
double qn__doc_number(const json_t *object, const char *key);    /* NaN unless a number */
bool qn__doc_true(const json_t *object, const char *key);
/* The i-th item as a number; NaN unless it is one. */
double qn__doc_item(const json_t *array, size_t i);

/* A member or item that may be text, number or truth, as text for people. */
typedef struct qn__label {
    char text[160];
} qn__label;
qn__label qn__doc_label(const json_t *value);

#endif
