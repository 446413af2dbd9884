/* The head of a request, read in place. */
#include <string.h>

#include "serve/http.h"

static const struct {
    const char *name;  /* in small letters */
    size_t n;
} names[QN__N_FIELDS] = {
#define NAME(field, text) [field] = {text, sizeof text - 1}
    NAME(QN__ACCEPT, "accept"),
    NAME(QN__AUTHORIZATION, "authorization"),
    NAME(QN__CONNECTION, "connection"),
    NAME(QN__CONTENT_ENCODING, "content-encoding"),
    NAME(QN__CONTENT_LENGTH, "content-length"),
    NAME(QN__CONTENT_TYPE, "content-type"),
    NAME(QN__EXPECT, "expect"),
    NAME(QN__HOST, "host"),
    NAME(QN__ORIGIN, "origin"),
    NAME(QN__REQUEST_ID, "x-request-id"),
    NAME(QN__SEAM, "inference-header-content-length"),
    NAME(QN__TRANSFER_ENCODING, "transfer-encoding"),
#undef NAME
};

/* An empty line or two before the request are forgiven, as the standard asks. */
static size_t n_empty(const char *bytes, size_t n) {
    size_t at = 0;
    while (at < 4 && n - at >= 2 && bytes[at] == '\r' && bytes[at + 1] == '\n')
        at += 2;
    return at;
}

size_t qn__head_find(const char *bytes, size_t n, size_t *searched) {
    size_t first = n_empty(bytes, n), at = *searched < first ? first : *searched;
    while (at < n) {
        const char *lf = memchr(bytes + at, '\n', n - at);
        if (!lf)
            break;
        at = (size_t)(lf - bytes) + 1;
        /* Bare line feeds end the head, too: to be refused, not to be waited behind. */
        if (at - first >= 3 && (memcmp(lf - 2, "\n\r\n", 3) == 0 || lf[-1] == '\n'))
            return at;
    }
    *searched = n;
    return 0;
}

/* --- characters ------------------------------------------------------------------------------- */

/* What names and methods are made of, in small letters; 0 for the rest. */
static const unsigned char tokens[256] = {
    ['!'] = '!', ['#'] = '#', ['$'] = '$', ['%'] = '%', ['&'] = '&', ['\''] = '\'', ['*'] = '*',
    ['+'] = '+', ['-'] = '-', ['.'] = '.', ['^'] = '^', ['_'] = '_', ['`'] = '`', ['|'] = '|',
    ['~'] = '~', ['0'] = '0', ['1'] = '1', ['2'] = '2', ['3'] = '3', ['4'] = '4', ['5'] = '5',
    ['6'] = '6', ['7'] = '7', ['8'] = '8', ['9'] = '9', ['a'] = 'a', ['b'] = 'b', ['c'] = 'c',
    ['d'] = 'd', ['e'] = 'e', ['f'] = 'f', ['g'] = 'g', ['h'] = 'h', ['i'] = 'i', ['j'] = 'j',
    ['k'] = 'k', ['l'] = 'l', ['m'] = 'm', ['n'] = 'n', ['o'] = 'o', ['p'] = 'p', ['q'] = 'q',
    ['r'] = 'r', ['s'] = 's', ['t'] = 't', ['u'] = 'u', ['v'] = 'v', ['w'] = 'w', ['x'] = 'x',
    ['y'] = 'y', ['z'] = 'z', ['A'] = 'a', ['B'] = 'b', ['C'] = 'c', ['D'] = 'd', ['E'] = 'e',
    ['F'] = 'f', ['G'] = 'g', ['H'] = 'h', ['I'] = 'i', ['J'] = 'j', ['K'] = 'k', ['L'] = 'l',
    ['M'] = 'm', ['N'] = 'n', ['O'] = 'o', ['P'] = 'p', ['Q'] = 'q', ['R'] = 'r', ['S'] = 's',
    ['T'] = 't', ['U'] = 'u', ['V'] = 'v', ['W'] = 'w', ['X'] = 'x', ['Y'] = 'y', ['Z'] = 'z'};

