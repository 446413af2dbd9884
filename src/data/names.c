/* Lists of texts, and finding among them whatever their case. */
#include <ctype.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "data/source_int.h"

void qn__names_done(qn__names *names) {
    for (size_t i = 0; names->items && i < names->n; i++)
        qn_freep(&names->items[i]);
    qn_freep(&names->items);
    names->n = 0;
}

qn_status qn__names_add(qn__names *names, const char *text, size_t n, qn_error *err) {
    if ((names->n & (names->n - 1)) == 0) { /* room for the next power of two */
        char **items = qn_realloc(names->items, names->n ? 2 * names->n : 1, sizeof *items);
        if (!items)
            return qn_error_memory(err);
        names->items = items;
    }
    names->items[names->n] = qn_strndup(text, n);
    if (!names->items[names->n])
        return qn_error_memory(err);
    names->n++;
    return QN_OK;
}

void qn__index_done(qn__index *index) {
    qn_dict_free(&index->dict);
    qn_freep(&index->at);
}

/* Lower case in ASCII, as DuckDB compares. Longer names are cut, which can only make two equal that
 * no table may have. */
static size_t lower(const char *name, char text[QN_LIMIT_NAME_BYTES]) {
    size_t n = 0;
    for (; name[n] && n < QN_LIMIT_NAME_BYTES; n++)
        text[n] = (char)tolower((unsigned char)name[n]);
    return n;
}

qn_status qn__index_add(qn__index *index, const char *name, int32_t i, qn_error *err) {
    char text[QN_LIMIT_NAME_BYTES];
    if (!index->dict && !(index->dict = qn_dict_new()))
        return qn_error_memory(err);
    const int32_t size = qn_dict_size(index->dict);
    if ((size & (size - 1)) == 0) { /* room for the next power of two */
        int32_t *at = qn_realloc(index->at, size ? 2 * (size_t)size : 1, sizeof *at);
        if (!at)
            return qn_error_memory(err);
        index->at = at;
    }
    const int32_t code = qn_dict_add(index->dict, text, lower(name, text));
    if (code < 0)
        return qn_error_memory(err);
    if (code == size)
        index->at[code] = i;
    return QN_OK;
}

int32_t qn__index_find(const qn__index *index, const char *name) {
    char text[QN_LIMIT_NAME_BYTES];
    const int32_t code = index->dict ? qn_dict_find(index->dict, text, lower(name, text)) : -1;
    return code < 0 ? -1 : index->at[code];
}

qn_status qn__stated_init(qn__stated *stated, const qn_source_column_type *types, size_t n,
                          qn_error *err) {
    stated->types = types;
    stated->n = n;
    for (size_t i = 0; i < n; i++)
        QN_TRY(qn__index_add(&stated->index, types[i].name, (int32_t)i, err));
    return QN_OK;
}

void qn__stated_done(qn__stated *stated) {
    qn__index_done(&stated->index);
}

bool qn__stated_find(const qn__stated *stated, const char *name, qn_type *ret_type) {
    const int32_t i = qn__index_find(&stated->index, name);
    if (i >= 0)
        *ret_type = stated->types[i].type;
    return i >= 0;
}
