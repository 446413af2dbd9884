"""Recomputes with scikit-learn the models that test_linear.c wrote (same objective, see linear.h).

Exit status 0: weights equal to 1e-5; 1: not; 77: scikit-learn is not there."""
import json
import sys
import warnings

try:
    import numpy as np
    from sklearn.linear_model import ElasticNet, Lasso, LogisticRegression, Ridge
    from sklearn.preprocessing import StandardScaler
except ImportError:
    sys.exit(77)
warnings.simplefilter("ignore")


def fit(c, x, y, w):
    lam, r, n = c["lambda"], c["l1_ratio"], w.sum()
    if c["task"] == "regression":
        if r == 0:
            model = Ridge(alpha=lam * n, tol=1e-14, solver="cholesky")
        elif r == 1:
            model = Lasso(alpha=lam, tol=1e-14, max_iter=1000000)
        else:
            model = ElasticNet(alpha=lam, l1_ratio=r, tol=1e-14, max_iter=1000000)
    elif r == 0:
        model = LogisticRegression(C=1 / (lam * n), solver="newton-cg", tol=1e-8, max_iter=1000, multi_class="multinomial"
                                   if c["task"] == "multiclass" else "ovr")
    else:
        model = LogisticRegression(C=1 / (lam * n), penalty="elasticnet", l1_ratio=r, solver="saga",
                                   tol=1e-8, max_iter=200000)
    return model.fit(x, y, sample_weight=w)


def main():
    bad = 0
    for i, c in enumerate(json.load(open(sys.argv[1]))):
        n = len(c["y"])
        x = np.array(c["x"]).reshape(n, -1)
        y, w = np.array(c["y"]), np.array(c["weight"] or [1.0] * n)
        scaler = StandardScaler().fit(x, sample_weight=w)
        model = fit(c, scaler.transform(x), y, w)
        coef = np.atleast_2d(model.coef_) / scaler.scale_
        intercept = np.atleast_1d(model.intercept_) - coef @ scaler.mean_
        raw, ours = x @ coef.T + intercept, np.array(c["raw"]).reshape(n, -1)
        if c["task"] == "multiclass":  # the same probabilities for any constant added to all classes
            raw, ours = (s - s.mean(axis=1, keepdims=True) for s in (raw, ours))
        gap = np.abs(raw - ours).max()
        # Coefficients are determined where the penalty is not the absolute one of a softmax alone.
        weights = np.array(c["coef"]).reshape(coef.shape)
        scaled = np.abs((weights - coef) * scaler.scale_).max()
        if scaled > 1e-4 * max(1, np.abs(coef * scaler.scale_).max()) and not (c["task"] == "multiclass" and c["l1_ratio"] == 1):
            print(f"# case {i} {c['task']} l1_ratio {c['l1_ratio']}: coefficients differ by {scaled}")
            bad += 1
        if gap > 1e-5 * max(1, np.abs(raw).max()):
            print(f"# case {i} {c['task']} l1_ratio {c['l1_ratio']}: raw scores differ by {gap}")
            bad += 1
    sys.exit(1 if bad else 0)


main()
