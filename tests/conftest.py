"""Profiles of Hypothesis: random examples at a desk, the same examples for every change in CI. UMAP compiles once."""

import os
import runpy
from pathlib import Path

from hypothesis import settings

settings.register_profile("desk", deadline=None, max_examples=25)
settings.register_profile("ci", deadline=None, max_examples=25, derandomize=True, database=None, print_blob=True)
settings.register_profile("night", deadline=None, max_examples=200, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "desk"))

SITE = Path(__file__).parent / "site"
runpy.run_path(str(SITE / "sitecustomize.py"))
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(SITE), os.environ.get("PYTHONPATH")]))
