"""The order of the parts: imports run downwards only, and only the plugin knows pytest."""

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bumplab.verdicts.suite import OURS, ids

ROOT = Path(__file__).parents[1]
ORDER = [
    "machine",
    "terminal",
    "config",
    "profiles",
    "randomness",
    "data",
    "diffusion",
    "training",
    "measure",
    "runs",
    "verdicts",
    "report",
]
FILES = sorted((ROOT / "bumplab").rglob("*.py"))


def imports_of(path):
    """The modules a file imports anywhere, functions included."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def layer_of(module):
    return module.split(".")[1] if module.startswith("bumplab.") else None


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_run_downwards(path):
    own = path.relative_to(ROOT / "bumplab").parts[0].removesuffix(".py")
    if own not in ORDER:  # the plugin and the command line stand on top of everything
        return
    above = {layer for layer in map(layer_of, imports_of(path)) if layer and ORDER.index(layer) > ORDER.index(own)}
    assert not above, f"{own} imports {above}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_only_the_plugin_knows_pytest(path):
    if "pytest_plugin" not in path.parts:
        assert not any(module.split(".")[0] in ("pytest", "_pytest", "xdist") for module in imports_of(path))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_unpickles(path):
    text = path.read_text()
    assert "import pickle" not in text
    assert not re.search(r"(?<!safetensors\.)torch\.load", text)
    assert "allow_pickle=True" not in text


def test_a_claim_is_a_module_with_its_test_and_an_accepted_verdict():
    accepted = (ROOT / "claims" / "expected.toml").read_text()
    assert ids(ROOT / "claims")
    for claim in ids(ROOT / "claims"):
        assert (ROOT / "tests" / "claims" / f"test_{claim}.py").is_file(), claim
        assert f".{claim}]" in accepted, claim


def test_collecting_claims_imports_no_torch(tmp_path):
    code = (
        "import sys, pytest;"
        f"status = pytest.main(['claims', '--collect-only', '-q', '--runs-dir', {str(tmp_path)!r}]);"
        "sys.exit(int(status) or 10 * bool({'torch', 'umap', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("::test_") == len(ids(OURS))


def test_overlap_is_judged_and_reported_where_opencv_and_umap_cannot_be_imported(tmp_path):
    """The other claims end in one line each."""
    (tmp_path / "cv2.py").write_text("raise ImportError('libGL.so.1: cannot open shared object file')")
    place = ["--runs-dir", tmp_path / "runs", "--report", tmp_path / "report.html", "--profile", "smoke"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "claims", "-k", "overlap or hole", *map(str, place)],
        cwd=ROOT, capture_output=True, text=True, check=False, env=os.environ | {"PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    assert "Traceback" not in done.stdout + done.stderr
    entries = {entry["claim"]: entry for entry in json.loads((tmp_path / "report.json").read_text())["claims"]}
    assert (entries["overlap"]["verdict"], entries["hole"]["verdict"]) == ("SUPPORTED", "ERROR")
    assert "libGL.so.1" in entries["hole"]["reason"]
    assert "bumplab doctor" in entries["hole"]["reason"]
    assert "1 failed, 1 passed" in done.stdout
