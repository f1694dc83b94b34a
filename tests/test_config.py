"""RunSpec is validated at construction, and equal specs have equal text. Profiles and their controls."""

import json
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bumplab import profiles
from bumplab.config import (
    RENDERED,
    DataSpec,
    DiffusionSpec,
    MeasureSpec,
    ModelSpec,
    RunSpec,
    SubjectSpec,
    TrainingSpec,
    linear_signal_left,
)
from bumplab.data.bumps import axis_labels
from bumplab.diffusion.schedule import alphas_cumprod
from bumplab.profiles import REPLICATES
from tests.errors import error_of

BAD = [
    (DataSpec, {"dx": 0.0}, "dx"),
    (DataSpec, {"dy": -1.0}, "dy"),
    (DataSpec, {"dx": 33.0}, "dx"),
    (DataSpec, {"dx": 1e-9}, "dx"),
    (DataSpec, {"sigma": 0.0}, "sigma"),
    (DataSpec, {"sigma": float("nan")}, "sigma"),
    (DataSpec, {"sigma": "1"}, "sigma"),
    (DataSpec, {"hole": 32.0}, "hole"),
    (DataSpec, {"hole": 1.0}, "hole"),
    (DataSpec, {"pairing": "random"}, "pairing"),
    (DataSpec, {"image_size": 20}, "image_size"),
    (DataSpec, {"image_size": 16.0}, "image_size"),
    (DataSpec, {"image_size": True}, "image_size"),
    (ModelSpec, {"width": 0}, "width"),
    (ModelSpec, {"encoding_dim": 7}, "encoding_dim"),
    (ModelSpec, {"width": 6, "attention_heads": 4}, "attention_heads"),
    (ModelSpec, {"width": 6, "norm_groups": 4, "attention_heads": 1}, "norm_groups"),
    (DiffusionSpec, {"schedule": "sigmoid"}, "schedule"),
    (DiffusionSpec, {"prediction": "x0"}, "prediction"),
    (DiffusionSpec, {"sampler": "heun"}, "sampler"),
    (DiffusionSpec, {"timesteps": 100, "sampler_steps": 100}, "timesteps"),
    (DiffusionSpec, {"sampler_steps": 0}, "sampler_steps"),
    (DiffusionSpec, {"sampler_steps": 1001}, "sampler_steps"),
    (DiffusionSpec, {"sampler": "ddim", "sampler_steps": 1001}, "sampler_steps"),
    (TrainingSpec, {"steps": 0}, "steps"),
    (TrainingSpec, {"learning_rate": 0.0}, "learning_rate"),
    (TrainingSpec, {"ema_decay": 1.0}, "ema_decay"),
    (TrainingSpec, {"warmup": -1}, "warmup"),
    (TrainingSpec, {"decay": "cosine"}, "decay"),
    (TrainingSpec, {"beta2": 1.0}, "beta2"),
    (TrainingSpec, {"precision": "float16"}, "precision"),
    (MeasureSpec, {"samples": 10}, "samples"),
    (MeasureSpec, {"samples": 600.0}, "samples"),
    (MeasureSpec, {"probe_low": 2.9}, "probe_low"),
    (MeasureSpec, {"probe_high": 3.0}, "probe_high"),
    (MeasureSpec, {"probe_high": float("nan")}, "probe_high"),
    (MeasureSpec, {"every": -5}, "every"),
    (DataSpec, {"image_size": 1032}, "image_size"),
    (ModelSpec, {"width": 40_000_000}, "width"),
    (ModelSpec, {"encoding_dim": 10**6}, "encoding_dim"),
    (ModelSpec, {"attention_max_size": 2**40}, "attention_max_size"),
    (DiffusionSpec, {"timesteps": 10**6}, "timesteps"),
    (TrainingSpec, {"steps": 10**20}, "steps"),
    (TrainingSpec, {"batch_size": 10**9}, "batch_size"),
    (TrainingSpec, {"weight_decay": -0.1}, "weight_decay"),
    (MeasureSpec, {"every": 10**20}, "every"),
    (MeasureSpec, {"samples": 10**9}, "samples"),
    (RunSpec, {"seed": -1}, "seed"),
    (RunSpec, {"seed": 2**32}, "seed"),
    (RunSpec, {"data": None}, "data"),
    (RunSpec, {"subject": "unet"}, "subject"),
    (SubjectSpec, {"source": "0" * 64}, "source"),
    (SubjectSpec, {"factorized": 1}, "factorized"),
]


