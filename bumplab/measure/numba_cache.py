"""Imports UMAP, also on a machine where numba finds no writable folder for compiled code."""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
import warnings
from types import ModuleType


def require_umap() -> ModuleType:
    """The module ``umap``. Raises ImportError with one line where it cannot be imported.

    Numba keeps UMAP's compiled code beside the library or in the user's cache. The import raises RuntimeError where
    it can write to neither. The import is then repeated with a temporary folder.
    """
    with warnings.catch_warnings(action="ignore"):  # "Tensorflow not installed" is an error under -W error
        try:
            try:
                import umap
            except RuntimeError:
                use_temporary_cache()
                import umap
        except Exception as error:  # a damaged library may raise any exception
            raise ImportError(f"UMAP cannot be imported ({type(error).__name__}: {error})") from error
    module: ModuleType = umap
    return module


def use_temporary_cache() -> None:
    """Gives numba a temporary folder for compiled code, deleted when this process ends.

    It also removes half-imported modules, so that the next import starts from the beginning.
    """
    import numba

    folder = tempfile.mkdtemp(prefix="bumplab-numba-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ["NUMBA_CACHE_DIR"] = folder
    os.environ.pop("NUMBA_CACHE_LOCATOR_CLASSES", None)
    numba.config.reload_config()  # type: ignore[no-untyped-call]
    for name in [name for name in sys.modules if name.partition(".")[0] in ("umap", "pynndescent")]:
        del sys.modules[name]
