# Objectives of gbdt from end to end, beside other libraries on the same rows.
load helper

check() {
    local status=0
    env -u LD_PRELOAD /usr/bin/python3 "$HERE/objectives_check.py" "$@" || status=$?
    [ "$status" != 77 ] || skip 'python3-xgboost or python3-sklearn is not installed'
    [ "$status" = 0 ]
}

@test "one against the rest is as good as scikit-learn's" { check ova; }

@test "soft labels are learnt as well as by XGBoost" { check entropy; }

@test "a soft label out of range is told with its row and value" {
    awk 'BEGIN { print "x,y"; for (i = 0; i < 100; i++) print i "," (i == 41 ? 1.5 : i / 100) }' >data.csv
    mkdir p
    printf 'task: {target: y, kind: regression}\ndata: {source: ../data.csv}\ntrain:\n  families: {gbdt: {objective: xentropy}}\n' >p/quern.yaml
    refused 3 '../data.csv row 42, column y: the target is 1.5: objective cross_entropy takes numbers from 0 to 1' -C p run
    sed -i 's/xentropy/gamma/' p/quern.yaml
    refused 3 '../data.csv row 1, column y: the target is 0: objective gamma takes numbers above 0' -C p run
    sed -i 's/gamma/ova/' p/quern.yaml
    refused 2 'p/quern.yaml line 4: train.families: objective multiclassova does not fit a regression task' -C p run
}