/* Control characters are none of a head's but tabs, and CR and LF together; it ends in these. */
static bool is_clean(const char *bytes, size_t n) {
    unsigned bad = bytes[n - 2] != '\r' || bytes[0] == '\n';
    for (size_t i = 0; i + 1 < n; i++) {
        const unsigned char c = (unsigned char)bytes[i], next = (unsigned char)bytes[i + 1];
        bad |= (c < 0x20) & (c != '\t') & (c != '\r') & (c != '\n');
        bad |= c == 0x7f;
        bad |= (c == '\r') ^ (next == '\n');
    }
    return !bad;
}

static char lower(char c) {
    return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

static bool same(const char *text, const char *small, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (lower(text[i]) != small[i])
            return false;
    return true;
}

/* Is the word in a list with commas? */
static bool lists(const char *text, const char *word) {
    const size_t n = strlen(word);
    while (text && *text) {
        text += strspn(text, " \t,");
        const size_t length = strcspn(text, " \t,");
        if (length == n && same(text, word, n))
            return true;
        text += length;
    }
    return false;
}

static int hex(char c) {
    return c >= '0' && c <= '9' ? c - '0' : lower(c) >= 'a' && lower(c) <= 'f' ? lower(c) - 87 : -1;
}

/* Percent signs, in place; false for what is no code, and for NUL. */
static bool decode(char *text, bool plus_is_space) {
    char *to = text;
    for (; *text; text++, to++) {
        *to = plus_is_space && *text == '+' ? ' ' : *text;
        if (*text != '%')
            continue;
        const int high = hex(text[1]), low = high < 0 ? -1 : hex(text[2]);
        if (low < 0 || (high == 0 && low == 0))
            return false;
        *to = (char)(high << 4 | low);
        text += 2;
    }
    *to = '\0';
    return true;
}

/* --- the request line ------------------------------------------------------------------------- */

static void refuse(qn__head *head, int status, const char *why) {
    if (head->refused)
        return;
    head->refused = status;
    head->why = why;
}

static void read_query(qn__head *head, char *query) {
    while (query && *query) {
        char *name = query, *next = strchr(query, '&'), *value;
        if (next)
            *next++ = '\0';
        query = next;
        if (!*name)
            continue;
        value = strchr(name, '=');
        if (value)
            *value++ = '\0';
        if (head->n_arguments == QN__ARGUMENTS) {
            refuse(head, 414, "the query has too many arguments");
            return;
        }
        if (!decode(name, true) || (value && !decode(value, true)))
            refuse(head, 400, "a percent sign in the query is followed by no code");
        head->arguments[head->n_arguments++] = (qn__argument){name, value ? value : ""};
    }
}

static void read_target(qn__head *head, char *target) {
    if (strncmp(target, "http://", 7) == 0 || strncmp(target, "https://", 8) == 0) {
        char *place = strchr(target, ':') + 3;
        target = place + strcspn(place, "/");
    }
    char *query = strchr(target, '?');
    if (query)
        *query++ = '\0';
    head->path = target;
    if (*target != '/' && strcmp(target, "*") != 0)
        refuse(head, 400, "the request line has no path");
    else if (!decode(target, false))
        refuse(head, 400, "a percent sign in the path is followed by no code");
    read_query(head, query);
}

/* `end` is at the CR. */
static void read_request_line(qn__head *head, char *line, char *end) {
    *end = '\0';
    char *target = line, *version;
    while (tokens[(unsigned char)*target])
        target++;
    head->method = line;
    head->path = "";
    if (target == line || *target != ' ') {
        refuse(head, 400, "the first line is no HTTP request");
        return;
    }
    *target++ = '\0';
    version = target + strcspn(target, " \t");
    if (*version != ' ' || strncmp(version + 1, "HTTP/", 5) != 0) {
        refuse(head, 400, "the first line is no HTTP request");
        return;
    }
    *version++ = '\0';
    const bool old = strcmp(version, "HTTP/1.0") == 0;
    if (!old && strcmp(version, "HTTP/1.1") != 0)
        refuse(head, 505, "HTTP/1.1 is spoken here");
    head->old = old;
    read_target(head, target);
}

/* --- fields ----------------------------------------------------------------------------------- */

/* The name is in small letters. */
static void keep_field(qn__head *head, const char *name, size_t n, const char *value) {
    for (int f = 0; f < QN__N_FIELDS; f++) {
        if (names[f].n != n || memcmp(name, names[f].name, n) != 0)
            continue;
        if (!head->fields[f])
            head->fields[f] = value;
        else if (f == QN__HOST || f == QN__CONTENT_LENGTH || f == QN__TRANSFER_ENCODING)
            refuse(head, 400, "Host, Content-Length or Transfer-Encoding is there twice");
        return;
    }
}

/* `end` is at the CR. */
static void read_field(qn__head *head, char *line, char *end) {
    char *name_end = line;
    for (unsigned char c; (c = tokens[(unsigned char)*name_end]); name_end++)
        *name_end = (char)c;
    if (name_end == line || name_end == end || *name_end != ':') {
        refuse(head, 400, "a header line is not of the form Name: value");
        return;
    }
    char *value = name_end + 1;
    while (value < end && (*value == ' ' || *value == '\t'))
        value++;
    while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    *end = '\0';
    keep_field(head, line, (size_t)(name_end - line), value);
}

static void read_length(qn__head *head) {
    const char *text = head->fields[QN__CONTENT_LENGTH];
    if (!text)
        return;
    const size_t n = strspn(text, "0123456789");
    if (n == 0 || n > 18 || text[n]) {
        refuse(head, 400, "Content-Length is not a length");
        return;
    }
    for (; *text; text++)
        head->length = 10 * head->length + (*text - '0');
}

static void read_coding(qn__head *head) {
    const char *coding = head->fields[QN__TRANSFER_ENCODING];
    if (!coding)
        return;
    head->chunked = strlen(coding) == 7 && same(coding, "chunked", 7);
    if (!head->chunked)
        refuse(head, 501, "no transfer coding but chunked is understood");
    else if (head->fields[QN__CONTENT_LENGTH] || head->old)
        refuse(head, 400, "a body has a length or comes in chunks of HTTP/1.1, not both");
}

static void read_connection(qn__head *head) {
    const char *text = head->fields[QN__CONNECTION];
    head->keeps = head->old && lists(text, "keep-alive");
    head->closes = (head->old && !head->keeps) || lists(text, "close");
}

/* Lines up to the empty one; each ends in CR LF. */
static void read_lines(qn__head *head, char *line, const char *end) {
    char *cr = memchr(line, '\r', (size_t)(end - line));
    read_request_line(head, line, cr);
    for (line = cr + 2; *line != '\r' && !head->refused; line = cr + 2) {
        cr = memchr(line, '\r', (size_t)(end - line));
        read_field(head, line, cr);
    }
}

void qn__head_clear(qn__head *head) {
    memset(head, 0, offsetof(qn__head, arguments));
    head->n_arguments = 0;
    head->length = 0;
    head->old = head->chunked = head->expects = head->closes = head->keeps = false;
    head->method = head->path = "";
}

void qn__head_read(char *bytes, size_t n, qn__head *ret_head) {
    qn__head *head = ret_head;
    qn__head_clear(head);
    if (is_clean(bytes, n))
        read_lines(head, bytes + n_empty(bytes, n), bytes + n);
    else
        refuse(head, 400, "the head has control characters, or lines that do not end in CR LF");
    read_length(head);
    read_coding(head);
    read_connection(head);
    const char *expect = head->fields[QN__EXPECT];
    head->expects = expect && strlen(expect) == 12 && same(expect, "100-continue", 12);
    if (expect && !head->expects)
        refuse(head, 417, "no expectation but 100-continue is understood");
    if (!head->fields[QN__HOST] && !head->old)
        refuse(head, 400, "HTTP/1.1 asks for a Host");
    head->closes |= head->refused != 0;
}

const char *qn__status_text(int status) {
    static const struct {
        int status;
        const char *text;
    } texts[] = {{200, "OK"}, {204, "No Content"}, {400, "Bad Request"}, {401, "Unauthorized"},
                 {403, "Forbidden"}, {404, "Not Found"}, {405, "Method Not Allowed"},
                 {408, "Request Timeout"}, {409, "Conflict"}, {413, "Content Too Large"},
                 {414, "URI Too Long"}, {415, "Unsupported Media Type"},
                 {417, "Expectation Failed"}, {429, "Too Many Requests"},
                 {431, "Request Header Fields Too Large"}, {500, "Internal Server Error"},
                 {501, "Not Implemented"}, {503, "Service Unavailable"},
                 {505, "HTTP Version Not Supported"}};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (texts[i].status == status)
            return texts[i].text;
    return "";
}
