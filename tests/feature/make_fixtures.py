#!/usr/bin/env python3
"""Writes sklearn_fixtures.json: inputs and what scikit-learn makes of them. Run by hand when cases change:
    python3 tests/feature/make_fixtures.py > tests/feature/sklearn_fixtures.json
"""
import json
import sys

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import (KBinsDiscretizer, MinMaxScaler, OneHotEncoder, PowerTransformer,
                                   QuantileTransformer, RobustScaler, StandardScaler)

rng = np.random.RandomState(5)
x = np.round(np.exp(rng.randn(60)) * 10 - 5, 3)
x[::7] = 2.5  # ties
new = np.array([-100.0, -5, 0, 2.5, 2.6, 17, 1e4])
holes = x.copy()
holes[::5] = np.nan


def listed(a):
    return [None if isinstance(v, float) and np.isnan(v) else v for v in np.asarray(a).ravel().tolist()]


cases = []


def number(spec, transformer, train, tolerance=1e-12):
    transformer.fit(train.reshape(-1, 1))
    cases.append({"spec": spec, "train": listed(train), "new": listed(new), "tolerance": tolerance,
                  "expected": listed(transformer.transform(new.reshape(-1, 1)))})


for strategy in ["median", "mean", "most_frequent"]:
    fitted = SimpleImputer(strategy=strategy).fit(holes.reshape(-1, 1))
    with_hole = np.append(new, np.nan)
    cases.append({"spec": {"impute": strategy}, "train": listed(holes), "new": listed(with_hole),
                  "tolerance": 1e-12, "expected": listed(fitted.transform(with_hole.reshape(-1, 1)))})
number("standard", StandardScaler(), x)
number("minmax", MinMaxScaler(), x)
number({"scale": "minmax", "clip": True}, MinMaxScaler(clip=True), x)
number("robust", RobustScaler(), x)
number("power", PowerTransformer(method="yeo-johnson"), x, 1e-5)
number({"power": False}, PowerTransformer(method="yeo-johnson", standardize=False), x, 1e-5)
number({"quantile": "uniform", "n_quantiles": 20}, QuantileTransformer(n_quantiles=20), x)
number({"quantile": "normal", "n_quantiles": 60},
       QuantileTransformer(n_quantiles=60, output_distribution="normal"), x, 1e-8)
number({"discretise": 5}, KBinsDiscretizer(5, encode="ordinal", strategy="quantile"), x)
number({"discretise": 5, "strategy": "uniform"}, KBinsDiscretizer(5, encode="ordinal", strategy="uniform"), x)

words = ["a", "b", "a", "c", "d", "a", "b", "c", "e"]
one_hot = OneHotEncoder(min_frequency=2, handle_unknown="infrequent_if_exist", sparse_output=False)
one_hot.fit([[w] for w in words])
new_words = ["a", "b", "c", "e", "zz"]
texts = ["free call now", "call me later", "free free prize now now", "meet me later today", "prize call"]
new_texts = ["free prize later later", "unknown words", "call call me"]
vectorizers = []
for sublinear in [False, True]:
    for top in [1, 2]:
        v = TfidfVectorizer(sublinear_tf=sublinear, ngram_range=(1, top), token_pattern=r"\w+").fit(texts)
        vectorizers.append({"sublinear": sublinear, "ngram_max": top,
                            "terms": v.get_feature_names_out().tolist(),
                            "expected": v.transform(new_texts).toarray().tolist()})
json.dump({"numbers": cases,
           "one_hot": {"train": words, "new": new_words,
                       "expected": one_hot.transform([[w] for w in new_words]).tolist()},
           "text": {"train": texts, "new": new_texts, "cases": vectorizers}}, sys.stdout, indent=1)
print()
