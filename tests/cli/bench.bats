# quern bench: the shape of what it says; never how fast.
load helper

prepare() {
    table 300 >data.csv
    project p churned
    quern -q -C p run -o "$WORK/m.qn" --json >run.json
}

@test "single rows and batches are measured, whatever the inputs" {
    quern -q bench m.qn --input data.csv --seconds 0.05s --threads 2 --json >out
    holds out "set(d) == {'rows', 'single_row_us', 'batch_rows_per_s', 'threads'}"
    holds out "0 < d['single_row_us']['p50'] <= d['single_row_us']['p99'] and d['batch_rows_per_s'] > 0"
    holds out "d['rows'] == 16384 and d['threads'] == 2"
    # only numbers: another way in
    mkdir n
    printf 'task: {target: worth}\ndata: {source: ../data.csv, drop: [id, when, shop, colour, note, churned, kind]}\n%s\n' "$QUICK" >n/quern.yaml
    quern -q -C n run -o "$WORK/n.qn" --json >run.json
    quern -q bench n.qn -i data.csv --seconds 0.05s -t 1 --json >out
    holds out "0 < d['single_row_us']['p50'] <= d['single_row_us']['p99'] and d['threads'] == 1"
    # and for people, by the registry's name
    contains "$(quern -q -C p bench p --input data.csv --seconds 0.05s)" p50 p99 "16,384 rows at once: " "rows/s"
}

@test "the server is measured" {
    quern -q bench m.qn --input data.csv --http --seconds 0.1s --threads 1 --connections 3 --json >out
    holds out "set(d) == {'requests_per_s', 'latency_us', 'requests', 'connections', 'threads'}"
    holds out "0 < d['latency_us']['p50'] <= d['latency_us']['p99'] and d['latency_us']['mean'] > 0"
    holds out "d['requests'] > 0 and d['requests_per_s'] > 0 and d['connections'] == 3 and d['threads'] == 1"
    cd p
    contains "$(quern -q bench p --input ../data.csv --http --seconds 0.05s -t 1)" p50 p99 "requests/s over 32 connections, served by 1 thread"
}

@test "bad input to bench" {
    refused 2 "'quern bench' needs --input FILE" bench m.qn
    refused 2 "--seconds must be a time of at most 10 minutes, not 'long'" bench m.qn --input data.csv --seconds long
    refused 2 "--connections must be a whole number from 1 to 1024, not '0'" bench m.qn --input data.csv --http --connections 0
    head -1 data.csv >none.csv
    refused 3 "none.csv has no rows to ask about" bench m.qn --http --input none.csv
    refused 3 "none.csv has no rows to ask about" bench m.qn --input none.csv
    cut -d, -f1-3 data.csv >few.csv
    refused 3 "few.csv lacks columns that the model needs: 'colour', 'size', 'price', 'age', 'note', 'weight'" bench m.qn --input few.csv
}

@test "threads wait for each other awake for a moment only, unless told otherwise" {
    ! ldd "$QUERN" | grep -q 'lib[gi]*omp' || skip "OpenMP is not part of this build"
    contains "$(OMP_DISPLAY_ENV=verbose env -u OMP_WAIT_POLICY "$QUERN" --version 2>&1)" "GOMP_SPINCOUNT = '5000'"
    contains "$(GOMP_SPINCOUNT=77 OMP_DISPLAY_ENV=verbose env -u OMP_WAIT_POLICY "$QUERN" --version 2>&1)" "GOMP_SPINCOUNT = '77'"
    contains "$(OMP_WAIT_POLICY=passive OMP_DISPLAY_ENV=verbose "$QUERN" --version 2>&1)" "GOMP_SPINCOUNT = '0'"
}
