"""Rows and evidence made by hand, complete as a run stores them: a run that lacks a number is refused."""

import numpy as np

from bumplab.measure.names import RANGES, array_forms, row_names, sample_counts


def row_of(spec, step, value=0.5):
    """A row with all numbers of a measured step. Each is ``value``, or the most that is possible."""
    counts = {f"{labels}.samples": float(count) for labels, count in sample_counts(spec, step).items()}
    fixed = {"step": float(step)} | counts
    names = row_names(spec, step) - fixed.keys()
    return {name: min(value, RANGES[name.rpartition(".")[2]][1]) for name in names} | fixed


def rows_of(spec, checkpoints=None):
    """The rows of the first measured steps, or of all."""
    return [row_of(spec, step) for step in spec.measured_steps()[:checkpoints]]


def evidence_of(spec):
    """All arrays of all measured steps, of zeros."""
    arrays = {}
    for step in spec.measured_steps():
        arrays |= {f"{step}/{name}": array for name, array in arrays_of(spec, step).items()}
    return arrays


def arrays_of(spec, step):
    """All arrays of a measured step, of zeros."""
    return {name: np.zeros(shape, dtype) for name, (dtype, shape) in array_forms(spec, step).items()}


def made_up(spec, step, sets, drawn):
    """In place of `bumplab.measure.measure.measure`, which takes seconds: each number is 0.5 or less."""
    from bumplab.measure.measure import Measurement

    row = row_of(spec, step)
    return Measurement({name: row[name] for name in row if name not in ("step", "loss")}, arrays_of(spec, step))
