/* How long the threads of a loop wait for each other awake.
 *
 * GNU's OpenMP spins for some 15 ms before a thread sleeps. As long as every thread has a processor of
 * its own that is right; beside one other busy program it made training fifty times slower (payments, 60
 * rounds on two threads: 0.4 s alone, 26 s), since the thread that was put aside waits for its turn
 * while the others burn theirs. A third of a millisecond costs nothing alone, and 1.7 s there; who sets
 * OMP_WAIT_POLICY or GOMP_SPINCOUNT has the word.
 *
 * The library reads the environment when it is loaded, so with gcc it is linked into the program
 * (meson.build), where this runs before it does. */
#include <stdlib.h>

__attribute__((constructor(101))) static void wait_briefly(void) {
    if (!getenv("OMP_WAIT_POLICY"))
        setenv("GOMP_SPINCOUNT", "5000", 0);
}
