/* run.h - the whole job of a project: from quern.yaml and a table to a judged, registered model.
 *
 *     qn_run_options options = {.folder = "fraud", .job = &job};
 *     qn_cleanup(qn_json_free) json_t *summary = NULL;
 *     QN_TRY(qn_run(&options, &summary, err));
 *
 * Stages: import (snapshot), profile, split, train (one pipeline per kind of learner, every family,
 * the baselines), choose, calibrate, evaluate, compare with the champion, report, register. Each
 * stage is a file run_*.c; run.c strings them together and keeps the books in the workspace. */
#ifndef QN_FLOW_RUN_H
#define QN_FLOW_RUN_H

#include "base/job.h"
#include "base/json.h"

typedef struct qn_run_options {
    const char *folder;    /* the project: holds quern.yaml */
    const char *config;    /* file in it; NULL: quern.yaml */
    const qn_job *job;     /* threads, cancellation, progress; memory_bytes is taken from the config */
    bool has_seed;
    int64_t seed;          /* when has_seed: instead of the config's */
    bool no_register;      /* leave the registry as it is */
    const char *model_file;/* also write the model here; NULL for none */
} qn_run_options;

/* *ret_summary: the object of DESIGN's `quern run --json`, with "registration" and "warnings"
 * added. New reference. A failed or cancelled run is in the workspace too, with its reason. Errors:
 * all of them. */
qn_status qn_run(const qn_run_options *options, json_t **ret_summary, qn_error *err) QN_MUST_USE;

/* The rows that a run would train, choose and judge with, as train.csv, validate.csv and test.csv
 * in `folder`: a benchmark set for other programs. */
qn_status qn_run_split_files(const qn_run_options *options, const char *folder, qn_error *err)
    QN_MUST_USE;

#endif
