"""The exploration runs from end to end, and docs/api.md states every name that it uses as it is."""

import ast
import inspect
import re
import runpy
import sys
from importlib import import_module
from operator import attrgetter
from pathlib import Path
from statistics import mean

import pytest
from PIL import Image

from bumplab import profiles
from bumplab.runs.store import RunRecord, RunStore
from bumplab.runs.table import columns
from tests.rows import evidence_of, rows_of

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "examples" / "explore.py"
PAGE = (ROOT / "docs" / "api.md").read_text()
FIGURES = ("samples.png", "manifold.png", "curves.png")


def documented():
    """The names of the page with their modules, and their parameters as written, or None for what is not called."""
    for section in re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]:
        module = re.match(r"`(bumplab[\w.]*)`", section)[1]
        for entry in re.findall(r"^- (`.+?`):", section, re.MULTILINE):
            for name, parameters in re.findall(r"`([\w.]+)(\(.*?\))?`", entry):
                yield module, name, parameters or None


NAMES = list(documented())


def explore(monkeypatch, *arguments):
    """What the script has at its end, by name."""
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *map(str, arguments)])
    return runpy.run_path(str(SCRIPT))


def parameters_of(called):
    names = []
    for name, parameter in inspect.signature(called).parameters.items():
        if parameter.kind is parameter.KEYWORD_ONLY and "*" not in names:
            names.append("*")
        names.append(name)
    return [name for name in names if name != "self"]


@pytest.mark.parametrize(("module", "name", "parameters"), NAMES, ids=[f"{place}.{name}" for place, name, _ in NAMES])
def test_a_name_of_the_page_is_there_with_its_parameters(module, name, parameters):
    owner, _, last = name.rpartition(".")
    place = attrgetter(owner)(import_module(module)) if owner else import_module(module)
    is_field = last in getattr(place, "__dataclass_fields__", {})
    if parameters is None:
        assert is_field or hasattr(place, last)
    elif is_field:
        assert (module, name, parameters) == ("bumplab.verdicts.claim", "Claim.runs", "(profile, seed)")
    else:
        assert parameters == f"({', '.join(parameters_of(getattr(place, last)))})"


def test_the_page_has_every_name_of_bumplab_that_the_exploration_imports():
    tree, used = ast.parse(SCRIPT.read_text()), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module.startswith("bumplab"):
            for alias in node.names:
                if inspect.ismodule(getattr(import_module(node.module), alias.name)):
                    module = f"{node.module}.{alias.name}"
                    used |= {(module, of.attr) for of in ast.walk(tree) if is_attribute_of(of, alias.name)}
                else:
                    used.add((node.module, alias.name))
    assert len(used) > 10
    assert used <= {(module, name) for module, name, _ in NAMES} | {("bumplab.verdicts.curves", "Curves")}


def is_attribute_of(node, name):
    return isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == name


def test_the_exploration_trains_its_runs_once_and_judges_a_claim(tmp_path, monkeypatch, capsys):
    first = explore(monkeypatch, "--to", tmp_path)
    assert first["verdict"].verdict == "INCONCLUSIVE", "smoke decides nothing"
    assert len(first["records"]) == 2
    for name in FIGURES:
        with Image.open(tmp_path / name) as image:
            assert len(image.convert("L").getcolors(256)) > 10, name
    monkeypatch.setattr("bumplab.runs.execute.execute", None)
    again = explore(monkeypatch, "--to", tmp_path)
    assert again["answer"] == first["answer"]
    assert capsys.readouterr().out.count("INCONCLUSIVE") == 2


def test_the_exploration_answers_from_the_rows_of_a_given_store(tmp_path, monkeypatch):
    """With and without pandas. A failed run has no last checkpoint, and a seed without the claim's run has no mark."""
    store, shares, smoke = RunStore(tmp_path / "store"), {}, profiles.get("smoke")
    for seed, dx, share in ((3, 0.5, 0.9), (4, 0.5, 0.7), (6, 4.0, 0.5)):
        spec = smoke.run(seed, dx=dx)
        store.publish(RunRecord(spec, rows_of_share(spec, share), evidence_of(spec)), b"")
        shares.setdefault(dx, []).append(share)
    failed = smoke.run(5)
    store.publish(RunRecord(failed, rows_of_share(failed, 0.1)[:1], evidence_of(failed), failed="diverged"), b"")
    for library in ("pandas", None):
        if library is None:
            monkeypatch.setitem(sys.modules, "pandas", None)
        ended = explore(monkeypatch, store.root, "--to", tmp_path / "figures")
        assert ended["answer"] == pytest.approx({dx: mean(values) for dx, values in shares.items()}), library
        assert ended["complete"] == [3, 4, 5]
        assert [seed.mark for seed in ended["verdict"].parts[0].seeds][2] == "neither", "it failed"
        assert set(ended["rows"][0]) == set(columns())
    assert {path.name for path in (tmp_path / "figures").iterdir()} == set(FIGURES)


def test_the_exploration_looks_at_published_runs(tmp_path, monkeypatch):
    """Its verdict by hand is that of the registration, and nothing is trained. Some of the runs have images."""
    monkeypatch.setattr("bumplab.runs.execute.execute", None)
    ended = explore(monkeypatch, ROOT / "claims/published/quick.zip", "--profile", "quick", "--to", tmp_path)
    assert ended["verdict"].verdict == "SUPPORTED"
    assert ended["complete"] == list(range(1000, 1008))
    assert {path.name for path in tmp_path.glob("*.png")} == set(FIGURES)


def test_the_exploration_passes_over_images_that_were_not_kept(tmp_path, monkeypatch, capsys):
    store, spec = RunStore(tmp_path / "store"), profiles.get("smoke").run(3)
    store.publish(RunRecord(spec, rows_of_share(spec, 0.5)), b"")
    explore(monkeypatch, store.root, "--to", tmp_path / "figures")
    assert "no run here has kept its images" in capsys.readouterr().out
    assert [path.name for path in (tmp_path / "figures").iterdir()] == ["curves.png"]


def rows_of_share(spec, share):
    """Complete rows of a run whose share of right bumps is this at all checkpoints."""
    return [row | {"probe.correct": share} for row in rows_of(spec)]


def test_a_store_that_there_is_not_ends_the_exploration(tmp_path, monkeypatch, capsys):
    (tmp_path / "empty").mkdir()
    for folder in ("missing", "empty"):
        with pytest.raises(SystemExit):
            explore(monkeypatch, tmp_path / folder, "--to", tmp_path / "figures")
        assert str(tmp_path / folder) in capsys.readouterr().err.splitlines()[-1]
