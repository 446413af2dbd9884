/* report_render DOCUMENT.json OUTPUT.html - writes the page of a run document. */
#include <stdio.h>

#include "base/file.h"
#include "base/mem.h"
#include "report/report.h"

static qn_status render(const char *from, const char *to, qn_error *err) {
    qn_cleanup(qn_freep)
    char *bytes = NULL;
    qn_cleanup(qn_json_free)
    json_t *document = NULL;
    qn_cleanup(qn_buf_done)
    qn_buf page = {0};
    size_t n = 0;
    QN_TRY(qn_file_read(from, (size_t)64 << 20, &bytes, &n, err));
    QN_TRY(qn_json_parse(bytes, n, from, &document, err));
    QN_TRY(qn_report_write(document, &page, err));
    return qn_file_write(to, page.data, page.len, err);
}

int main(int argc, char **argv) {
    qn_error err = {0};
    if (argc != 3) {
        fprintf(stderr, "usage: report_render DOCUMENT.json OUTPUT.html\n");
        return 2;
    }
    if (render(argv[1], argv[2], &err)) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    return 0;
}
