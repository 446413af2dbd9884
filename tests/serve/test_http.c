/* The readers of HTTP, against tables made from RFC 9112. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "serve/http.h"

/* --- heads ------------------------------------------------------------------------------------ */

/* Reads a head that came whole; 0 or the status it is refused with. */
static int read_head(const char *text, char *copy, qn__head *head) {
    size_t searched = 0, n = strlen(text);
    memcpy(copy, text, n + 1);
    const size_t found = qn__head_find(copy, n, &searched);
    if (!found)
        return -1;
    qn__head_read(copy, found, head);
    return head->refused;
}

static void a_head_is_read(void **state) {
    static char copy[4096];
    qn__head head;
    assert_int_equal(
        read_head("POST /v1/models/a%20b/predict?explain&x=1+2%2b&=v&y HTTP/1.1\r\n"
                  "Host: example.org:80\r\nCONTENT-length: \t 042 \t\r\nX-Other: a:b, c\r\n"
                  "content-Type:application/json\r\nExpect: 100-Continue\r\n"
                  "X-Request-Id: \r\nAccept: */*\r\nAccept: second\r\n\r\nbody",
                  copy, &head), 0);
    assert_string_equal(head.method, "POST");
    assert_string_equal(head.path, "/v1/models/a b/predict");
    assert_int_equal(head.n_arguments, 4);
    static const char *const arguments[] = {"explain", "", "x", "1 2+", "", "v", "y", ""};
    for (int i = 0; i < 4; i++) {
        assert_string_equal(head.arguments[i].name, arguments[2 * i]);
        assert_string_equal(head.arguments[i].value, arguments[2 * i + 1]);
    }
    assert_string_equal(head.fields[QN__HOST], "example.org:80");
    assert_string_equal(head.fields[QN__CONTENT_TYPE], "application/json");
    assert_string_equal(head.fields[QN__REQUEST_ID], "");
    assert_string_equal(head.fields[QN__ACCEPT], "*/*");
    assert_null(head.fields[QN__ORIGIN]);
    assert_true(head.length == 42);
    assert_true(head.expects && !head.chunked && !head.closes && !head.keeps);
}

static void connections_go_on_or_end(void **state) {
    static const struct {
        const char *text;
        bool closes, keeps;
    } cases[] = {
        {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", false, false},
        {"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", true, false},
        {"GET / HTTP/1.1\r\nHost: x\r\nConnection: TE , Close\r\n\r\n", true, false},
        {"GET / HTTP/1.1\r\nHost: x\r\nConnection: closed\r\n\r\n", false, false},
        {"GET / HTTP/1.0\r\n\r\n", true, false},
        {"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", false, true},
        {"\r\n\r\nGET http://x:1/ HTTP/1.1\r\nHost: x\r\n\r\n", false, false},
    };
    static char copy[4096];
    qn__head head;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_int_equal(read_head(cases[i].text, copy, &head), 0);
        assert_string_equal(head.path, "/");
        assert_int_equal(head.closes, cases[i].closes);
        assert_int_equal(head.keeps, cases[i].keeps);
    }
}

