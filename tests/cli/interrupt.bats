# Nothing half-done: SIGINT, SIGTERM, and kill -9 at many moments of a run.
# KILLS=200 is the full measure; the default keeps the checks short.
load helper

# Long enough to be hit in any stage.
slow_project() {
    table 1500 >data.csv
    project p churned 'train:
  families: {gbdt: {num_iterations: 60}, linear: {}}
evaluate: {bootstrap: 100}'
}

# signalled NAME STATUS: the run ends with this status, and nothing is half-done.
signalled() {
    local signal="$1" want="$2" got=0 pid
    "$QUERN" -q -C p run >out 2>err & # not the function: the signal is for the program
    pid=$!
    sleep 0.25
    kill -s "$signal" "$pid"
    wait "$pid" || got=$?
    [ "$got" -eq "$want" ] || { echo "status $got"; cat err; return 1; }
    contains "$(cat err)" "interrupted"
    [ ! -s out ]
    sound p
    [ -z "$(ls -A p/.quern/tmp)" ]
    contains "$(quern -C p runs list)" cancelled
    [ "$(quern -C p models list)" = "No models yet: 'quern run' registers one." ]
}

@test "SIGINT during a run: status 130, nothing half-done" {
    slow_project
    sed -i 's/num_iterations: 60/num_iterations: 100000/' p/quern.yaml
    # shells start background jobs with SIGINT ignored: python does not
    python3 - <<'END'
import os, signal, subprocess, time
run = subprocess.Popen([os.environ["QUERN"], "-q", "-C", "p", "run"], stdout=open("out", "w"), stderr=open("err", "w"),
                       preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
time.sleep(2)
run.send_signal(signal.SIGINT) # ends the boosting, if that is where it is
time.sleep(0.02)
run.send_signal(signal.SIGINT)
assert run.wait(20) == 130, run.returncode
END
    contains "$(cat err)" "interrupted"
    [ ! -s out ]
    sound p
    [ -z "$(ls -A p/.quern/tmp)" ]
    contains "$(quern -C p runs list)" cancelled
    [ "$(quern -C p models list)" = "No models yet: 'quern run' registers one." ]
}

@test "one SIGINT while boosting: the rounds so far are the model, and the run goes on" {
    slow_project
    sed -i 's/gbdt: {num_iterations: 60}, linear: {}/gbdt: {num_iterations: 100000, learning_rate: 0.001}/' p/quern.yaml
    python3 - <<'END'
import os, signal, subprocess, time
run = subprocess.Popen([os.environ["QUERN"], "-C", "p", "run", "-o", "model.qn", "--json"], stdout=open("out", "w"), stderr=open("err", "w"),
                       preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
time.sleep(2)
run.send_signal(signal.SIGINT)
assert run.wait(60) == 0, (run.returncode, open("err").read())
END
    holds out "any('stopped by hand' in w for w in d['warnings'])"
    holds out "[0 < f['facts']['trees'] < 100000 for f in d['leaderboard'] if f['family'] == 'gbdt'] == [True]"
    # what is fitted after it - folds, the refit on all rows - is whole
    quern -q compress model.qn --output merged.qn --json >merged
    holds merged "d['curve'][0]['trees'] == $(json out "[f['facts']['trees'] for f in d['leaderboard'] if f['family'] == 'gbdt'][0]") > 1"
    sound p
    contains "$(quern -C p runs list)" done
}

@test "SIGTERM during a run: the same" {
    slow_project
    sed -i 's/num_iterations: 60/num_iterations: 100000/' p/quern.yaml
    signalled TERM 130
}

@test "an interrupted prediction leaves no file" {
    table 300 >data.csv
    project p churned
    quern -q -C p run >/dev/null
    awk 'NR == 1 { print; next } { row[NR] = $0 }
        END { for (k = 0; k < 6000; k++) for (i = 2; i <= NR; i++) print row[i] }' data.csv >big.csv
    "$QUERN" -q -C p predict p --input big.csv --output out.csv 2>err &
    local pid=$! got=0
    sleep 0.2
    kill -s TERM $pid || true
    wait $pid || got=$?
    [ "$got" -eq 130 ] || { [ "$got" -eq 0 ] && skip "it was faster than the signal"; }
    [ "$(ls -A | sort | tr '\n' ' ')" = "big.csv data.csv err p " ]
}

@test "kill -9 at ${KILLS:-25} moments of a run: always sound, and the next run succeeds" {
    slow_project
    local kills="${KILLS:-25}"
    python3 - "$kills" <<'END'
import os, subprocess, sys, time
quern, kills = os.environ["QUERN"], int(sys.argv[1])
run = lambda: subprocess.Popen([quern, "-q", "-C", "p", "run"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
def duration():
    start = time.time()
    assert run().wait() == 0
    return time.time() - start
lasts = max(duration(), duration())
hit = 0
for i in range(kills):
    if i % 8 == 0: # a new seed: not always the same bytes
        subprocess.run(["sed", "-i", "/^seed:/d", "p/quern.yaml"], check=True)
        open("p/quern.yaml", "a").write(f"seed: {i}\n")
    process = run()
    time.sleep((i * 0.6180339887 % 1) * lasts) # spread evenly
    process.kill()
    hit += process.wait() != 0
    check = subprocess.run([quern, "-q", "-C", "p", "check"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert check.returncode == 0, f"after kill {i}: {check.stdout}"
assert hit >= kills / 4, f"only {hit} of {kills} were in time"
print(f"# {hit} of {kills} runs were killed", file=sys.stderr)
END
    quern -q -C p run >/dev/null
    sound p
    [ -z "$(ls -A p/.quern/tmp)" ]
    quern -C p runs list -n 0 --json >runs.json
    holds runs.json "all(r['status'] in ('done', 'failed') for r in d['runs'])"
    holds runs.json "sum(r['status'] == 'failed' for r in d['runs']) >= $kills / 8"
    holds runs.json "d['runs'][0]['status'] == 'done'"
}