def test_bad_input_is_one_line_that_names_field_value_and_what_is_allowed():
    for part, fields, field in BAD:
        message = error_of(part, **fields)
        assert message.startswith(f"{field} = {fields[field]!r}: must be "), (part, fields)
        assert "\n" not in message, (part, fields)


def test_bounds_themselves_are_allowed():
    DataSpec(image_size=1024, dx=1.024, dy=1024.0)
    DataSpec(hole=2.001)
    DataSpec(hole=25.999)
    ModelSpec(width=1024, encoding_dim=4096, attention_heads=1024, attention_max_size=4096, norm_groups=1024)
    ModelSpec(width=1, encoding_dim=2, attention_heads=1, attention_max_size=1, norm_groups=1)
    DiffusionSpec(timesteps=100_000, sampler_steps=100_000)
    DiffusionSpec(timesteps=2, sampler_steps=1, schedule="cosine")
    TrainingSpec(steps=1, batch_size=1, weight_decay=0.0, ema_decay=0.999)
    TrainingSpec(batch_size=100_000)
    MeasureSpec(every=1, samples=20, probe_low=3.0, probe_high=3.001)
    MeasureSpec(every=100_000_000, samples=100_000)
    RunSpec(training=TrainingSpec(steps=100_000_000), measure=MeasureSpec(every=50_000), seed=2**32 - 1)


def test_the_linear_schedule_needs_timesteps_enough_to_drown_the_image():
    """At most 10 % of the amplitude may remain."""
    remains = [linear_signal_left(timesteps) for timesteps in (454, 456, 1000)]
    assert remains == [pytest.approx(float(alphas_cumprod("linear", t)[-1] ** 0.5), rel=1e-3) for t in (454, 456, 1000)]
    assert remains[0] > 0.1 > remains[1]
    DiffusionSpec(timesteps=456, sampler_steps=10)
    assert error_of(DiffusionSpec, timesteps=454, sampler_steps=10).startswith("timesteps = 454: ")


def test_self_attention_follows_maps_up_to_its_limit():
    sides = {limit: ModelSpec(attention_max_size=limit).attended(32) for limit in (1, 4, 16, 1024)}
    assert sides == {1: [], 4: [4], 16: [16, 8, 4], 1024: [32, 16, 8, 4]}


def test_too_many_measurements_are_refused():
    measure = MeasureSpec(every=100)
    assert len(RunSpec(training=TrainingSpec(steps=200_000), measure=measure).measured_steps()) == 2_001 + 4, (
        "25, 50, 75 and 150"
    )
    message = error_of(RunSpec, training=TrainingSpec(steps=200_001), measure=measure)
    assert message.startswith("every = 100: must be at least 101 for 200001 steps (at most 2000 ")


def test_whole_numbers_and_floats_make_the_same_run():
    assert DataSpec(dx=1, dy=1) == DataSpec(dx=1.0, dy=1.0)
    assert RunSpec(DataSpec(dx=1)).to_json() == RunSpec(DataSpec(dx=1.0)).to_json()


@given(
    st.sampled_from([8, 16, 32]),
    st.floats(0.1, 8),
    st.floats(0.1, 4),
    st.integers(0, 2**32 - 1),
    st.builds(
        DiffusionSpec,
        prediction=st.sampled_from(["epsilon", "v"]),
        sampler=st.sampled_from(["ancestral", "ddim"]),
        sampler_steps=st.integers(1, 1000),
    ),
    st.tuples(
        st.sampled_from(["true", "shuffled"]),
        st.booleans(),
        st.sampled_from(["unet", *RENDERED, "my_dit.py:subject", "pkg.gan:Gan"]),
        st.floats(0.01, 1),
    ),
)
def test_a_spec_survives_its_json(size, d, sigma, seed, diffusion, control):
    pairing, factorized, name, share = control
    users = {"source": "0f" * 32, "arguments": (("width", "64"),), "versions": (("", "2"), ("torch", "2.11"))}
    spec = RunSpec(
        DataSpec(size, d, d, sigma, pairing=pairing),
        diffusion=diffusion,
        measure=MeasureSpec(probe_high=3 + share * (size - 5)),
        seed=seed,
        subject=SubjectSpec(name, factorized=factorized, **(users if ":" in name else {})),
    )
    again = RunSpec.from_dict(json.loads(spec.to_json()))
    assert again == spec
    assert again.to_json() == spec.to_json()
    assert spec.to_json() == json.dumps(json.loads(spec.to_json()), sort_keys=True, separators=(",", ":"))