static void what_is_no_head_is_refused(void **state) {
    static const struct {
        int status;
        const char *text;
    } cases[] = {
        {400, "GET / HTTP/1.1\r\n\r\n"},                                   /* no Host */
        {400, "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"},
        {400, "GET / HTTP/1.1\nHost: x\n\n"},                              /* bare LF */
        {400, "GET / HTTP/1.1\r\nHost: x\r\nA: b\nC: d\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\nHost: x\r\nA: b\rC: d\r\n\r\n"},          /* bare CR */
        {400, "GET / HTTP/1.1\r\nHost: x\r\nA: b\n\rC: d\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\nHost : x\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\n: x\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\nHost: x\r\nnothing\r\n\r\n"},
        {400, "GET / HTTP/1.1\r\nHost: x\r\nA: \x01\r\n\r\n"},
        {400, "GET  / HTTP/1.1\r\nHost: x\r\n\r\n"},
        {505, "GET / HTTP/1.1 \r\nHost: x\r\n\r\n"},
        {400, "GET /a b HTTP/1.1\r\nHost: x\r\n\r\n"},
        {400, "GET\t/ HTTP/1.1\r\nHost: x\r\n\r\n"},
        {400, "GET x HTTP/1.1\r\nHost: x\r\n\r\n"},
        {400, "GET /\r\n\r\n"},                                            /* HTTP/0.9 */
        {400, " GET / HTTP/1.1\r\nHost: x\r\n\r\n"},
        {400, "G(T / HTTP/1.1\r\nHost: x\r\n\r\n"},
        {400, "GET /%0 HTTP/1.1\r\nHost: x\r\n\r\n"},
        {400, "GET /%00 HTTP/1.1\r\nHost: x\r\n\r\n"},
        {400, "GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n"},
        {400, "GET /?a=%2 HTTP/1.1\r\nHost: x\r\n\r\n"},
        {505, "GET / HTTP/2.0\r\nHost: x\r\n\r\n"},
        {505, "PRI * HTTP/2.0\r\n\r\n"},
        {505, "GET / HTTP/1.10\r\nHost: x\r\n\r\n"},
        {400, "GET / http/1.1\r\nHost: x\r\n\r\n"},
        {400, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n"},
        {400, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1, 1\r\n\r\n"},
        {400, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +1\r\n\r\n"},
        {400, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0x1\r\n\r\n"},
        {400, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: \r\n\r\n"},
        {400, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999999999999999\r\n\r\n"},
        {400, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n"
              "Transfer-Encoding: chunked\r\n\r\n"},
        {400, "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"},
        {501, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"},
        {501, "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n"},
        {417, "POST / HTTP/1.1\r\nHost: x\r\nExpect: 200-ok\r\n\r\n"},
        {414, "GET /?1&2&3&4&5&6&7&8&9&a&b&c&d&e&f&g&h HTTP/1.1\r\nHost: x\r\n\r\n"},
    };
    static char copy[4096];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        qn__head head;
        const int status = read_head(cases[i].text, copy, &head);
        if (status != cases[i].status)
            fail_msg("%d instead of %d: %s", status, cases[i].status, cases[i].text);
        assert_true(head.closes && head.why && *head.why);
    }
}

/* The end is found as soon as it has come, and not before, however the bytes are cut. */
static void the_end_is_found(void **state) {
    static const char text[] = "\r\nGET / HTTP/1.1\r\nA: \r\nHost: x\r\n\r\nGET";
    const size_t end = strstr(text, "x\r\n\r\n") + 5 - text;
    for (size_t cut = 0; cut < sizeof text; cut++) {
        size_t searched = 0;
        const size_t first = qn__head_find(text, cut, &searched);
        assert_int_equal(first, cut >= end ? end : 0);
        if (!first)
            assert_int_equal(qn__head_find(text, sizeof text - 1, &searched), end);
    }
}

/* --- chunks ----------------------------------------------------------------------------------- */

static qn__chunks_result read_chunks(const char *text, size_t step, char *body, size_t *ret_used) {
    qn__chunks chunks = {0};
    qn__chunks_result result = QN__CHUNKS_MORE;
    const size_t n = strlen(text);
    size_t at = 0, len = 0;
    for (size_t upto = step; result == QN__CHUNKS_MORE && at < n; upto += step) {
        const size_t end = upto < n ? upto : n;
        while (result == QN__CHUNKS_MORE && at < end) {
            const char *piece;
            size_t n_piece;
            result = qn__chunks_take(&chunks, text, end, &at, &piece, &n_piece);
            memcpy(body + len, n_piece ? piece : text, n_piece);
            len += n_piece;
        }
    }
    body[len] = '\0';
    *ret_used = at;
    return result;
}

static void chunks_are_put_together(void **state) {
    static const struct {
        const char *text, *body;
        qn__chunks_result result;
        const char *rest;
    } cases[] = {
        {"0\r\n\r\nGET", "", QN__CHUNKS_END, "GET"},
        {"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", "hello world", QN__CHUNKS_END, ""},
        {"00A;x=\"y\"\r\n0123456789\r\n0;z\r\nTrailer: 1\r\nMore:\r\n\r\n.", "0123456789",
         QN__CHUNKS_END, "."},
        {"5\r\nhel", "hel", QN__CHUNKS_MORE, ""},
        {"5\r\nhello5", "hello", QN__CHUNKS_BAD, ""},
        {"5\r\nhello\n", "hello", QN__CHUNKS_BAD, ""},
        {"5\nhello\r\n", "", QN__CHUNKS_BAD, NULL},
        {"\r\n", "", QN__CHUNKS_BAD, NULL},
        {"-5\r\nhello", "", QN__CHUNKS_BAD, NULL},
        {"0x5\r\nhello", "", QN__CHUNKS_BAD, NULL},
        {"g\r\n", "", QN__CHUNKS_BAD, NULL},
        {"1000000000000000\r\n", "", QN__CHUNKS_BAD, NULL},
        {"0\r\nT: \x01\r\n\r\n", "", QN__CHUNKS_BAD, NULL},
        {"0\r\n\rX", "", QN__CHUNKS_BAD, NULL},
    };
    char body[64];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t step = 1; step <= strlen(cases[i].text); step++) {
            size_t used;
            const qn__chunks_result result = read_chunks(cases[i].text, step, body, &used);
            assert_int_equal(result, cases[i].result);
            assert_string_equal(body, cases[i].body);
            if (cases[i].rest && result != QN__CHUNKS_BAD)
                assert_string_equal(cases[i].text + used, cases[i].rest);
        }
}

/* Extensions and trailers may not go on for ever. */
static void lines_of_chunks_end(void **state) {
    static char text[10000];
    char body[8];
    size_t used;
    memset(text, 'a', sizeof text - 1);
    memcpy(text, "0;", 2);
    assert_int_equal(read_chunks(text, 100, body, &used), QN__CHUNKS_BAD);
    memcpy(text, "0\r\n", 3);
    assert_int_equal(read_chunks(text, 100, body, &used), QN__CHUNKS_BAD);
    assert_true(used < 5000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_head_is_read),
        cmocka_unit_test(connections_go_on_or_end),
        cmocka_unit_test(what_is_no_head_is_refused),
        cmocka_unit_test(the_end_is_found),
        cmocka_unit_test(chunks_are_put_together),
        cmocka_unit_test(lines_of_chunks_end),
    };
    return cmocka_run_group_tests_name("http", tests, NULL, NULL);
}
