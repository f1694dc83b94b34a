"""Rows and evidence as a run stores them, made by hand: a run that lacks a number is refused."""

import numpy as np

from bumplab.measure.names import array_forms, row_names, sample_counts


def row_of(spec, step, value=0.5):
    """All numbers of a measured step, each of this value but for what is counted."""
    counts = {f"{labels}.samples": float(count) for labels, count in sample_counts(spec, step).items()}
    return dict.fromkeys(row_names(spec, step), value) | {"step": float(step)} | counts


def rows_of(spec, checkpoints=None):
    """Those of all measured steps, or of the first ones."""
    return [row_of(spec, step) for step in spec.measured_steps()[:checkpoints]]


def evidence_of(spec):
    """All arrays of all measured steps, of zeros."""
    forms = {f"{step}/{name}": form for step in spec.measured_steps() for name, form in array_forms(spec, step).items()}
    return {name: np.zeros(shape, dtype) for name, (dtype, shape) in forms.items()}
