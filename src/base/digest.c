/* The content hash, apart from qn_hash64 so that what only predicts needs no libsodium. */
#include <fcntl.h>
#include <sodium.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/mem.h"

_Static_assert(sizeof(crypto_generichash_state) <= sizeof(((qn_digest *)0)->state),
               "qn_digest holds libsodium's state");

static crypto_generichash_state *state_of(qn_digest *digest) {
    return (crypto_generichash_state *)(void *)digest->state;
}

void qn_digest_init(qn_digest *digest) {
    crypto_generichash_init(state_of(digest), NULL, 0, QN_DIGEST_BYTES);
}

void qn_digest_update(qn_digest *digest, const void *bytes, size_t n) {
    crypto_generichash_update(state_of(digest), bytes, n);
}

void qn_digest_final(qn_digest *digest, char ret_text[QN_DIGEST_TEXT]) {
    unsigned char out[QN_DIGEST_BYTES];
    crypto_generichash_final(state_of(digest), out, sizeof out);
    sodium_bin2hex(ret_text, QN_DIGEST_TEXT, out, sizeof out);
}

void qn_digest_bytes(const void *bytes, size_t n, char ret_text[QN_DIGEST_TEXT]) {
    qn_digest digest;
    qn_digest_init(&digest);
    qn_digest_update(&digest, bytes, n);
    qn_digest_final(&digest, ret_text);
}

qn_status qn_digest_file(const char *path, char ret_text[QN_DIGEST_TEXT], qn_error *err) {
    enum { CHUNK = 1 << 17 };
    qn_cleanup(qn_freep) char *chunk = qn_new_array(char, CHUNK);
    if (!chunk)
        return qn_error_memory(err);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return qn_error_errno(err, "open", path);
    qn_digest digest;
    qn_digest_init(&digest);
    ssize_t n;
    while ((n = read(fd, chunk, CHUNK)) > 0)
        qn_digest_update(&digest, chunk, (size_t)n);
    qn_status status = n < 0 ? qn_error_errno(err, "read", path) : QN_OK;
    close(fd);
    if (status == QN_OK)
        qn_digest_final(&digest, ret_text);
    return status;
}
