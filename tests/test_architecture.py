"""The order of the layers: imports run downwards only, and only the plugin imports pytest."""

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

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
    "subjects",
    "measure",
    "runs",
    "verdicts",
    "report",
]
QUICK = ["-p", "no:hypothesispytest"]  # it takes seconds to import
FILES = sorted((ROOT / "bumplab").rglob("*.py"))


def imports_of(path):
    """The modules that a file imports, also inside functions."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def layer_of(module):
    return module.split(".")[1] if module.startswith("bumplab.") else None


def test_imports_run_downwards():
    """The plugin and the command line may import every layer."""
    assert len(FILES) > 50
    for path in FILES:
        layer = path.relative_to(ROOT / "bumplab").parts[0].removesuffix(".py")
        if layer in ORDER:
            imported = {name for name in map(layer_of, imports_of(path)) if name}
            above = imported - set(ORDER[: ORDER.index(layer) + 1])
            assert not above, path


WITH_TORCH = {"data", "diffusion", "randomness"}
"""Layers that may use torch: those up to the subjects, which are made of it."""
THE_MACHINE = "doctor.py"
"""A module that looks at the machine by torch, once the user asks for it."""


def test_no_module_above_the_subjects_imports_torch():
    """They see arrays alone, so that another library can train a subject."""
    for path in FILES:
        place = path.relative_to(ROOT / "bumplab")
        if place.parts[0].removesuffix(".py") not in WITH_TORCH | {"subjects"} and str(place) != THE_MACHINE:
            assert not {module.split(".")[0] for module in imports_of(path)} & {"torch", "diffusers"}, path


def test_what_a_subject_without_torch_needs_is_loaded_without_torch():
    """The contract, the planted subject, all that measures, and reading and planning of runs."""
    modules = [
        *("subjects.protocol", "subjects.planted", "subjects.state", "subjects.registry", "subjects.factorized"),
        *("measure.measure", "measure.representation", "measure.names", "measure.libraries", "measure.detector"),
        *("runs.store", "runs.draws", "runs.planner", "runs.board", "config", "profiles", "randomness"),
    ]
    code = "import sys\n" + "\n".join(f"import bumplab.{module}" for module in modules)
    code += "\nsys.exit(10 * ('torch' in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_only_the_plugin_imports_pytest():
    for path in FILES:
        packages = {module.split(".")[0] for module in imports_of(path)}
        assert "pytest_plugin" in path.parts or not packages & {"pytest", "_pytest", "xdist"}, path


def test_nothing_unpickles():
    for path in FILES:
        assert not re.search(r"import pickle|(?<!safetensors\.)torch\.load|allow_pickle=True", path.read_text()), path


def test_a_claim_is_a_module_with_its_test():
    assert ids(ROOT / "claims")
    for claim in ids(ROOT / "claims"):
        assert (ROOT / "tests" / "claims" / f"test_{claim}.py").is_file(), claim


def test_collecting_claims_imports_no_torch(tmp_path):
    code = (
        "import sys, pytest;"
        f"status = pytest.main(['claims', '--collect-only', '-q', '--runs-dir', {str(tmp_path)!r}, *{QUICK}]);"
        "sys.exit(int(status) or 10 * bool({'torch', 'umap', 'matplotlib'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("[quick-verdict]") == len(ids(OURS))


def test_overlap_is_judged_and_reported_where_opencv_cannot_be_imported(tmp_path):
    """Every other claim ends with an error of one line."""
    (tmp_path / "cv2.py").write_text("raise ImportError('libGL.so.1: cannot open shared object file')")
    place = ["--runs-dir", tmp_path / "runs", "--report", tmp_path / "report.html", "--profile", "smoke"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "claims", "-k", "(overlap or hole) and verdict", *map(str, place), *QUICK],
        cwd=ROOT, capture_output=True, text=True, check=False, env=os.environ | {"PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    assert "Traceback" not in done.stdout + done.stderr
    entries = {entry["claim"]: entry for entry in json.loads((tmp_path / "report.json").read_text())["claims"]}
    assert (entries["overlap"]["verdict"], entries["hole"]["verdict"]) == ("SUPPORTED", "ERROR")
    assert "libGL.so.1" in entries["hole"]["reason"]
    assert "bumplab doctor" in entries["hole"]["reason"]
    assert "1 failed" in done.stdout
    assert "1 passed" in done.stdout
