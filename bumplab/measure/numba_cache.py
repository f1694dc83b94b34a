"""UMAP's import. It needs a folder for compiled code, and on some machines there is none where numba looks."""

from __future__ import annotations

import atexit
import os
import shutil
import sys
import tempfile
import warnings
from types import ModuleType


def require_umap() -> ModuleType:
    """The module ``umap``. Raises ImportError in one line where it cannot be imported.

    Numba keeps UMAP's compiled code beside the library or in the user's cache. Where neither can be written, the
    import raises RuntimeError. A temporary folder then serves until the process ends.
    """
    with warnings.catch_warnings(action="ignore"):  # "Tensorflow not installed": an error under -W error
        try:
            try:
                import umap
            except RuntimeError:
                use_temporary_cache()
                import umap
        except Exception as error:  # a damaged library raises anything
            raise ImportError(f"UMAP cannot be imported ({type(error).__name__}: {error})") from error
    module: ModuleType = umap
    return module


def use_temporary_cache() -> None:
    """Lets numba keep compiled code in a folder of this process, and forgets what was half imported."""
    import numba

    folder = tempfile.mkdtemp(prefix="bumplab-numba-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ["NUMBA_CACHE_DIR"] = folder
    os.environ.pop("NUMBA_CACHE_LOCATOR_CLASSES", None)
    numba.config.reload_config()  # type: ignore[no-untyped-call]
    for name in [name for name in sys.modules if name.partition(".")[0] in ("umap", "pynndescent")]:
        del sys.modules[name]
