/* Bearer tokens. A token is 32 random bytes, so that a plain hash of it is enough: there is nothing
 * to guess. The file keeps lines "NAME SCOPE HASH"; '#' begins a comment. */
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/file.h"
#include "base/hash.h"
#include "serve/serve_int.h"

enum { FILE_BYTES = 1 << 20, SECRET_BYTES = 32 };

typedef struct token {
    qn__scope scope;
    char hash[QN_DIGEST_TEXT];
} token;

struct qn__tokens {
    token *items; /* owned */
    size_t n;
};

static bool read_scope(const char *word, qn__scope *ret) {
    *ret = strcmp(word, "admin") == 0 ? QN__ADMIN : QN__PREDICT;
    return *ret == QN__ADMIN || strcmp(word, "predict") == 0;
}

static bool is_name(const char *name) {
    size_t n = strlen(name);
    return n > 0 && n <= 64
           && strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
                  == n;
}

qn_status qn_token_new(const char *name, const char *scope, char ret_token[QN_TOKEN_TEXT],
                       char ret_line[QN_TOKEN_LINE], qn_error *err) {
    unsigned char secret[SECRET_BYTES];
    char text[QN_TOKEN_TEXT], hash[QN_DIGEST_TEXT];
    qn__scope ignored;
    QN_FAIL_IF(!is_name(name), err, QN_ERR_USAGE,
               "a token's name has letters, digits, '.', '_' and '-' only, at most 64");
    QN_FAIL_IF(!read_scope(scope, &ignored), err, QN_ERR_USAGE,
               "a scope is predict or admin, not '%.40s'", scope);
    QN_FAIL_IF(sodium_init() < 0, err, QN_ERR_IO, "the system has no random numbers");
    randombytes_buf(secret, sizeof secret);
    memcpy(text, "quern_", 6);
    sodium_bin2base64(text + 6, sizeof text - 6, secret, sizeof secret,
                      sodium_base64_VARIANT_URLSAFE_NO_PADDING);
    sodium_memzero(secret, sizeof secret);
    qn_digest_bytes(text, strlen(text), hash);
    snprintf(ret_line, QN_TOKEN_LINE, "%s %s %s", name, scope, hash);
    memcpy(ret_token, text, sizeof text);
    return QN_OK;
}

static bool is_hash(const char *text) {
    return strlen(text) == QN_DIGEST_TEXT - 1 && strspn(text, "0123456789abcdef") == strlen(text);
}

static qn_status add_line(qn__tokens *tokens, const char *path, int64_t row, const char *line,
                          qn_error *err) {
    char name[72], scope[16], hash[80], rest[2];
    token new;
    int n = sscanf(line, "%71s %15s %79s %1s", name, scope, hash, rest);
    if (n <= 0 || name[0] == '#')
        return QN_OK;
    if (n != 3 || !is_name(name) || !read_scope(scope, &new.scope) || !is_hash(hash))
        return qn_error_set_at(err, QN_ERR_CONFIG, path, row, NULL,
                               "not a line 'NAME SCOPE HASH' as `quern token` makes them");
    memcpy(new.hash, hash, sizeof new.hash);
    token *larger = qn_realloc(tokens->items, tokens->n + 1, sizeof *larger);
    if (!larger)
        return qn_error_memory(err);
    tokens->items = larger;
    tokens->items[tokens->n++] = new;
    return QN_OK;
}

qn_status qn__tokens_open(const char *path, qn__tokens **ret_tokens, qn_error *err) {
    qn_cleanup(qn__tokens_free) qn__tokens *tokens = qn_new(qn__tokens);
    qn_cleanup(qn_freep) char *text = NULL;
    size_t n;
    if (!tokens)
        return qn_error_memory(err);
    QN_TRY(qn_file_read(path, FILE_BYTES, &text, &n, err));
    char *rest = text, *line;
    for (int64_t row = 1; (line = strsep(&rest, "\n")); row++)
        QN_TRY(add_line(tokens, path, row, line, err));
    QN_FAIL_IF(tokens->n == 0, err, QN_ERR_CONFIG,
               "%s has no token, so that nobody could ask anything: `quern token NAME` makes one",
               path);
    *ret_tokens = qn_steal(&tokens);
    return QN_OK;
}

void qn__tokens_free(qn__tokens **tokens) {
    if (!tokens || !*tokens)
        return;
    qn_freep(&(*tokens)->items);
    qn_freep(tokens);
}

qn__scope qn__tokens_scope(const qn__tokens *tokens, const char *authorization) {
    char hash[QN_DIGEST_TEXT];
    qn__scope scope = QN__OPEN;
    if (!authorization || strncasecmp(authorization, "Bearer ", 7) != 0)
        return QN__OPEN;
    const char *text = authorization + 7;
    text += strspn(text, " ");
    qn_digest_bytes(text, strlen(text), hash);
    for (size_t i = 0; i < tokens->n; i++)
        if (sodium_memcmp(tokens->items[i].hash, hash, QN_DIGEST_TEXT) == 0
            && tokens->items[i].scope > scope)
            scope = tokens->items[i].scope;
    return scope;
}
