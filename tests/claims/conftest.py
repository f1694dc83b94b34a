"""Quantiles of Student's t are computed once, as in the tests of verdicts."""

from tests.verdicts.conftest import quantiles_once

__all__ = ["quantiles_once"]
