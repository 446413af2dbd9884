#include <string.h>

#include "cli/command.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const qn_cli_option common_options[] = {
    {"directory", 'C', "DIR", NULL, "the project is in DIR (default: the current folder)"},
    {"json", 0, NULL, NULL, "print one JSON object on standard output and nothing else there"},
    {"threads", 't', "N", NULL,
     "use N threads; results do not depend on it (default: all processors)"},
    {"seed", 0, "N", NULL, "use N instead of the seeds of quern.yaml"},
    {"quiet", 'q', NULL, NULL, "no progress display"},
    {"help", 'h', NULL, NULL, "show help and exit"},
};

static const qn_cli_option new_options[] = {
    {"source", 's', "FILE", NULL,
     "the data: csv, tsv, jsonl or parquet, plain, .gz or .zst, or a glob"},
    {"target", 'y', "COLUMN", NULL, "the column to predict"},
    {"kind", 0, "KIND", "binary multiclass regression",
     "what to predict (default: seen from the target)"},
};

static const qn_cli_option run_options[] = {
    {"config", 'f', "FILE", NULL, "read FILE of the project folder instead of quern.yaml"},
    {"no-register", 0, NULL, NULL, "train, evaluate and report, but leave the registry as it is"},
    {"output", 'o', "FILE", NULL, "also write the model to FILE (.qn)"},
};

static const qn_cli_option profile_options[] = {
    {"source", 's', "FILE", NULL, "profile this file instead of the project's source"},
    {"target", 'y', "COLUMN", NULL, "also measure every column against this one"},
};

static const qn_cli_option split_options[] = {
    {"config", 'f', "FILE", NULL, "read FILE of the project folder instead of quern.yaml"},
};

static const qn_cli_option predict_options[] = {
    {"input", 'i', "FILE", NULL, "the rows to predict: any kind of file that a source can be"},
    {"output", 'o', "FILE", NULL,
     "where the predictions go, kind by its ending; - is standard output"},
    {"columns", 'c', "A,B,..", NULL, "columns to carry along (default: all; none: none)"},
    {"threshold", 0, "P", NULL, "binary: predict the positive class from this probability on"},
};

static const qn_cli_option evaluate_options[] = {
    {"input", 'i', "FILE", NULL, "labelled rows: any kind of file that a source can be"},
    {"threshold", 0, "P", NULL, "binary: judge at this threshold instead of the model's"},
    {"rounds", 0, "N", NULL, "bootstrap rounds for the intervals (default: 1000)"},
};

static const qn_cli_option explain_options[] = {
    {"input", 'i', "FILE", NULL, "rows to explain: any kind of file that a source can be"},
    {"row", 0, "N", NULL, "explain this row, counted from 1 (default: the first ones)"},
    {"rows", 0, "N", NULL, "so many of them (default: 3; with --row: 1; with --dependence: 1000)"},
    {"class", 0, "CLASS", NULL,
     "of several classes: explain this one (default: the predicted one)"},
    {"interactions", 0, NULL, NULL,
     "also what pairs of inputs do together (SHAP interaction values)"},
    {"conditions", 0, NULL, NULL,
     "also what must hold of the row for its answer to stay the same: the ways through all trees, "
     "merged by feature"},
    {"dependence", 0, "COLUMN", NULL, "instead: how the answer follows this input"},
    {"curves", 0, "N", NULL,
     "with --dependence and --json: the curves of so many single rows (default: 0)"},
};

static const qn_cli_option compress_options[] = {
    {"input", 'i', "FILE", NULL,
     "labelled rows that training did not see (default: none; only what is twice is merged)"},
    {"output", 'o', "FILE", NULL, "where the smaller model goes (.qn)"},
    {"to-bytes", 0, "SIZE", NULL, "choose the best model of at most SIZE, 200KB say"},
    {"max-loss", 0, "SHARE", NULL,
     "choose the smallest whose metric is worse by at most SHARE, its standard error included "
     "(default: 0.1%, or any with --to-bytes)"},
    {"leaf-values", 0, "FORM", "auto float64 float16 uint8",
     "how the values of leaves are kept (default: auto: whichever is best for the size; float64 "
     "without --input)"},
    {"register", 0, "NAME", NULL, "also register it as the next version of NAME"},
    {"alias", 'a', "ALIAS", NULL, "with --register: the alias to move to it (default: none)"},
};

