"""Every promise of a subject, each broken by one subject. The check gives one line for it, and no other."""

import math
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from bumplab import profiles
from bumplab.config import SubjectSpec
from bumplab.subjects.check import check
from bumplab.subjects.planted import Planted, PlantedLearner
from bumplab.subjects.protocol import Diverged
from bumplab.subjects.registry import Named
from bumplab.subjects.state import to_bytes

SPEC = profiles.get("smoke").run(0)
DRAWN, RECORDED, SIZE = 24, 20, 16
FILES = {"test_check.py": Path(__file__)}


def checked(subject, device="cpu"):
    spec = replace(SPEC, subject=SubjectSpec(name="my.py:subject", source=64 * "0"))
    return check(Named(spec.subject, subject, FILES), spec, device)


class Learner(PlantedLearner):
    """Keeps every promise. Training moves a weight, and the images show it."""

    weight = 0.0

    def train(self, until, on_step):
        for step in range(self.step, until):
            self.weight += self.task.rng("weight", step).normal()
        return super().train(until, on_step)

    def draw(self, labels, seed, recorded=0):
        drawn = super().draw(labels, seed, recorded)
        return replace(drawn, images=drawn.images + self.weight)

    def state(self):
        return {**super().state(), "weight": np.asarray(self.weight)}


def subject_of(learner_class=Learner, **members):
    """A subject whose learners are of this class. ``members`` replace its own."""

    class Subject(Planted):
        def start(self, task, data, device, at=None):
            learner = learner_class(self, task, 0 if at is None else at[0])
            if at is not None and "weight" in at[1]:
                learner.weight = float(at[1]["weight"])
            return learner

    for name, value in members.items():
        setattr(Subject, name, value)
    return Subject()


def drawing(change, **members):
    """A subject whose draws pass through ``change(learner, drawn)``."""

    class Changed(Learner):
        def draw(self, labels, seed, recorded=0):
            return change(self, super().draw(labels, seed, recorded))

    return subject_of(Changed, **members)


def images(change, **members):
    return drawing(lambda learner, drawn: replace(drawn, images=change(drawn.images)), **members)


def activations(change):
    """A subject whose activations, where there are some, pass through ``change(activations, learner)``."""
    return drawing(
        lambda learner, drawn: replace(
            drawn, activations=change(dict(drawn.activations), learner) if drawn.activations else {}
        )
    )


def with_role(role, change):
    return activations(lambda arrays, learner: arrays | {role: change(arrays.get(role))})


def storing(change, **members):
    """A subject whose states pass through ``change(state)``."""

    class Changed(Learner):
        def state(self):
            return change(super().state())

    return subject_of(Changed, **members)


def training(change):
    """A subject whose training is ``change(learner, until, on_step)``. It may call `Learner.train`."""

    class Changed(Learner):
        train = change

    return subject_of(Changed)


def starting(change):
    """A subject whose learners come from ``change(subject, task, data, device, at)``."""
    sound = subject_of()

    class Subject(Planted):
        def start(self, task, data, device, at=None):
            return change(sound, task, data, device, at)

    return Subject()


def calling(verb, function):
    """A subject that calls ``function`` in this verb and is sound otherwise."""

    class Changed(Learner):
        pass

    def called(self, *arguments, **named):
        function()
        return getattr(Learner, verb)(self, *arguments, **named)

    setattr(Changed, verb, called)
    return subject_of(Changed)


def divide():
    return 1 / 0


def diverge():
    raise Diverged("the loss is NaN")


class Fixed(Learner):
    """Its bumps lie at the labels, whatever the seed."""

    def draw(self, labels, seed, recorded=0):
        drawn = super().draw(labels, seed, recorded)
        return replace(drawn, images=self.render(labels) + self.weight)


class WithoutLabels(Learner):
    def draw(self, labels, seed, recorded=0):
        return super().draw(np.full_like(labels, 8), seed, recorded)


class CountsDraws(Learner):
    draws = 0

    def draw(self, labels, seed, recorded=0):
        self.draws += 1
        return super().draw(labels, seed, recorded)

    def state(self):
        return {**super().state(), "draws": np.asarray(self.draws)}


