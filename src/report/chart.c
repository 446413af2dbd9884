#include "report/chart.h"

#include <stdio.h>
#include <string.h>

#include "base/asset.h"
#include "base/mem.h"
#include "report/html.h"

/* Replaces every text "$name" in a spec of ours. Depth: that of our own files. */
static bool fill_in(json_t *spec, const json_t *fill);

/* True when `value` is "$name" with a member `name`; *ret_new is then a new reference. */
static bool replacement_of(const json_t *value, const json_t *fill, json_t **ret_new) {
    const char *text = json_string_value(value);
    if (!text || text[0] != '$')
        return false;
    json_t *with = json_object_get(fill, text + 1);
    *ret_new = with ? json_incref(with) : json_null();
    return true;
}

static bool fill_in_object(json_t *spec, const json_t *fill) {
    const char *key;
    json_t *value, *with;
    json_object_foreach(spec, key, value) {
        if (replacement_of(value, fill, &with)) {
            if (json_object_set_new(spec, key, with))
                return false;
        } else if (!fill_in(value, fill)) {
            return false;
        }
    }
    return true;
}

static bool fill_in(json_t *spec, const json_t *fill) {
    if (json_is_object(spec))
        return fill_in_object(spec, fill);
    json_t *with;
    for (size_t i = 0; i < json_array_size(spec); i++) {
        json_t *value = json_array_get(spec, i);
        if (replacement_of(value, fill, &with)) {
            if (json_array_set_new(spec, i, with))
                return false;
        } else if (!fill_in(value, fill)) {
            return false;
        }
    }
    return true;
}

static qn_status make_spec(const char *name, const json_t *fill, json_t **ret_spec, qn_error *err) {
    char file[64];
    snprintf(file, sizeof file, "%s.json", name);
    const qn_asset *asset = qn_asset_find(qn__report_assets, file);
    QN_FAIL_IF(!asset, err, QN_ERR_INTERNAL, "there is no chart '%s' in this build", name);
    qn_cleanup(qn_json_free)
    json_t *spec = NULL;
    QN_TRY(qn_json_parse((const char *)asset->bytes, asset->n, file, &spec, err));
    qn_cleanup(qn_json_free)
    json_t *datasets = json_object();
    if (!datasets || !fill_in(spec, fill))
        return qn_error_memory(err);
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)fill, key, value)
        if (json_is_array(value) && json_is_object(json_array_get(value, 0)) &&
            json_object_set(datasets, key, value))
            return qn_error_memory(err);
    if (json_object_set(spec, "datasets", datasets))
        return qn_error_memory(err);
    *ret_spec = qn_steal(&spec);
    return QN_OK;
}

static void put_ramp(qn_buf *out) {
    qn_buf_put_text(out, " <span class=\"ramp\">Value: low ");
    for (int i = 1; i <= 5; i++)
        qn__html(out, "<i style=\"background:var(--r%d)\"></i>", i);
    qn_buf_put_text(out, " high, <i style=\"background:var(--none)\"></i> missing</span>");
}

qn_status qn__chart_put(qn_buf *out, const qn__chart *chart, json_t *fill, qn_error *err) {
    qn_cleanup(qn_json_free)
    json_t *owned = fill, *spec = NULL;
    if (!owned)
        return qn_error_memory(err);
    QN_TRY(make_spec(chart->spec, owned, &spec, err));
    qn__html(out, "<figure class=\"chart%s\"><figcaption><b>%s</b>", chart->wide ? " wide" : "",
             chart->title);
    if (chart->note)
        qn__html(out, " <span>%s</span>", chart->note);
    if (chart->ramp)
        put_ramp(out);
    qn__html(out,
             "</figcaption><div class=\"plot\" role=\"img\" aria-label=\"%s\"></div>"
             "<script type=\"application/json\">",
             chart->alt);
    qn_json_write(spec, QN_JSON_COMPACT | QN_JSON_HTML_SAFE, out);
    qn_buf_put_text(out, "</script></figure>\n");
    return qn_buf_status(out, err);
}

json_t *qn__chart_rows(const json_t *columns, const char *const *keys, size_t max_rows) {
    qn_cleanup(qn_json_free)
    json_t *rows = json_array();
    const size_t n = json_array_size(json_object_get(columns, keys[0]));
    for (size_t i = 0; i < n && i < max_rows; i++) {
        json_t *row = json_object();
        if (json_array_append_new(rows, row))
            return NULL;
        for (size_t k = 0; keys[k]; k++) {
            json_t *value = json_array_get(json_object_get(columns, keys[k]), i);
            if (value && json_object_set(row, keys[k], value))
                return NULL;
        }
    }
    return qn_steal(&rows);
}

bool qn__chart_bins(json_t *rows, const json_t *edges, const json_t *counts, const char *what) {
    for (size_t i = 0; i < json_array_size(counts) && i + 1 < json_array_size(edges); i++) {
        json_t *row =
            json_pack("{s:O, s:O, s:O, s:s}", "from", json_array_get(edges, i), "to",
                      json_array_get(edges, i + 1), "n", json_array_get(counts, i), "what", what);
        if (json_array_append_new(rows, row))
            return false;
    }
    return rows != NULL;
}
