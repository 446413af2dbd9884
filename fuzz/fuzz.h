/* fuzz.h - what the fuzz targets share: numbers taken from the input, a small frame for any schema,
 * and a complaint that libFuzzer sees. A target trusts nothing it is given and checks promises of
 * the headers, not only that nothing crashes. */
#ifndef QN_FUZZ_FUZZ_H
#define QN_FUZZ_FUZZ_H

#include "base/mem.h"
#include "data/frame.h"
#include "feature/pipeline.h"

/* libFuzzer's entry points; it declares none of them for C. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);
size_t LLVMFuzzerCustomCrossOver(const uint8_t *a, size_t n_a, const uint8_t *b, size_t n_b,
                                 uint8_t *out, size_t max_size, unsigned seed);

enum { FUZZ_ROWS = 6 };

/* Ends the program as a finding unless `holds`. */
void fuzz_require(bool holds, const char *promise);
/* That a failure is told: a code that matches and a message of valid UTF-8. */
void fuzz_require_told(qn_status status, const qn_error *err);

/* Removes up to n_bytes (at most 8) from the front of the input, as a little-endian number. */
uint64_t fuzz_take(const uint8_t **data, size_t *size, size_t n_bytes);

/* FUZZ_ROWS rows for a schema: edge values of every type, missing ones, and texts among which are
 * those that `pipeline` (may be NULL) has seen. Owned by the caller. */
qn_frame *fuzz_frame(const qn_schema *schema, const qn_pipeline *pipeline);

/* Equal numbers, NaN being equal to itself. */
bool fuzz_same_numbers(const double *a, const double *b, size_t n);

/* Equal values; a number that was written without its fraction (2 for 2.0) is the same number. */
bool fuzz_same_json(const json_t *a, const json_t *b);

/* NUL-terminated copy, owned by the caller. */
char *fuzz_text(const uint8_t *data, size_t size);

#endif