class DisturbedByDraws(Learner):
    """A draw changes what the next training does. Neither its state nor its images show it."""

    was_drawn = False

    def draw(self, labels, seed, recorded=0):
        self.was_drawn = True
        return super().draw(labels, seed, recorded)

    def train(self, until, on_step):
        self.weight += self.was_drawn
        return super().train(until, on_step)


class CountsCalls(Learner):
    """Each call of train changes the result, such as by a new optimizer."""

    def train(self, until, on_step):
        self.weight += 1
        return super().train(until, on_step)


class Unseeded(Learner):
    def train(self, until, on_step):
        self.weight += np.random.default_rng().normal()
        return super().train(until, on_step)


class WithoutState:
    train = draw = Learner.train


def without_weight(state):
    return {"step": state["step"]}


def object_array(array):
    return array.astype(object)


def train_without_on_step(learner, until, on_step):
    return Learner.train(learner, until, lambda step: None)


def train_with_on_step_twice(learner, until, on_step):
    return Learner.train(learner, until, lambda step: (on_step(step), on_step(step)))


def train_counting_from_1(learner, until, on_step):
    begin = learner.step
    return Learner.train(learner, until, lambda step: on_step(step - begin))


def losing(loss):
    def train(learner, until, on_step):
        Learner.train(learner, until, on_step)
        return loss

    return training(train)


def start_with_one_seed(subject, task, data, device, at):
    return subject.start(replace(task, seed=0), data, device, at)


def start_anew(subject, task, data, device, at):
    return subject.start(task, data, device)


def start_untrained_alone(subject, task, data, device, at):
    return divide() if at else subject.start(task, data, device)


def nan_before_training(learner, drawn):
    drawn.images[0] = math.nan if learner.step == 0 else 0.0
    return drawn


def nan_in_all(array):
    return array * math.nan


def shrinking_encoder(arrays, learner):
    return arrays | {"encoder": arrays["encoder"][:, learner.step > 0 :]}


SOUND = {
    "planted": Planted(half=4),
    "the base of the broken ones": subject_of(),
    "a failed image after training": drawing(
        lambda learner, drawn: replace(
            drawn, images=np.where(np.arange(DRAWN)[:, None, None] < learner.step, math.nan, drawn.images)
        )
    ),
    "whole grey values": images(lambda array: np.clip(array, 0, 255).astype(np.uint8)),
    "half precision": images(lambda array: array.astype(np.float16)),
    "one image a label": subject_of(Fixed, random=False),
    "tells nothing, as it says": drawing(lambda learner, drawn: replace(drawn, told={}), tells=False),
    "sees nothing, as it says": subject_of(type("Sightless", (Learner,), {"see": None}), sees=False),
    "no roles": drawing(lambda learner, drawn: replace(drawn, activations={}), roles={}),
    "activations of two axes": activations(lambda arrays, learner: {k: v.reshape(-1, 2, 4) for k, v in arrays.items()}),
    "resumes approximately": storing(without_weight, resumes="approximately"),
    "no loss": losing(None),
    "state in another order of memory": storing(lambda state: state | {"more": np.arange(6).reshape(2, 3).T}),
    "state with a scalar of NumPy's": storing(lambda state: state | {"more": np.float32(1)}),
}


class DrawsOtherwiseUnrecorded(Learner):
    def draw(self, labels, seed, recorded=0):
        drawn = super().draw(labels, seed, recorded)
        return drawn if recorded else replace(drawn, images=255 - drawn.images)


def told(change):
    """A subject whose activations at the first sampling step, where there are some, pass through ``change``."""
    return drawing(lambda learner, drawn: replace(drawn, told=change(drawn.told)) if drawn.told else drawn)


def seeing(change, **members):
    """A subject whose activations of given images pass through ``change(learner, seen)``."""

    class Changed(Learner):
        def see(self, images, labels, seed):
            return change(self, super().see(images, labels, seed))

    return subject_of(Changed, **members)


def count_a_look(learner, seen):
    learner.weight += 1
    return seen


def all_plus(value, arrays):
    return {role: rows + value for role, rows in arrays.items()}


class Blind(Learner):
    see = None


