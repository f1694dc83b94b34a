"""Python imports this at its start where the folder is on its path, as it is for all processes of the tests.

UMAP compiles for 14 s in every process that uses it. Here numba keeps what it compiles for UMAP, so that one process
compiles for all. A user's session does not do so: it would mean to change the library.
"""

import sys
from functools import partial
from importlib.abc import MetaPathFinder


class KeepCompiled(MetaPathFinder):
    """Finds nothing. Asked for ``umap``, just before its import, it has numba keep all compiled code from then on."""

    def find_spec(self, name, path, target=None):
        if name == "umap":
            sys.meta_path.remove(self)
            import numba

            numba.njit = partial(_kept, numba.njit)


def _kept(njit, *args, **options):
    return njit(*args, **{"cache": True} | options)


if not any(type(finder).__name__ == "KeepCompiled" for finder in sys.meta_path):
    sys.meta_path.insert(0, KeepCompiled())
