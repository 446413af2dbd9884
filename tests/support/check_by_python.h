/* check_by_python.h - numbers against an independent reference: cases are written to a file, which
 * a script beside the test reads and checks. */
#ifndef QN_TESTS_CHECK_BY_PYTHON_H
#define QN_TESTS_CHECK_BY_PYTHON_H

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/json.h"
#include "base/mem.h"

/* Fails when the script finds a difference (its exit status); skips the test when it ends with 77,
 * which is how it says that scikit-learn is missing, or when there is no Python. `script` is
 * relative to the source root. */
static void check_by_python(const char *script, const json_t *cases) {
    char path[] = "/tmp/quern-check-XXXXXX", command[1024];
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    FILE *file = fdopen(fd, "w");
    assert_non_null(file);
    qn_cleanup(qn_freep) char *text = qn_json_text(cases, QN_JSON_COMPACT);
    assert_true(text && fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    snprintf(command, sizeof command, "env -u LD_PRELOAD /usr/bin/python3 '%s/%s' %s",
             QN_SOURCE_ROOT, script, path);
    int status = system(command);
    unlink(path);
    if (WIFEXITED(status) && (WEXITSTATUS(status) == 77 || WEXITSTATUS(status) == 127)) {
        print_message("# scikit-learn is not installed\n");
        skip();
    }
    assert_int_equal(status, 0);
}

#endif