BROKEN = {
    # what it is told and sees
    "tells nothing": (
        told(lambda arrays: {k: v for k, v in arrays.items() if k != "layer4"}),
        "no told activations of 'layer4'",
    ),
    "told too few": (told(lambda arrays: {k: v[1:] if k == "encoder" else v for k, v in arrays.items()}), "(19, 8)"),
    "told nan": (told(lambda arrays: arrays | {"encoder": arrays["encoder"] + math.nan}), "told"),
    "sees without see": (subject_of(Blind), "see raises"),
    "sees nan": (seeing(lambda learner, seen: seen | {"encoder": seen["encoder"] + math.nan}), "see gives"),
    "sees too few": (seeing(lambda learner, seen: seen | {"encoder": seen["encoder"][1:]}), f"({DRAWN}, ...)"),
    "sees a list": (seeing(lambda learner, seen: list(seen)), "see gives activations as a list"),
    "sees unseeded": (
        seeing(lambda learner, seen: all_plus(np.random.default_rng().normal(), seen)),
        "see gives other",
    ),
    "a look changes the state": (seeing(count_a_look), "draw or see changes state()"),
    "recording changes images": (subject_of(DrawsOtherwiseUnrecorded), "must not depend on recorded"),
    "images in [0, 1]": (images(lambda array: array / 255), "must be 0 dark to 255 white"),
    # what start gives
    "start raises": (starting(lambda *arguments: divide()), "start raises test_check.py:"),
    "no learner": (starting(lambda *arguments: None), "NoneType without train, draw, state"),
    "half a learner": (starting(lambda *arguments: WithoutState()), "without state"),
    # images
    "side": (images(lambda array: array[:, :8, :8]), "(24, 8, 8): must be (24, 16, 16)"),
    "one image too few": (images(lambda array: array[1:]), "(23, 16, 16)"),
    "channels": (images(lambda array: array[..., None]), "(24, 16, 16, 1)"),
    "list": (images(list), "list"),
    "tensor": (images(torch.from_numpy), "Tensor"),
    "objects": (images(object_array), "object"),
    "complex": (images(lambda array: array + 0j), "complex128"),
    "texts": (images(lambda array: array.astype(str)), "<U"),
    "no Drawn": (drawing(lambda learner, drawn: drawn.images), "ndarray: must be a Drawn"),
    "nan": (drawing(nan_before_training), "before training"),
    "draw raises": (calling("draw", divide), "draw raises test_check.py:"),
    # activations
    "no mapping": (activations(lambda arrays, learner: list(arrays)), "list"),
    "role missing": (
        activations(lambda arrays, learner: {k: v for k, v in arrays.items() if k != "encoder"}),
        "'encoder'",
    ),
    "role unknown": (with_role("middle", lambda array: np.zeros((RECORDED, 2))), "'middle'"),
    "rows": (with_role("encoder", lambda array: np.zeros((DRAWN, 2))), f"({DRAWN}, 2): must be ({RECORDED}, ...)"),
    "no numbers": (with_role("encoder", lambda array: np.zeros((RECORDED, 0))), f"({RECORDED}, 0)"),
    "activations of texts": (with_role("encoder", lambda array: array.astype(str)), "'encoder' of dtype <U"),
    "activations not finite": (with_role("encoder", nan_in_all), "'encoder' with NaN"),
    "size changes": (activations(shrinking_encoder), "'encoder' of shape (20, 7), and (20, 8) earlier"),
    # what a draw depends on
    "draws unseeded": (images(lambda array: array + np.random.default_rng().normal()), "the same seed differ"),
    "seed ignored": (subject_of(Fixed), "random = False"),
    "seed used": (subject_of(random=False), "random = True"),
    "labels ignored": (subject_of(WithoutLabels), "ignores its labels"),
    "draw changes the state": (subject_of(CountsDraws), "changes state()"),
    "draw changes the training": (subject_of(DisturbedByDraws), "after draws"),
    # training
    "train raises": (calling("train", divide), "train raises test_check.py:"),
    "on_step never": (training(train_without_on_step), "no step"),
    "on_step twice": (training(train_with_on_step_twice), "1, 1, 2"),
    "on_step from 1": (training(train_counting_from_1), "from 7 to 12"),
    "loss nan": (losing(math.nan), "nan"),
    "loss of another kind": (losing(torch.tensor(1.0)), "Tensor"),
    "training in parts": (subject_of(CountsCalls), "train(6) and train(12)"),
    "training unseeded": (subject_of(Unseeded), "two trainings of the same run"),
    # states
    "state raises": (calling("state", divide), "state raises test_check.py:"),
    "state misses a weight": (storing(without_weight), "stored state"),
    "state is a list": (storing(list), "list"),
    "state by number": (storing(lambda state: {0: state["step"]}), "name 0"),
    "state of floats": (storing(lambda state: state | {"weight": 1.0}), "'weight' is a float"),
    "state of objects": (storing(lambda state: state | {"more": np.array([None])}), "'more' has dtype object"),
    "state not finite": (storing(lambda state: state | {"more": np.array(math.nan)}), "'more' holds NaN"),
    "state ignored": (starting(start_anew), "from 7 to 12"),
    "state cannot be started from": (starting(start_untrained_alone), "stored state raises test_check.py:"),
    "weights raise": (subject_of(weights=lambda self, learner: divide()), "weights raises test_check.py:"),
    "weights are a list": (subject_of(weights=lambda self, learner: [1.0]), "weights(): the state is a list"),
    # global generators
    "random in start": (starting(lambda subject, *rest: (random.random(), subject.start(*rest))[1]), "start moves"),
    "random in train": (calling("train", random.random), "train moves the global random state of random:"),
    "numpy in draw": (calling("draw", np.random.rand), "draw moves the global random state of numpy.random:"),
    "torch in state": (calling("state", lambda: torch.rand(1)), "state moves the global random state of torch:"),
}


