"""The examples keep the contract, run, and compute what they say. The guide names each, and its own code runs too."""

import ast
import importlib.util
import re
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch

from bumplab import profiles
from bumplab.config import ROLES
from bumplab.data.feed import Feed
from bumplab.data.label_sets import label_sets
from bumplab.diffusion.rng import Drawing
from bumplab.diffusion.schedule import alphas_cumprod
from bumplab.measure.accuracy import detect, placement
from bumplab.measure.detector import quantise
from bumplab.pytest_plugin.subject import SubjectOfSession
from bumplab.runs.execute import execute
from bumplab.runs.store import RunStore
from bumplab.subjects.check import check
from bumplab.subjects.protocol import Task
from bumplab.subjects.registry import load

ROOT = Path(__file__).parents[1]
GUIDE = (ROOT / "docs" / "your-model.md").read_text()
EXPLORATION = "explore.py"
FILES = sorted(path.name for path in (ROOT / "examples").glob("*.py") if path.name != EXPLORATION)
"""Subjects. What looks at runs is tried in test_explore.py."""
LIBRARIES = {"diffusers_unet.py": "diffusers"}
SUBJECTS = {"regression.py": "Ridge"}
COMPLETE = dict(re.findall(r"^```python\n# (\w+\.py)\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL))
"""Code of the guide that is a complete file, by its name."""


@cache
def example(file):
    if file in LIBRARIES and importlib.util.find_spec(LIBRARIES[file]) is None:
        pytest.skip(f"{LIBRARIES[file]} is not installed: pip install -e '.[test]'")
    return load(f"{file}:{SUBJECTS.get(file, 'subject')}", folder=ROOT / "examples")


def module_of(file):
    return importlib.import_module(example(file).spec.name.partition(".")[0])


def of_guide(file, folder):
    """The subject in a complete file of the guide."""
    (folder / file).write_text(COMPLETE[file])
    return load(f"{file}:subject", folder=folder)


def checked(named):
    return check(named, replace(profiles.get("smoke").run(0), subject=named.spec), "cpu")


@pytest.mark.parametrize("file", FILES)
def test_an_example_keeps_the_contract(file):
    shown = checked(example(file))
    assert (shown.broken, shown.notes) == ((), ())


@pytest.mark.parametrize("file", FILES)
def test_an_example_makes_a_run(file, tmp_path):
    """Three checkpoints and more, and the measures of the roles that it declares."""
    named, store = example(file), RunStore(tmp_path)
    spec = SubjectOfSession(named).profile(profiles.get("smoke")).run(0)
    execute(spec, store, "cpu", named)
    record = store.load(spec)
    assert record.failed is None
    assert len(record.rows) >= 3
    measured = {role for role in ROLES if np.isfinite(record.rows[-1][f"{role}.signal"])}
    assert measured == set(named.subject.roles)


def test_the_guide_names_every_example():
    assert len(FILES) == 4
    for file in FILES:
        subject = f"examples/{file}:{SUBJECTS.get(file, 'subject')}"
        assert subject in GUIDE, subject
        assert subject in (ROOT / "examples" / file).read_text(), subject


def test_the_guide_has_a_complete_file_for_each_level():
    assert len(COMPLETE) == 3


@pytest.mark.parametrize("file", sorted(set(COMPLETE) - {"my_objective.py"}))
def test_a_complete_file_of_the_guide_keeps_the_contract(file, tmp_path):
    assert checked(of_guide(file, tmp_path)).broken == ()


def test_the_regression_imports_no_torch():
    tree = ast.parse((ROOT / "examples" / "regression.py").read_text())
    modules = [node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    modules += [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    allowed = {"collections.abc", "dataclasses", "numpy", "numpy.typing", "bumplab.subjects.protocol"}
    assert set(modules) <= allowed


def share_right(scale, hole, labels):
    """The share of right bumps of a regression trained for 12 steps with a hole, on one of the sets of labels."""
    spec = profiles.get("quick").run(0, hole=hole)
    subject = module_of("regression.py").Ridge(scale)
    learner = subject.start(Task.of(spec, ("layer4",)), Feed(spec.data, spec.seed), "cpu")
    learner.train(12, lambda step: None)
    asked = label_sets(spec, last=False)[labels]
    images, _ = quantise(learner.draw(asked.labels, seed=0).images.astype(np.float32))
    return placement(detect(images, spec.data.sigma), asked.labels.astype(np.float64))["correct"]


def test_the_regression_learns_and_its_scale_decides_whether_it_fills_a_hole():
    assert share_right(0.7, 0.0, "probe") > 0.9
    assert share_right(0.7, 5.0, "in_hole") > 0.9
    assert share_right(1.6, 5.0, "probe") > 0.9
    assert share_right(1.6, 5.0, "in_hole") < 0.5


IMAGES = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
LABELS = torch.zeros(3, 2)


def velocity(x, t, labels):
    """What flow matching learns where a label has one image."""
    return (IMAGES - x) / (1 - t[:, None, None, None] / 1000)


def v(x, t, labels):
    """What v-prediction learns where a label has one image."""
    level = alphas_cumprod("cosine", 1000).float()[t][:, None, None, None]
    noise = (x - level.sqrt() * IMAGES) / (1 - level).sqrt()
    return level.sqrt() * noise - (1 - level).sqrt() * IMAGES


@pytest.mark.parametrize(
    ("file", "perfect", "begins"),
    [("flow_matching.py", velocity, 0), ("my_objective.py", velocity, 0), ("diffusers_unet.py", v, 999)],
)
def test_a_perfect_network_has_no_loss_and_draws_the_images(file, perfect, begins, tmp_path):
    named = of_guide(file, tmp_path) if file in COMPLETE else example(file)
    objective, rng = named.subject.objective(None, "cpu"), Drawing(torch.Generator().manual_seed(1))
    times = []

    def net(x, t, labels):
        times.append(t)
        return perfect(x, t, labels)

    assert objective.loss(net, IMAGES, LABELS, rng) < 1e-4
    assert objective.loss(lambda *inputs: -perfect(*inputs), IMAGES, LABELS, rng) > 0.1
    times.clear()
    drawn = objective.sample(net, LABELS, rng.normal(3, 1, 8, 8), rng)
    assert torch.allclose(drawn, IMAGES, atol=1e-3)
    assert len(times) == objective.calls
    assert times[0].tolist() == [begins] * 3  # where there is nothing but noise


def test_a_token_of_the_transformer_is_the_patch_that_it_came_from():
    """Without a block no token sees another one. A pixel then changes the prediction within its patch alone."""
    network = module_of("dit.py").Dit(image_size=8, width=16, depth=0)
    torch.nn.init.normal_(network.head.weight, generator=torch.Generator().manual_seed(0))
    dark, t, labels = torch.zeros(1, 1, 8, 8), torch.zeros(1), torch.ones(1, 2)
    light = dark.clone()
    light[0, 0, 2, 5] = 1
    with torch.no_grad():
        changed = (network(light, t, labels) != network(dark, t, labels))[0, 0].nonzero().tolist()
    assert changed == [[2, 4], [2, 5], [3, 4], [3, 5]]
