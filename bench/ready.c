/* Opening a large model: how long qn_model_open takes, and what stays resident beyond the file.
 *     ready [megabytes] [file]
 * Makes a model of random trees of 255 leaves over 28 columns, and opens it in fresh processes, with
 * the file in the page cache. With a file's name it only makes the model there. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/rng.h"
#include "learn/gbdt_model_int.h"
#include "model/model.h"

enum { COLUMNS = 28, LEAVES = 255, NODES = 2 * LEAVES - 1, CUTS = 254, ROWS = 200, TIMES = 9 };

static qn_error err;

static void check(qn_status status) {
    if (status == QN_OK)
        return;
    fprintf(stderr, "%s\n", err.message);
    exit(1);
}

/* A random shape in breadth-first order. */
static void make_tree(qn_rng *rng, qn__plain_node *nodes) {
    uint32_t next = 1;
    for (uint32_t i = 0; i < NODES; i++) {
        bool must = next == i + 1, may = next < NODES;
        if (may && (must || qn_rng_uniform(rng) < 0.6)) {
            nodes[i] = (qn__plain_node){
                .threshold = (double)qn_rng_below(rng, CUTS) / CUTS, .left = next,
                .slot_flags = (uint32_t)qn_rng_below(rng, COLUMNS)
                              | (qn_rng_below(rng, 2) ? QN__NODE_MISSING_LEFT : 0)};
            next += 2;
            continue;
        }
        nodes[i] = (qn__plain_node){.value = qn_rng_normal(rng), .count = 1,
                                    .slot_flags = QN__NODE_LEAF};
    }
}

static qn_learner *make_learner(int32_t n_trees, const qn_feature *features) {
    qn__plain p = {.n_outputs = 1, .n_features = COLUMNS, .n_trees = n_trees, .objective = 1,
                   .link = QN_LINK_IDENTITY, .best_iteration = n_trees, .n_slots = COLUMNS};
    p.base = qn_new_array(double, 1);
    p.start = qn_new_array(int64_t, n_trees + 1);
    p.nodes = qn_new_array(qn__plain_node, (int64_t)n_trees *NODES);
    p.slot_column = qn_new_array(int32_t, COLUMNS);
    p.slot_gain = qn_new_array(double, COLUMNS);
    p.slot_bins = qn_new_array(uint64_t, COLUMNS);
    qn_rng rng;
    qn_rng_init(&rng, 1);
    for (int32_t s = 0; s < COLUMNS; s++)
        p.slot_column[s] = s;
    for (int32_t t = 0; t < n_trees; t++) {
        make_tree(&rng, p.nodes + p.start[t]);
        p.start[t + 1] = p.start[t] + NODES;
    }
    qn_learner *learner = NULL;
    check(qn__gbdt_pack(&p, features, &learner, &err));
    qn__plain_done(&p);
    return learner;
}

static qn_frame *make_frame(void) {
    qn_frame_builder *b = NULL;
    qn_frame *frame = NULL;
    char name[16];
    check(qn_frame_builder_new(&b, &err));
    for (int c = 0; c <= COLUMNS; c++) {
        snprintf(name, sizeof name, "x%d", c);
        check(qn_frame_builder_add_column(b, name, QN_TYPE_F64, &err));
    }
    for (uint64_t i = 0; i < ROWS; i++)
        for (int c = 0; c <= COLUMNS; c++)
            check(qn_frame_builder_number(b, c, qn_rng_hash_uniform((uint64_t)c, i), &err));
    check(qn_frame_builder_finish(b, &frame, &err));
    qn_frame_builder_free(&b);
    return frame;
}