static const qn_cli_option refit_options[] = {
    {"input", 'i', "FILE", NULL, "labelled rows to learn from: any file that a source can be"},
    {"output", 'o', "FILE", NULL, "where the refitted model goes (.qn)"},
    {"decay", 0, "SHARE", NULL,
     "how much of the old leaves stays: 0 the new rows alone, 1 nothing new (default: 0.9)"},
    {"learning-rate", 0, "RATE", NULL,
     "shrinkage of the new values (default: the model's own; 0.1 where its file does not tell)"},
    {"weight", 0, "COLUMN", NULL,
     "column with the weights of the rows, or none (default: the model's own sample.weight)"},
    {"register", 0, "NAME", NULL, "also register it as the next version of NAME"},
    {"alias", 'a', "ALIAS", NULL, "with --register: the alias to move to it (default: none)"},
};

static const qn_cli_option bench_options[] = {
    {"input", 'i', "FILE", NULL, "rows to ask about: any kind of file that a source can be"},
    {"seconds", 0, "TIME", NULL, "how long each of the measurements takes (default: 1s)"},
    {"http", 0, NULL, NULL, "measure `quern serve` with this model instead, one row a request"},
    {"connections", 0, "N", NULL, "with --http: so many ask at a time (default: 32)"},
};

static const qn_cli_option import_options[] = {
    {"output", 'o', "FILE", NULL, "where the model goes (.qn)"},
    {"target", 'y', "NAME", NULL, "what the model predicts (default: target)"},
    {"classes", 0, "A,B,..", NULL,
     "names of the classes in the order of the model's outputs; binary: negative, positive "
     "(default: 0,1,..)"},
};

static const qn_cli_option export_options[] = {
    {"format", 0, "FORMAT", "onnx lightgbm json dot text", "what to write"},
    {"output", 'o', "FILE", NULL, "where it goes (default: -, standard output; onnx needs a file)"},
    {"uncalibrated", 0, NULL, NULL, "onnx, lightgbm: leave the model's calibration out"},
    {"tree", 0, "N", NULL, "json, dot, text: this tree only, counted from 0 (default: all)"},
    {"input", 'i', "FILE", NULL, "json, dot, text: mark the way of a row of FILE"},
    {"row", 0, "N", NULL, "with --input: which row, counted from 1 (default: 1)"},
};

static const qn_cli_option serve_options[] = {
    {"model", 'm', "MODEL", NULL,
     "serve NAME, NAME@ALIAS, NAME:VERSION, a .qn file or a FOLDER/ of them; may be given again "
     "(default: every model of the project that has a champion)"},
    {"port", 'p', "N", NULL, "listen on this port; 0: any free one (default: 8080)"},
    {"host", 0, "ADDRESS", NULL,
     "listen on this address; 0.0.0.0: on all (default: 127.0.0.1, this machine only)"},
    {"body-bytes", 0, "SIZE", NULL, "largest body of a request; 413 beyond (default: 16MiB)"},
    {"connections", 0, "N", NULL, "most connections at a time (default: 1024)"},
    {"in-flight", 0, "N", NULL, "most predictions at a time; 429 beyond (default: 512)"},
    {"request-timeout", 0, "TIME", NULL, "a request must have come whole within (default: 30s)"},
    {"idle-timeout", 0, "TIME", NULL,
     "a connection without requests is closed after (default: 75s)"},
    {"drain-timeout", 0, "TIME", NULL,
     "at the end, wait so long for requests under way (default: 25s)"},
    {"extra-fields", 0, "WHAT", "ignore refuse",
     "what to do with fields that the model does not know (default: ignore)"},
    {"tls-cert", 0, "FILE", NULL, "certificate chain for HTTPS (PEM)"},
    {"tls-key", 0, "FILE", NULL, "its private key (PEM)"},
    {"tokens", 0, "FILE", NULL, "ask for a bearer token of this file, made by `quern token`"},
    {"cors", 0, "ORIGIN", NULL, "let web pages of this origin call; *: of any"},
    {"access-log", 0, "FILE", NULL,
     "write a JSON line for each request; -: to standard error (default: none)"},
};

