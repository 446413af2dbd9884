/* hash.h - two hashes. qn_hash64 (XXH3, xxhash library) is fast and stable for ever: feature
 * hashing and dictionaries depend on it. qn_digest (BLAKE2b-256, libsodium) names content: objects,
 * data sets, models. */
#ifndef QN_BASE_HASH_H
#define QN_BASE_HASH_H

#include "base/error.h"

uint64_t qn_hash64(const void *bytes, size_t n, uint64_t seed);

enum { QN_DIGEST_BYTES = 32, QN_DIGEST_TEXT = 65 };

/* Streaming content hash. */
typedef struct qn_digest {
    _Alignas(64) unsigned char state[384]; /* libsodium's crypto_generichash_state */
} qn_digest;

void qn_digest_init(qn_digest *digest);
void qn_digest_update(qn_digest *digest, const void *bytes, size_t n);
/* 64 lower-case hexadecimal digits and a NUL. */
void qn_digest_final(qn_digest *digest, char ret_text[QN_DIGEST_TEXT]);
void qn_digest_bytes(const void *bytes, size_t n, char ret_text[QN_DIGEST_TEXT]);
qn_status qn_digest_file(const char *path, char ret_text[QN_DIGEST_TEXT], qn_error *err)
    QN_MUST_USE;

#endif
