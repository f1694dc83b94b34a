"""One open choice changed: what the user may write, what it changes, and what it leaves alone."""

import re
from dataclasses import replace

import pytest

from bumplab.config import DiffusionSpec
from bumplab.profiles import QUICK
from bumplab.verdicts import variation
from bumplab.verdicts.claim import Claim
from tests.verdicts.seeds import part

BASE = QUICK.base
CLAIM = Claim(
    id="density",
    statement="s",
    source="Fig. 0",
    prediction="p",
    runs=lambda profile, seed: {"a": profile.run(seed), "b": profile.factorized(profile.run(seed, dx=2.0, hole=3.0))},
    parts=(
        part("v"),
        part("w", runs=lambda profile, seed: {"own": profile.run(seed, dx=4.0)}),
    ),
    curves={},
)


def test_a_choice_changes_its_own_field_and_nothing_else():
    for text, group, field, value in [
        ("prediction=epsilon", "diffusion", "prediction", "epsilon"),
        ("sampler_steps=25", "diffusion", "sampler_steps", 25),
        ("learning_rate=1e-3", "training", "learning_rate", 0.001),
        ("ema_decay=0.99", "training", "ema_decay", 0.99),
        ("norm_groups=1", "model", "norm_groups", 1),
        ("batch_size=32", "training", "batch_size", 32),
    ]:
        varied = variation.parse(text, BASE)
        assert varied.name == text
        before, after = CLAIM.runs(QUICK, 11), varied.of(CLAIM).runs(QUICK, 11)
        assert list(before) == list(after)
        for condition, spec in after.items():
            assert getattr(getattr(spec, group), field) == value, text
            assert type(getattr(getattr(spec, group), field)) is type(value), text
            unchanged = getattr(before[condition], group)
            assert replace(spec, **{group: unchanged}) == before[condition], text
            assert replace(getattr(spec, group), **{field: getattr(unchanged, field)}) == unchanged, text
        v, w = varied.of(CLAIM).parts
        assert v == CLAIM.parts[0]
        (own,) = w.runs(QUICK, 11).values()
        assert getattr(getattr(own, group), field) == value, text
        assert own.data.dx == 4.0, "a part keeps its own runs"


def test_what_makes_no_sense_is_refused_in_one_line():
    for text, message in [
        ("tea=green", "unknown choice 'tea': must be one of .*prediction"),
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
        (f"learning_rate={BASE.training.learning_rate}", "is what the profile does anyway"),
        ("tap=layer4-injected", "unknown choice 'tap'"),
    ]:
        with pytest.raises(ValueError, match=message) as refused:
            variation.parse(text, BASE)
        assert "\n" not in str(refused.value), text
        assert not re.search("Traceback|invalid literal", str(refused.value)), text


def test_every_choice_is_a_field_with_a_value():
    for name, group in variation.CHOICES.items():
        assert hasattr(getattr(BASE, group), name)
    fields = {name for name, group in variation.CHOICES.items() if group == "diffusion"}
    assert fields == {f for f in vars(DiffusionSpec()) if f != "timesteps"}
