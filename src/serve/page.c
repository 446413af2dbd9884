/* The page to try the models: one file of web/serve with its style and script, which may reach this
 * server and nothing else. */
#include "base/asset.h"
#include "serve/serve_int.h"

void qn__handle_page(qn__exchange *x) {
    const qn_asset *page = qn_asset_find(qn__serve_assets, "page.html");
    const qn_asset *style = qn_asset_find(qn__serve_assets, "page.css");
    const qn_asset *script = qn_asset_find(qn__serve_assets, "page.js");
    qn_buf *out = qn__out(x);
    x->content_type = "text/html; charset=utf-8";
    qn_buf_put_text(out, "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n");
    qn_buf_printf(out,
                  "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
                  "connect-src 'self'; style-src '%s'; script-src '%s'; img-src data:\">\n<style>",
                  style->csp, script->csp);
    qn_buf_put(out, style->bytes, style->n);
    qn_buf_put_text(out, "</style>\n");
    qn_buf_put(out, page->bytes, page->n);
    qn_buf_put_text(out, "<script>");
    qn_buf_put(out, script->bytes, script->n);
    qn_buf_put_text(out, "</script>\n</html>\n");
}