static void make_file(int64_t megabytes, const char *path) {
    qn_frame *frame = make_frame();
    const char *inputs[COLUMNS];
    for (int c = 0; c < COLUMNS; c++)
        inputs[c] = frame->columns[c].name;
    qn_target_info target = {0};
    qn_target_options options = {.column = frame->columns[COLUMNS].name, .kind = "regression"};
    double *y = NULL;
    qn_pipeline_spec *spec = NULL;
    qn_model *model = NULL;
    qn_matrix *x = NULL;
    check(qn_target_infer(frame, &options, &target, &err));
    check(qn_target_values(frame, &target, &y, &err));
    check(qn_pipeline_spec_auto(frame, inputs, COLUMNS, QN_TAKES_MISSING, &spec, &err));
    qn_model_parts parts = {.target = &target, .negatives_rate = 1, .threshold = 0.5,
                            .about = json_object()};
    check(qn_pipeline_fit(spec, frame, NULL, ROWS, y, &target, 1, NULL, &parts.pipeline, &x, &err));
    int32_t tree_bytes = NODES * 4 + LEAVES * 12 + 8;
    parts.learner = make_learner((int32_t)(megabytes * 1000000 / tree_bytes), x->features);
    check(qn_model_new(&parts, &model, &err));
    check(qn_model_save(model, path, &err));
}

static int64_t status_bytes(const char *field) {
    char line[256];
    long long kilobytes = 0;
    FILE *file = fopen("/proc/self/status", "r");
    while (file && fgets(line, sizeof line, file))
        if (!strncmp(line, field, strlen(field)))
            sscanf(line + strlen(field), ": %lld", &kilobytes);
    if (file)
        fclose(file);
    return kilobytes * 1024;
}

/* In a process of its own: four numbers for the parent. */
static int open_once(const char *path) {
    int64_t before = status_bytes("VmRSS");
    double start = qn_now_s();
    clock_t clock_start = clock();
    qn_model *model = NULL;
    check(qn_model_open(path, &model, &err));
    double ms = 1e3 * (qn_now_s() - start);
    double cpu_ms = 1e3 * (double)(clock() - clock_start) / CLOCKS_PER_SEC;
    printf("%.3f %.3f %lld %lld\n", ms, cpu_ms, (long long)(status_bytes("VmRSS") - before),
           (long long)status_bytes("RssAnon"));
    return 0;
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void open_often(const char *program, const char *path) {
    double ms[TIMES], cpu_ms[TIMES];
    long long grown = 0, anonymous = 0;
    char command[2048];
    snprintf(command, sizeof command, "%s --open %s", program, path);
    for (int k = 0; k < TIMES; k++) {
        FILE *pipe = popen(command, "r");
        if (!pipe || fscanf(pipe, "%lf %lf %lld %lld", &ms[k], &cpu_ms[k], &grown, &anonymous) != 4)
            exit(1);
        pclose(pipe);
    }
    qsort(ms, TIMES, sizeof *ms, compare);
    qsort(cpu_ms, TIMES, sizeof *cpu_ms, compare);
    int64_t bytes = 0;
    check(qn_file_size(path, &bytes, &err));
    printf("model_bytes: %lld\nopen_p50_ms: %.2f\nopen_fastest_ms: %.2f\nopen_cpu_p50_ms: %.2f\n",
           (long long)bytes, ms[TIMES / 2], ms[0], cpu_ms[TIMES / 2]);
    printf("resident_growth_bytes: %lld\nresident_growth_beyond_file_bytes: %lld\n"
           "resident_not_file_bytes: %lld\n", grown, grown - (long long)bytes, anonymous);
}

int main(int argc, char **argv) {
    if (argc == 3 && !strcmp(argv[1], "--open"))
        return open_once(argv[2]);
    int64_t megabytes = argc > 1 ? atoll(argv[1]) : 100;
    if (argc > 2) {
        make_file(megabytes, argv[2]);
        return 0;
    }
    char path[] = "/tmp/quern-ready-XXXXXX";
    int fd = mkstemp(path);
    if (fd < 0)
        return 1;
    close(fd);
    make_file(megabytes, path);
    open_often(argv[0], path);
    unlink(path);
    return 0;
}
