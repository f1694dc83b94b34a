"""Lets numba store the code that it compiles for UMAP, so that one process of the tests compiles for all.

Otherwise UMAP compiles for 14 s in every process that uses it. Python imports this module at its start, because the
tests put its folder on the path of all their processes. A user's session does not: this changes a library.
"""

import sys
from functools import partial
from importlib.abc import MetaPathFinder


class KeepCompiled(MetaPathFinder):
    """Finds no module. Just before the import of ``umap`` it tells numba to store all compiled code from then on."""

    def find_spec(self, name, path, target=None):
        if name == "umap":
            sys.meta_path.remove(self)
            import numba

            numba.njit = partial(_kept, numba.njit)


def _kept(njit, *args, **options):
    return njit(*args, **{"cache": True} | options)


if not any(type(finder).__name__ == "KeepCompiled" for finder in sys.meta_path):
    sys.meta_path.insert(0, KeepCompiled())