static const qn_cli_option token_options[] = {
    {"scope", 0, "SCOPE", "predict admin",
     "what it allows; admin includes predict (default: predict)"},
    {"tokens", 0, "FILE", NULL, "the file that its hash is added to (default: tokens)"},
};

static const qn_cli_option report_options[] = {
    {"open", 0, NULL, NULL, "open it in the web browser"},
};

static const qn_cli_option promote_options[] = {
    {"alias", 'a', "ALIAS", NULL, "the alias to move (default: champion)"},
    {"why", 'm', "TEXT", NULL, "the reason, kept in the ledger"},
};

static const qn_cli_option rollback_options[] = {
    {"alias", 'a', "ALIAS", NULL, "the alias to move back (default: champion)"},
};

static const qn_cli_option list_options[] = {
    {"limit", 'n', "N", NULL, "at most N lines (default: 20; 0: all)"},
};

static const qn_cli_command commands[] = {
    {.name = "new",
     .arguments = "NAME",
     .min_arguments = 1,
     .max_arguments = 1,
     .summary = "make a project: look at the data and write a commented quern.yaml",
     .details =
         "Makes the folder NAME with a quern.yaml that says what was found in the data: types, "
         "missing values, columns that look like row numbers or leak the target. Read it, change "
         "what you know better, then `quern run`.",
     .example = "quern new churn --source customers.csv --target churned",
     .options = new_options,
     .n_options = COUNT(new_options),
     .run = qn__cmd_new},
    {.name = "run",
     .summary = "do the whole job: import, profile, split, train, evaluate, report, register",
     .details =
         "Reads quern.yaml of the project, and ends with a registered model and a report. The "
         "model "
         "takes over as champion when it is better on the same held-out rows (register.when). The "
         "same data, config and seed give the same model, byte for byte.",
     .example = "quern run\nquern run -C examples/income --json",
     .options = run_options,
     .n_options = COUNT(run_options),
     .run = qn__cmd_run},
    {.name = "data profile",
     .arguments = "[FILE]",
     .max_arguments = 1,
     .summary = "show what is in the data, and what looks wrong with it",
     .details =
         "Per column: type, missing share, distinct values, quantiles, histogram, top categories, "
         "association with the target. Warnings: constant, id-like, duplicate rows, columns that "
         "know the target too well, rare classes, dates kept as text.",
     .example = "quern data profile\nquern data profile customers.csv --target churned",
     .options = profile_options,
     .n_options = COUNT(profile_options),
     .run = qn__cmd_data_profile},
    {.name = "data split",
     .arguments = "DIR",
     .min_arguments = 1,
     .max_arguments = 1,
     .summary = "write the rows that a run trains, chooses and judges with as files",
     .details = "Makes DIR with train.csv, validate.csv and test.csv, split as quern.yaml says: a "
                "benchmark "
                "set on which other programs can be compared.",
     .options = split_options,
     .n_options = COUNT(split_options),
     .run = qn__cmd_data_split},
    {.name = "evaluate",
     .arguments = "MODEL",
     .min_arguments = 1,
     .max_arguments = 1,
     .summary = "judge a model on labelled rows",
     .details =
         "MODEL is a .qn file, or NAME, NAME@ALIAS or NAME:VERSION of the project's registry. "
         "Gives "
         "every metric with its 95% bootstrap interval, and the value when the model knows it.",
     .example = "quern evaluate fraud --input november.parquet",
     .options = evaluate_options,
     .n_options = COUNT(evaluate_options),
     .run = qn__cmd_evaluate},
    {.name = "predict",
     .arguments = "MODEL",
     .min_arguments = 1,
     .max_arguments = 1,
     .summary = "predict rows of a file",
     .details =
         "Streams: memory does not grow with the input. Columns may come in any order, extra ones "
         "are "
         "carried along or left out, missing ones are an error that lists them. Adds `prediction`, "
         "and `probability` (binary) or `probability_CLASS` (multiclass).",
     .example = "quern predict fraud --input today.csv --output scored.parquet --columns id,Amount",
     .options = predict_options,
     .n_options = COUNT(predict_options),
     .run = qn__cmd_predict},
    {.name = "explain",
     .arguments = "MODEL",
     .min_arguments = 1,
     .max_arguments = 1,
     .summary = "say what a model uses, and why rows are answered as they are",
     .details =
         "Without --input: how much of the gain of all splits each input has, and how many splits. "
         "With rows: what each input adds to the raw score (exact TreeSHAP for trees); base and "
         "contributions add up to it. --interactions takes them apart into pairs, --conditions "
         "tells within which bounds the row comes to the same leaves of every tree. --dependence "
         "shows one input over "
         "its range: the mean answer of the rows when all have that value, the 10 % and 90 % of "
         "their own answers, and the raw score of the trees when nothing else is known.",
     .example = "quern explain fraud\n"
                "quern explain fraud --input today.csv --row 12 --interactions\n"
                "quern explain fraud -i today.csv --conditions --json\n"
                "quern explain fraud -i today.csv --dependence Amount",
     .options = explain_options,
     .n_options = COUNT(explain_options),
     .run = qn__cmd_explain},
    {.name = "compress",
     .arguments = "MODEL",
     .min_arguments = 1,
     .max_arguments = 1,
     .summary = "make the trees of a model smaller and faster, at a loss that you choose",
     .details =
         "Merges equal leaves and subtrees, which changes no answer, then prunes all rounds, the "
         "first half of them, a quarter and so on: again and again the part of a tree that adds "
         "least to the loss of the rows per byte becomes a leaf, until no tree is left. Values of "
         "leaves are doubles, or take 16 or 8 bits, which nearly halves the bytes. Prints "
         "the curve of size, time for a row, and metric, and writes the model marked on it. Every "
         "other row (of a ranking about every other query) prunes, the rest judge; the more rows, "
         "the smaller their error (+-), and the smaller the model. For models of trees (gbdt), but "
         "for those of objective quantile.",
     .example =
         "quern compress fraud --input october.csv --output small.qn\n"
         "quern compress fraud.qn -i october.csv -o tiny.qn --to-bytes 200KB\n"
         "quern compress fraud -i october.csv -o small.qn --register fraud --alias challenger",
     .options = compress_options,
     .n_options = COUNT(compress_options),
     .run = qn__cmd_compress},
    {.name = "refit",
     .arguments = "MODEL",
     .min_arguments = 1,
     .max_arguments = 1,
     .summary = "let the leaves of a model learn from new rows, its splits staying as they are",
     .details =
         "Round by round every leaf keeps the share --decay of its value; the rest is what the "
         "rows that come to it say, given the refitted rounds before: a step by their gradients, "
         "or the quantile of what is left where leaves hold quantiles (quantile, regression_l1). "
         "Rounds that dart dropped are dropped again. A leaf without rows stays as it is, and so "
         "do features, calibration and threshold. Rankings need their column of queries. For "
         "models of trees (gbdt); to grow more trees on new rows, set train.init_model instead.",
     .example = "quern refit fraud --input october.csv --output refitted.qn\n"
                "quern refit fraud.qn -i october.csv -o refitted.qn --decay 0.5\n"
                "quern refit fraud -i october.csv -o new.qn --register fraud --alias challenger",
     .options = refit_options,
     .n_options = COUNT(refit_options),
     .run = qn__cmd_refit},
    {.name = "bench",
     .arguments = "MODEL",
     .min_arguments = 1,
     .max_arguments = 1,
     .summary = "measure how fast a model answers here",
     .details =
         "Asks as a program that links libquern does: single rows by one thread - the time from "
         "the values of a row to its answer - and all rows at once over --threads. At most 100,000 "
         "rows of the file are asked; few are asked over again. With --http a server of --threads "
         "threads is asked over the loopback interface, by one more thread. The machine should "
         "have nothing else to do.",
     .example = "quern bench fraud --input november.parquet\n"
                "quern bench fraud.qn -i rows.csv -t 1 --json\n"
                "quern bench fraud.qn -i rows.csv -t 1 --http --connections 64",
     .options = bench_options,
     .n_options = COUNT(bench_options),
     .run = qn__cmd_bench},
    {.name = "import",
     .arguments = "FILE",
     .min_arguments = 1,
     .max_arguments = 1,
     .summary = "make a model of one trained by LightGBM or XGBoost",
     .details =
         "FILE is a LightGBM text model (save_model) or an XGBoost JSON model (save_model to "
         ".json; boosters gbtree and dart). The result is an ordinary model whose scores are those "
         "of the other program but for the rounding of sums. Categories are the numbers that the "
         "other program was given. What cannot be represented is refused by name; "
         "docs/INTEROP.md tells.",
     .example = "quern import booster.txt --output fraud.qn --target fraud --classes no,yes\n"
                "quern import booster.json --output price.qn --target price",
     .options = import_options,
     .n_options = COUNT(import_options),
     .run = qn__cmd_import},
    {.name = "export",
     .arguments = "MODEL",
     .min_arguments = 1,
     .max_arguments = 1,
     .summary = "write the trees of a model for other programs, or for people",
     .details =
         "onnx and lightgbm: for models whose features are inputs as they are, numbers only for "
         "onnx; Platt's calibration and sampled negatives are worked into the leaves. json, dot "
         "(Graphviz) and text show the trees as they are, on the raw score, of any pipeline; with "
         "--input the way of one row through them.",
     .example = "quern export fraud --format onnx --output fraud.onnx\n"
                "quern export fraud --format dot --tree 0 | dot -Tsvg > tree.svg\n"
                "quern export fraud --format text --tree 7 --input today.csv --row 12",
     .options = export_options,
     .n_options = COUNT(export_options),
     .run = qn__cmd_export},
    {.name = "report",
     .arguments = "[RUN]",
     .max_arguments = 1,
     .summary = "print the path of a run's report (default: the last one)",
     .example = "quern report --open",
     .options = report_options,
     .n_options = COUNT(report_options),
     .run = qn__cmd_report},
    {.name = "serve",
     .summary = "answer predictions over HTTP, in the dialects of many clients",
     .details =
         "Open Inference Protocol v2 (KServe, Triton), MLflow and SageMaker /invocations, "
         "Vertex AI, TensorFlow Serving :predict, and plain JSON by column name; a page to try the "
         "models, /openapi.json, /metrics for Prometheus. Promotions and rollbacks are picked up "
         "within a second. Ctrl-C or SIGTERM drains, SIGHUP opens log and tokens afresh. Every "
         "option can be set by the environment: QUERN_TLS_CERT for --tls-cert, and so on.",
     .example = "quern serve\nquern serve --model fraud:3 --port 9000\n"
                "quern serve --model fraud.qn --host 0.0.0.0 --tokens tokens",
     .options = serve_options,
     .n_options = COUNT(serve_options),
     .run = qn__cmd_serve},
    {.name = "token",
     .arguments = "NAME",
     .min_arguments = 1,
     .max_arguments = 1,
     .summary = "make a bearer token for `quern serve --tokens FILE`",
     .details = "Prints the token once; the file keeps its name, scope and hash, one line each. To "
                "take a token back, delete its line and send the server SIGHUP.",
     .example = "quern token shop --tokens tokens\nquern serve --tokens tokens",
     .options = token_options,
     .n_options = COUNT(token_options),
     .run = qn__cmd_token},
    {.name = "models list",
     .arguments = "[NAME]",
     .max_arguments = 1,
     .summary = "list the registered models, their versions and aliases",
     .run = qn__cmd_models_list},
    {.name = "models show",
     .arguments = "MODEL",
     .min_arguments = 1,
     .max_arguments = 1,
     .summary = "show a model: signature, metrics, worth, lineage",
     .example = "quern models show churn\nquern models show churn:3",
     .run = qn__cmd_models_show},
    {.name = "models promote",
     .arguments = "NAME:VERSION",
     .min_arguments = 1,
     .max_arguments = 1,
     .summary = "point an alias at a version",
     .example = "quern models promote churn:3 --why 'better on October'",
     .options = promote_options,
     .n_options = COUNT(promote_options),
     .run = qn__cmd_models_promote},
    {.name = "models rollback",
     .arguments = "NAME",
     .min_arguments = 1,
     .max_arguments = 1,
     .summary = "point an alias back at the version it had before",
     .options = rollback_options,
     .n_options = COUNT(rollback_options),
     .run = qn__cmd_models_rollback},
    {.name = "models diff",
     .arguments = "MODEL MODEL",
     .min_arguments = 2,
     .max_arguments = 2,
     .summary = "compare two versions: metrics, features, parameters, sizes",
     .example = "quern models diff churn:2 churn:3",
     .run = qn__cmd_models_diff},
    {.name = "models history",
     .arguments = "[NAME]",
     .max_arguments = 1,
     .summary = "print the ledger: what was trained, registered, promoted, and when",
     .run = qn__cmd_models_history},
    {.name = "runs list",
     .summary = "list the runs, newest first",
     .options = list_options,
     .n_options = COUNT(list_options),
     .run = qn__cmd_runs_list},
    {.name = "runs show",
     .arguments = "RUN",
     .min_arguments = 1,
     .max_arguments = 1,
     .summary = "show everything about a run; RUN is an id, its beginning, or last",
     .run = qn__cmd_runs_show},
    {.name = "runs compare",
     .arguments = "RUN RUN",
     .min_arguments = 2,
     .max_arguments = 2,
     .summary = "set two runs side by side",
     .run = qn__cmd_runs_compare},
    {.name = "check",
     .summary = "verify every hash and reference of the project's workspace",
     .run = qn__cmd_check},
    {.name = "help",
     .arguments = "[COMMAND | TOPIC]",
     .words = "config schema parameters transforms metrics man markdown bash zsh fish",
     .max_arguments = 2,
     .summary = "explain a command, quern.yaml, parameters; print the man page or shell completion",
     .details = "Topics: config (every key of quern.yaml), schema (its JSON Schema, for editors), "
                "parameters "
                "(of the model families), transforms (of features), metrics, man (the man page), "
                "markdown (this "
                "reference), bash, zsh, fish (completion, to be sourced by the shell).",
     .example = "quern help run\nquern help config\nsource <(quern help bash)",
     .run = qn__cmd_help},
};

const qn_cli_command *qn__cli_commands(size_t *ret_n) {
    *ret_n = COUNT(commands);
    return commands;
}

bool qn__cli_is_group(const char *word) {
    size_t len = strlen(word);
    for (size_t i = 0; i < COUNT(commands); i++)
        if (strncmp(commands[i].name, word, len) == 0 && commands[i].name[len] == ' ')
            return true;
    return false;
}

const qn_cli_option *qn__cli_common_options(size_t *ret_n) {
    *ret_n = COUNT(common_options);
    return common_options;
}