def test_a_spec_with_other_fields_is_refused():
    whole = json.loads(RunSpec().to_json())
    subject = whole["subject"]
    older = whole | {"model": whole["model"] | {"kind": "joint"}}
    for fields, missing, unknown in (
        (whole | {"subject": {**subject, "path": "x"}}, "none", "'path'"),
        (whole | {"subject": {"name": "true"}}, "arguments, source, versions, factorized", "none"),
        (older, "none", "'kind'"),
        ({name: part for name, part in whole.items() if name != "seed"}, "seed", "none"),
        (whole | {"extra": 1}, "none", "'extra'"),
        (whole | {"data": {"dy": 1.0}}, "image_size, dx, sigma, hole, pairing, stripe, cells, matrices", "none"),
        ([], "data, model, diffusion, training, measure, seed, subject", "none"),
    ):
        message = error_of(RunSpec.from_dict, fields)
        assert message.startswith("not a run spec: "), fields
        assert message.endswith(f"missing {missing}, unknown {unknown}"), fields


BAD_SUBJECTS = (
    {"name": "unet2"},
    {"name": ""},
    {"name": "a\nb:c"},
    {"name": "x" * 300 + ":y", "source": "0" * 64},
    {"name": "my.py:subject"},
    {"name": "my.py:subject", "source": "0" * 63},
    {"name": "my.py:subject", "source": "X" * 64},
    {"source": "0" * 64},
    {"factorized": 1},
    {"name": "my.py:subject", "source": "0" * 64, "arguments": (("b", "1"), ("a", "1"))},
    {"name": "my.py:subject", "source": "0" * 64, "arguments": (("a", "1"), ("a", "2"))},
    {"name": "my.py:subject", "source": "0" * 64, "arguments": (("a", 1),)},
    {"name": "my.py:subject", "source": "0" * 64, "versions": (("torch", "2\n"),)},
)


def test_a_subject_that_makes_no_sense_is_refused_in_one_line():
    for fields in BAD_SUBJECTS:
        message = error_of(SubjectSpec, **fields)
        assert ": must be " in message, fields
        assert "\n" not in message, fields
    fields = SubjectSpec("my.py:subject", source="0" * 64).to_dict()
    for name, value in (("arguments", [["a", "1"]]), ("versions", "x"), ("arguments", {"a": 1}), ("name", None)):
        assert ": must be " in error_of(SubjectSpec.from_dict, fields | {name: value}), (name, value)


def test_step_0_and_the_last_step_are_measured_once():
    for steps in (1, 99, 100, 101, 1000):
        spec = RunSpec(training=TrainingSpec(steps=steps), measure=MeasureSpec(every=100))
        measured = spec.measured_steps()
        assert measured == sorted(set(measured)), steps
        assert (measured[0], measured[-1]) == (0, steps)
        assert [step for step in measured if step > 200] == [*range(300, steps, 100), *[steps] * (steps > 200)]


def test_early_checkpoints_are_dense():
    for every, steps, expected in (
        (100, 1000, [0, 25, 50, 75, 100, 150, 200, 300, 400, 500, 600, 700, 800, 900, 1000]),
        (100, 60, [0, 25, 50, 60]),
        (12, 12, [0, 3, 6, 9, 12]),
        (1, 1, [0, 1]),
        (1, 4, [0, 1, 2, 3, 4]),
        (2, 5, [0, 1, 2, 3, 4, 5]),
        (10, 30, [0, 2, 5, 7, 10, 15, 20, 30]),
    ):
        run = RunSpec(training=TrainingSpec(steps=steps), measure=MeasureSpec(every=every))
        assert run.measured_steps() == expected, (every, steps)


def test_probe_labels_lie_within_the_canvas_and_all_training_labels_and_outside_the_hole():
    """Beyond a profile's last training label a probe label would ask for extrapolation."""
    small, square = DataSpec(image_size=16), MeasureSpec(probe_low=4.0, probe_high=13.0)
    assert error_of(RunSpec, data=small).startswith("probe_high = 30.0: must be at most 14 for image_size 16 ")
    RunSpec(data=small, measure=MeasureSpec(probe_high=14.0))
    RunSpec(data=replace(small, hole=7.0), measure=square)
    assert error_of(RunSpec, data=replace(small, hole=9.9), measure=square).startswith("hole = 9.9: must be smaller")
    for profile in profiles.ALL.values():
        size, measure = profile.base.data.image_size, profile.base.measure
        for d in (*profile.increments, *(d for pair in profile.imbalances for d in pair)):
            assert measure.probe_high <= float(axis_labels(size, d)[-1]), (profile.name, d)
        for hole in profile.holes:
            profile.run(0, hole=hole)


