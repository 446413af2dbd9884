"""Recomputes with scikit-learn what test_metric.c wrote: a list of cases with our values.

Exit status 0: all equal to 1e-9; 1: not (differences are printed); 77: scikit-learn is not there."""
import json
import math
import sys
import warnings

try:
    import numpy as np
    from sklearn import metrics as m
except ImportError:
    sys.exit(77)
warnings.simplefilter("ignore")


def ece(hit, p, w):
    edges = np.clip(np.ceil(p * 15).astype(int) - 1, 0, 14)
    return sum(abs(np.sum((w * (p - hit))[edges == b])) for b in range(15)) / w.sum()


def binary(c, y, p, w, kw):
    said = (p >= c["threshold"]).astype(int)
    ll = m.log_loss(y, p, labels=[0, 1], **kw)
    share = np.average(y, weights=w)
    entropy = -(share * math.log(share) + (1 - share) * math.log(1 - share)) if 0 < share < 1 else math.nan
    one = len(set(y)) < 2
    return {
        "roc_auc": math.nan if one else m.roc_auc_score(y, p, **kw),
        "pr_auc": m.average_precision_score(y, p, **kw),
        "log_loss": ll,
        "normalized_entropy": ll / entropy,
        "brier": m.brier_score_loss(y, p, pos_label=1, **kw),
        "ece": ece(y, p, w),
        "accuracy": m.accuracy_score(y, said, **kw),
        "balanced_accuracy": m.balanced_accuracy_score(y, said, **kw),
        "f1": m.f1_score(y, said, zero_division=0, **kw),
        "precision": m.precision_score(y, said, zero_division=0, **kw),
        "recall": m.recall_score(y, said, zero_division=0, **kw),
        "mcc": m.matthews_corrcoef(y, said, **kw),
    }


def multiclass(c, y, p, w, kw):
    k = c["n_classes"]
    p = p.reshape(-1, k)
    said = p.argmax(axis=1)
    labels = list(range(k))
    all_there = len(set(y)) == k
    return {
        "log_loss": m.log_loss(y, p, labels=labels, **kw),
        "brier": np.average(((p - np.eye(k)[y]) ** 2).sum(axis=1), weights=w),
        "ece": ece((said == y).astype(float), p.max(axis=1), w),
        "accuracy": m.accuracy_score(y, said, **kw),
        "balanced_accuracy": m.balanced_accuracy_score(y, said, **kw),
        "mcc": m.matthews_corrcoef(y, said, **kw),
        "f1_macro": m.f1_score(y, said, average="macro", zero_division=0, **kw),
        "roc_auc_ovr": np.mean([m.roc_auc_score(y == j, p[:, j], **kw) for j in labels])
        if all_there
        else math.nan,
    }


def soft_log_loss(y, p, w):
    """Every row twice: as a positive that weighs y, and as a negative that weighs 1 - y."""
    truth = np.r_[np.ones(len(y)), np.zeros(len(y))]
    return m.log_loss(truth, np.r_[p, p].clip(0, 1), labels=[0, 1], sample_weight=np.r_[w * y, w * (1 - y)])


def regression(c, y, f, w, kw):
    return {
        "rmse": math.sqrt(m.mean_squared_error(y, f, **kw)),
        "mae": m.mean_absolute_error(y, f, **kw),
        "median_ae": m.median_absolute_error(y, f, **kw),
        "r2": m.r2_score(y, f, **kw),
        "mape": m.mean_absolute_percentage_error(y, f, **kw),
        "poisson_deviance": m.mean_poisson_deviance(y, f, **kw)
        if (y >= 0).all() and (f > 0).all()
        else math.nan,
        "cross_entropy": soft_log_loss(y, f, w) if ((y >= 0) & (y <= 1)).all() else math.nan,
    }


def ranking(c, y, f, w, kw):
    """Each query by scikit-learn, gains being 2^grade - 1; those with nothing to find are left out."""
    query = np.array(c["query"])
    lines = []
    for q in sorted(set(c["query"])):
        i = query == q
        if (y[i] == 0).all():
            continue
        gain = (2.0 ** y[i] - 1)[None, :]
        if i.sum() == 1:  # scikit-learn wants two documents; one is always in order
            ndcg = [1.0, 1.0]
        else:
            ndcg = [m.ndcg_score(gain, f[i][None, :], k=k) for k in (5, 10)]
        lines.append([w[i].mean()] + ndcg + [m.average_precision_score(y[i] > 0, f[i])])
    if not lines:
        return {name: math.nan for name in ("ndcg@5", "ndcg@10", "map")}
    lines = np.array(lines)
    means = np.average(lines[:, 1:], axis=0, weights=lines[:, 0])
    return dict(zip(("ndcg@5", "ndcg@10", "map"), means))


def main():
    bad = 0
    for i, c in enumerate(json.load(open(sys.argv[1]))):
        kw = {} if c["weight"] is None else {"sample_weight": np.array(c["weight"])}
        w = np.ones(len(c["y"])) if c["weight"] is None else np.array(c["weight"])
        y = np.array(c["y"])
        task = {"binary": binary, "multiclass": multiclass, "regression": regression, "ranking": ranking}[c["task"]]
        if c["task"] in ("binary", "multiclass"):
            y = y.astype(int)
        theirs = task(c, y, np.array(c["scores"]), w, kw)
        for name, value in theirs.items():
            ours = math.nan if c["values"][name] is None else c["values"][name]
            same = math.isnan(value) and math.isnan(ours)
            if not same and not abs(value - ours) <= 1e-9 * max(1, abs(value)):
                print(f"# case {i} ({c['name']}) {name}: ours {ours!r}, scikit-learn {value!r}")
                bad += 1
        if set(theirs) != set(c["values"]):
            print(f"# case {i}: metrics differ: {set(theirs) ^ set(c['values'])}")
            bad += 1
    sys.exit(1 if bad else 0)


main()
