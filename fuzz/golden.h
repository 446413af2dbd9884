/* golden.h - the models that the targets of the server ask. */
#ifndef QN_FUZZ_GOLDEN_H
#define QN_FUZZ_GOLDEN_H

enum { N_GOLDEN = 6 };

const char *golden_folder(void);
const char *golden_name(int i);
char *golden_path(int i); /* owned by the caller */

#endif