LABELS = {
    "d=0.1 seed 0": {},
    "d=0.1 shuffled seed 0": {"data": DataSpec(pairing="shuffled")},
    "d=0.1 factorized seed 0": {"subject": SubjectSpec(factorized=True)},
    "d=0.1 nearest-label seed 0": {"subject": SubjectSpec("nearest-label")},
    "d=0.1 true seed 0": {"subject": SubjectSpec("true")},
    "dx=0.1 dy=4 sigma=0.5 hole=3 shuffled factorized seed 7": {
        "data": DataSpec(dy=4.0, sigma=0.5, hole=3.0, pairing="shuffled"),
        "subject": SubjectSpec(factorized=True),
        "seed": 7,
    },
}


def test_a_label_names_the_data_and_each_control():
    for label, parts in LABELS.items():
        assert RunSpec(**parts).label() == label


def test_a_profile_runs_its_base_with_the_data_of_a_condition():
    quick = profiles.get("quick")
    plain, imbalanced, holed = quick.run(3), quick.run(3, dx=1.0, dy=4.0, sigma=0.5), quick.run(3, hole=5.0)
    assert plain == replace(quick.base, data=DataSpec(16, 0.1, 0.1), seed=3)
    assert imbalanced.data == DataSpec(16, 1.0, 4.0, sigma=0.5)
    assert quick.run(3, dx=1.0).data == DataSpec(16, 1.0, 1.0)
    assert holed.data == DataSpec(16, 0.1, 0.1, hole=5.0)
    assert holed.measure == plain.measure
    assert quick.replicate(3) == quick.run(3 + REPLICATES)
    assert REPLICATES > 10**6, "registration k judges seeds from 1000 k on, and no replicate may be one of them"


def test_controls_change_one_thing_and_keep_the_rest():
    profile = profiles.get("quick")
    run = profile.run(5, dy=4.0, hole=3.0)
    assert profile.shuffled(run) == replace(run, data=replace(run.data, pairing="shuffled"))
    assert profile.factorized(run) == replace(run, subject=SubjectSpec(factorized=True))
    untrained = profile.untrained(run)
    assert untrained.measured_steps() == [0, 1]
    assert replace(untrained, training=run.training, measure=run.measure) == run
    assert untrained.measure.samples == run.measure.samples
    assert replace(untrained.measure, every=run.measure.every) == run.measure
    rendered = profile.rendered(run, "true")
    assert rendered == replace(untrained, subject=SubjectSpec("true"))


def test_the_paper_profile_is_the_papers():
    spec = profiles.get("paper").run(0)
    assert (spec.data.image_size, spec.data.dx, spec.data.sigma) == (32, 0.1, 1.0)
    assert (spec.training.steps, spec.training.batch_size, spec.training.learning_rate) == (320_000, 16, 3e-4)
    assert (spec.diffusion.prediction, spec.diffusion.schedule, spec.diffusion.sampler) == (
        "epsilon",
        "linear",
        "ancestral",
    )
    assert (spec.measure.samples, spec.measure.every) == (500, 6_400)
    assert profiles.get("paper").increments == (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


def test_the_error_of_an_unknown_profile_names_the_known_ones():
    assert error_of(profiles.get, "huge").endswith(f": choose one of {', '.join(profiles.ALL)}")
    assert list(profiles.ALL) == ["quick", "lite", "nightly", "paper", "smoke"]


def test_the_short_names_of_different_subjects_differ_and_are_names_of_files():
    def named(name, *arguments):
        return SubjectSpec(name, arguments, 64 * "0").short_name

    assert named("my_dit.py:subject") == "my_dit"
    assert named("gan.py:Gan", ("width", "64")) == "gan-Gan-width-64"
    names = [named("my.py:A"), named("my.py:B"), *(named("my.py:A", ("shift", shift)) for shift in ("+1", "-1", "=1"))]
    names += [named("my.py:A", ("text", 190 * "x" + end)) for end in "ab"]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch("[A-Za-z0-9._-]{1,80}", name) for name in names), names
