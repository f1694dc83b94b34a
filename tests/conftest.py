"""Profiles of Hypothesis: random examples at a desk, the same examples for every change in CI. UMAP compiles once."""

import os
import runpy
import sys
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("desk", deadline=None, max_examples=25)
settings.register_profile("ci", deadline=None, max_examples=25, derandomize=True, database=None, print_blob=True)
settings.register_profile("night", deadline=None, max_examples=200, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "desk"))

SITE = Path(__file__).parent / "site"
runpy.run_path(str(SITE / "sitecustomize.py"))
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(SITE), os.environ.get("PYTHONPATH")]))


@pytest.fixture
def users_imports(monkeypatch, tmp_path_factory):
    """A test imports users' files. Afterwards ``sys.path`` is as it was, and no module from a test's folder is left."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    folder = str(tmp_path_factory.getbasetemp())
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", "")).startswith(folder):
            del sys.modules[name]
