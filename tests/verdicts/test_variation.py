"""One open choice changed: what the user may write, what it changes, and what it leaves alone."""

import re
from dataclasses import replace

import numpy as np
import pytest

from bumplab.config import DiffusionSpec
from bumplab.profiles import QUICK
from bumplab.verdicts import variation
from bumplab.verdicts.claim import Claim, Part, Region
from bumplab.verdicts.curves import Curves

BASE = QUICK.base
CLAIM = Claim(
    id="density",
    statement="s",
    source="Fig. 0",
    prediction="p",
    runs=lambda profile, seed: {"a": profile.run(seed), "b": profile.factorized(profile.run(seed, dx=2.0, hole=3.0))},
    parts=(
        Part(
            name="v",
            unit="units",
            region=Region(low=0),
            why="because",
            effect=lambda runs: runs["a"].last("layer4.r2"),
        ),
    ),
    curves={},
)


def test_a_choice_changes_its_own_field_and_nothing_else():
    for text, part, field, value in [
        ("prediction=epsilon", "diffusion", "prediction", "epsilon"),
        ("sampler_steps=25", "diffusion", "sampler_steps", 25),
        ("learning_rate=1e-3", "training", "learning_rate", 0.001),
        ("ema_decay=0.99", "training", "ema_decay", 0.99),
        ("norm_groups=1", "model", "norm_groups", 1),
        ("batch_size=32", "training", "batch_size", 32),
    ]:
        varied = variation.parse(text, BASE)
        assert varied.name == text
        assert varied.change is None
        before, after = CLAIM.runs(QUICK, 11), varied.of(CLAIM).runs(QUICK, 11)
        assert list(before) == list(after)
        for condition, spec in after.items():
            assert getattr(getattr(spec, part), field) == value, text
            assert type(getattr(getattr(spec, part), field)) is type(value), text
            unchanged = getattr(before[condition], part)
            assert replace(spec, **{part: unchanged}) == before[condition], text
            assert replace(getattr(spec, part), **{field: getattr(unchanged, field)}) == unchanged, text
        assert varied.of(CLAIM).parts == CLAIM.parts


def test_what_makes_no_sense_is_refused_in_one_line():
    for text, message in [
        ("tea=green", "unknown choice 'tea': must be one of tap, .*prediction"),
        ("", "unknown choice ''"),
        ("kind=factorized", "unknown choice 'kind'"),  # a control, not a choice that the paper leaves open
        ("timesteps=10", "unknown choice 'timesteps'"),
        ("seed=3", "unknown choice 'seed'"),
        ("prediction", "prediction: needs a value, such as prediction=v"),
        ("prediction=", "prediction: needs a value"),
        ("prediction=x0", "prediction = 'x0': must be 'epsilon' or 'v'"),
        ("batch_size=many", "batch_size=many: must be a whole number, such as batch_size=16"),
        ("batch_size=1.5", "batch_size=1.5: must be a whole number"),
        ("batch_size=0", "batch_size = 0: must be a whole number from 1 to 100000"),
        ("learning_rate=nan", "learning_rate = nan: must be a finite number"),
        ("norm_groups=3", "norm_groups = 3: must be a divisor of width 8"),
        ("width=9", "width=9: norm_groups = 8: must be a divisor of width 9"),
        ("sampler_steps=5000", "sampler_steps = 5000: must be at most timesteps"),
        ("prediction=v", "prediction=v: is what the profile does anyway"),
        ("attention_max_size=7", "attention_max_size=7: changes nothing, because attention follows the same maps"),
        ("learning_rate=0.002", "is what the profile does anyway"),
        ("tap=bottleneck", "tap=bottleneck: must be one of layer4, layer4-injected"),
        ("tap=layer4", "tap=layer4: is what the profile does anyway"),
        ("tap", "tap=: must be one of layer4, layer4-injected"),
    ]:
        with pytest.raises(ValueError, match=message) as refused:
            variation.parse(text, BASE)
        assert "\n" not in str(refused.value), text
        assert not re.search("Traceback|invalid literal", str(refused.value)), text


def test_every_choice_is_a_field_with_a_value():
    for name, part in variation.CHOICES.items():
        assert hasattr(getattr(BASE, part), name)
    fields = {name for name, part in variation.CHOICES.items() if part == "diffusion"}
    assert fields == {f for f in vars(DiffusionSpec()) if f != "timesteps"}


def test_another_tap_is_read_from_the_same_runs():
    rows = [
        {"step": float(i), "layer4.r2": 0.1 * i, "layer4-injected.r2": 0.9 + 0.01 * i, "on_grid.none": 0.5}
        for i in range(3)
    ]
    run = Curves(rows, None, 12)
    varied = variation.parse("tap=layer4-injected", BASE)
    assert varied.of(CLAIM).runs(QUICK, 11) == CLAIM.runs(QUICK, 11)
    assert CLAIM.parts[0].effect({"a": run}) == pytest.approx(0.2)
    assert varied.of(CLAIM).parts[0].effect({"a": run}) == pytest.approx(0.92)
    read = varied.change({"a": run})["a"]
    assert list(read["on_grid.none"]) == [0.5] * 3
    assert np.array_equal(read["layer4-injected.r2"], run["layer4-injected.r2"])
    assert (read.seed, read.failed) == (12, None)