@pytest.mark.parametrize("case", SOUND)
def test_a_sound_subject_breaks_no_promise(case):
    found = checked(SOUND[case])
    assert found.broken == ()
    assert len(found.notes) == (case == "resumes approximately")
    assert found.images_a_draw == DRAWN
    assert found.state_bytes > len(to_bytes({}))
    assert found.seconds_a_step > 0
    assert found.seconds_a_draw > 0


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_promise_is_one_line(case):
    subject, words = BROKEN[case]
    broken = checked(subject).broken
    assert len(broken) == 1, broken
    assert words in broken[0]
    assert "\n" not in broken[0]


def test_promises_that_are_broken_together_are_all_told():
    class Both(Unseeded, WithoutLabels):
        pass

    assert len(checked(storing(list)).broken) == 1
    assert len(checked(subject_of(Both, weights=lambda self, learner: divide())).broken) == 3


def test_what_is_allowed_and_worth_knowing_is_a_note():
    """Two seeds may end alike because both draw every image as it should be. A mask may hold infinity."""
    for subject, words in (
        (starting(start_with_one_seed), "two seeds end"),
        (storing(lambda state: state | {"mask": np.array(-math.inf)}), "'mask' holds infinity"),
    ):
        found = checked(subject)
        assert found.broken == ()
        assert any(words in note for note in found.notes), words


def test_a_training_that_breaks_down_is_a_note():
    found = checked(calling("train", diverge))
    assert found.broken == ()
    assert len(found.notes) == 1
    assert "the loss is NaN" in found.notes[0]
    assert "test_check.py:" in found.notes[0]


def test_a_check_leaves_the_global_random_states_and_no_files(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before = random.getstate(), np.random.get_state()[1].tobytes(), torch.get_rng_state().numpy().tobytes()
    checked(Planted())
    after = random.getstate(), np.random.get_state()[1].tobytes(), torch.get_rng_state().numpy().tobytes()
    assert before == after
    assert list(tmp_path.iterdir()) == []


def test_on_another_device_sums_may_be_in_another_order():
    """Trainings are not compared there, and draws may differ by less than a grey value."""
    little = images(lambda array: array + np.random.default_rng().normal(scale=0.01, size=array.shape))
    much = images(lambda array: array + np.random.default_rng().normal(scale=10, size=array.shape))
    for subject, count in ((subject_of(Unseeded), 0), (little, 0), (much, 1)):
        found = checked(subject, device="mps")
        assert len(found.broken) == count
        assert len(found.notes) == 1
    assert len(checked(little).broken) == 1
