"""Quantiles of Student's t, computed once: every look asks for the same few, and each takes SciPy 0.1 ms."""

from functools import cache

import pytest
from scipy import stats

QUANTILES = cache(stats.t.ppf)


@pytest.fixture(autouse=True)
def quantiles_once(monkeypatch):
    monkeypatch.setattr(stats.t, "ppf", QUANTILES)
