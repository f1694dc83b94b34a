"""Rows as a run stores them, made by hand: a run that lacks a number is refused."""

from bumplab.measure.names import row_names


def row_of(spec, step, value=0.5):
    """All numbers of a measured step, each of this value."""
    return dict.fromkeys(row_names(spec, step), value) | {"step": float(step)}


def rows_of(spec, checkpoints=None):
    """Those of all measured steps, or of the first ones."""
    return [row_of(spec, step) for step in spec.measured_steps()[:checkpoints]]
