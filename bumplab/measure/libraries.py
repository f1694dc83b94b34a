"""The libraries on which a measured number depends."""

from __future__ import annotations

from functools import cache
from importlib.metadata import version

LIBRARIES = ("numpy", "scipy", "scikit-learn", "umap-learn", "pynndescent", "numba")
"""Beside OpenCV, whose module comes from one of two distributions."""


@cache
def versions() -> dict[str, str]:
    """The installed version of each library. Raises ImportError where OpenCV cannot be imported."""
    import cv2

    return {"opencv": cv2.__version__, **{library: version(library) for library in LIBRARIES}}
