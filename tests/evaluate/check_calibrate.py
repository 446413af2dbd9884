"""Recomputes with scikit-learn the calibrations that test_calibrate.c wrote: Platt on the logits, isotonic.

Exit status 0: equal to 1e-6 (Platt, where its own fit ends early) and 1e-9; 1: not; 77: scikit-learn is not there."""
import json
import sys

try:
    import numpy as np
    from sklearn.calibration import _SigmoidCalibration
    from sklearn.isotonic import IsotonicRegression
except ImportError:
    sys.exit(77)


def logit(p):
    p = np.clip(p, 1e-15, 1 - 1e-15)
    return np.log(p) - np.log1p(-p)


def calibrated(c, scores, hit, weight, asked):
    if c["kind"] == "isotonic":
        model = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip")
        return model.fit(scores, hit, sample_weight=weight).predict(asked)
    model = _SigmoidCalibration().fit(logit(scores), hit, sample_weight=weight)
    return model.predict(logit(asked))


def main():
    bad = 0
    for i, c in enumerate(json.load(open(sys.argv[1]))):
        y, k = np.array(c["y"]), c["n_outputs"]
        scores, asked = (np.array(c[name]).reshape(-1, k) for name in ("scores", "asked"))
        weight = np.array(c["weight"]) if c["weight"] else np.ones(len(y))
        ours = np.array(c["mapped"]).reshape(-1, k)
        theirs = np.column_stack([calibrated(c, scores[:, j], (y == (1 if k == 1 else j)).astype(float), weight,
                                             asked[:, j]) for j in range(k)])
        if k > 1:
            theirs = theirs / theirs.sum(axis=1, keepdims=True)
        gap = np.abs(ours - theirs).max()
        if not gap <= (1e-9 if c["kind"] == "isotonic" else 1e-6):
            print(f"# case {i} {c['kind']} {k} outputs: differs by {gap}")
            bad += 1
    sys.exit(1 if bad else 0)


main()
