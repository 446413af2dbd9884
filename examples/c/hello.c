/* One row, one call: hello MODEL JSON
 *
 *     cc hello.c -o hello $(pkg-config --cflags --libs quern)
 *     ./hello fraud.qn '{"Amount": 9.5, "Time": 406}' */
#include <quern.h>
#include <stdio.h>

int main(int argc, char **argv) {
    if (argc != 3)
        return fprintf(stderr, "usage: hello MODEL JSON\n"), 2;
    qn_error err = {QN_OK};
    char *answer = NULL;
    if (qn_predict_once(argv[1], argv[2], &answer, &err) != QN_OK)
        return fprintf(stderr, "hello: %s\n", err.message), 1;
    puts(answer);
    qn_text_free(&answer);
    return 0;
}
