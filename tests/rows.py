"""Rows and evidence made by hand, complete as a run stores them: a run that lacks a number is refused."""

import numpy as np

from bumplab.measure.names import array_forms, row_names, sample_counts


def row_of(spec, step, value=0.5):
    """A row with all numbers of a measured step. Each is ``value``, but for the step and the counts."""
    counts = {f"{labels}.samples": float(count) for labels, count in sample_counts(spec, step).items()}
    return dict.fromkeys(row_names(spec, step), value) | {"step": float(step)} | counts


def rows_of(spec, checkpoints=None):
    """The rows of the first measured steps, or of all."""
    return [row_of(spec, step) for step in spec.measured_steps()[:checkpoints]]


def evidence_of(spec):
    """All arrays of all measured steps, of zeros."""
    arrays = {}
    for step in spec.measured_steps():
        for name, (dtype, shape) in array_forms(spec, step).items():
            arrays[f"{step}/{name}"] = np.zeros(shape, dtype)
    return arrays
