"""A network that bumplab trains as a learner: what it draws, what is recorded of it, and what drawing leaves alone."""

import gc
import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks import plain
from bumplab import profiles
from bumplab.config import ROLES
from bumplab.data.bumps import render
from bumplab.data.feed import Feed
from bumplab.diffusion import loop, speed
from bumplab.diffusion.checkpoint import OfAnotherModel
from bumplab.diffusion.loop import _captured, _update
from bumplab.diffusion.objective import to_unit
from bumplab.diffusion.rng import Drawing, Prepared
from bumplab.diffusion.schedule import alphas_cumprod
from bumplab.measure.names import SamplesNotFinite
from bumplab.randomness import generator
from bumplab.subjects import diffusion
from bumplab.subjects.diffusion import SAMPLING_BATCH, Diffusion, Unet
from bumplab.subjects.protocol import Diverged, Task
from bumplab.subjects.state import from_bytes, to_bytes
from tests.learners import drawn_by, measured, started, trained

SPEC = profiles.get("smoke").run(0)
WITH_EMA = replace(SPEC, training=replace(SPEC.training, ema_decay=0.9))
LABELS = np.float32(np.random.default_rng(0).uniform(3, 13, (SAMPLING_BATCH + 10, 2)))
"""More labels than are drawn at a time."""
gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU: torch sees no CUDA device")
EVERYWHERE = ["cpu", pytest.param("cuda:0", marks=[pytest.mark.gpu, gpu])]


class Features(nn.Module):
    """(x, y, t) of each label."""

    def forward(self, labels, t):
        return torch.cat([labels, t[:, None].float()], dim=1)


class Perfect(nn.Module):
    """Predicts the exact v of the bump at each label."""

    def __init__(self, task):
        super().__init__()
        self.levels = alphas_cumprod(task.diffusion.schedule, task.diffusion.timesteps).float()
        self.weight = nn.Parameter(torch.ones(()))
        self.features, self.relu = Features(), nn.ReLU(inplace=True)
        self.pair, self.never = Pair(), nn.Identity()

    def forward(self, x, t, labels):
        features = self.features(labels, t)
        self.pair(features)
        self.relu(features.neg_())
        level = self.levels[t][:, None, None, None]
        return self.weight * (level.sqrt() * x - to_unit(render(labels, 16, 1.0))[:, None]) / (1 - level).sqrt()


class Pair(nn.Module):
    def forward(self, x):
        return x, 2 * x


def perfect(**taps):
    return Diffusion(Perfect, taps)


def test_images_and_activations_keep_their_order_whatever_is_drawn_at_a_time(monkeypatch):
    """Each image and each activation belongs to its label."""
    truth = render(torch.from_numpy(LABELS), 16, 1.0).numpy()
    for batch, recorded in ((256, len(LABELS)), (256, 24), (24, 24), (16, 24), (7, 24), (256, 0)):
        monkeypatch.setattr(diffusion, "SAMPLING_BATCH", batch)
        drawn = started(SPEC, perfect(layer4="features")).draw(LABELS, 0, recorded)
        assert drawn.images.shape == (len(LABELS), 16, 16), batch
        assert np.abs(drawn.images - truth).max() < 2, batch
        if recorded:
            assert np.array_equal(drawn.activations["layer4"][:, :2], LABELS[:recorded]), (batch, recorded)
        else:
            assert drawn.activations == {}, "nothing is recorded unless asked"


def test_activations_are_those_of_the_last_call_and_told_those_of_the_first(monkeypatch):
    """Timesteps fall from call to call, and what follows in place changes no activation."""
    spec = replace(SPEC, diffusion=replace(SPEC.diffusion, sampler_steps=5))
    timesteps = []
    forward = Features.forward
    monkeypatch.setattr(
        Features, "forward", lambda self, labels, t: timesteps.append(int(t[0])) or forward(self, labels, t)
    )
    drawn = started(spec, perfect(layer4="features")).draw(LABELS[:8], 0, 5)
    assert timesteps == sorted(timesteps, reverse=True)
    assert len(set(timesteps)) == 5
    for rows, timestep in ((drawn.activations, timesteps[-1]), (drawn.told, timesteps[0])):
        assert np.array_equal(rows["layer4"], np.column_stack([LABELS[:5], np.full(5, timestep)]))


def test_told_is_one_row_for_each_recorded_image_whatever_is_drawn_at_a_time(monkeypatch):
    """One sampling step is the first and the last. Nothing is told unless it is asked for."""
    one_step = replace(SPEC, diffusion=replace(SPEC.diffusion, sampler_steps=1))
    for batch, recorded in ((256, len(LABELS)), (7, 24), (256, 0)):
        monkeypatch.setattr(diffusion, "SAMPLING_BATCH", batch)
        drawn = started(one_step, perfect(layer4="features", encoder="features")).draw(LABELS, 0, recorded)
        assert drawn.told.keys() == drawn.activations.keys() == ({"layer4", "encoder"} if recorded else set())
        for role, rows in drawn.told.items():
            assert np.array_equal(rows, drawn.activations[role]), (batch, role)
            assert len(rows) == recorded


class Eye(nn.Module):
    """Its module ``seen`` gives what the network is shown: pixels, timestep and labels."""

    def __init__(self, task):
        super().__init__()
        self.seen, self.weight = nn.Identity(), nn.Parameter(torch.ones(()))

    def forward(self, x, t, labels):
        self.seen(torch.cat([x.flatten(1), t[:, None], labels], dim=1))
        return self.weight * x


def test_the_network_sees_the_images_at_a_fifth_of_the_timesteps_with_the_labels_given(monkeypatch):
    truth, asked = render(torch.from_numpy(LABELS), 16, 1.0).numpy(), LABELS + 1
    learner = started(SPEC, Diffusion(Eye, {"layer4": "seen"}))
    rows = learner.see(truth, asked, 3)["layer4"]
    pixels, timesteps, labels = rows[:, :256], rows[:, 256], rows[:, 257:]
    assert np.array_equal(labels, asked)
    assert set(timesteps) == {0.2 * SPEC.diffusion.timesteps}
    level = float(alphas_cumprod("cosine", SPEC.diffusion.timesteps)[int(timesteps[0])])
    noise = (pixels - level**0.5 * to_unit(truth).reshape(-1, 256)) / (1 - level) ** 0.5
    assert (noise.mean(), noise.std()) == pytest.approx((0, 1), abs=0.02)
    assert not np.allclose(noise[0], noise[SAMPLING_BATCH], atol=0.1), "the next images have noise of their own"
    assert np.abs(np.corrcoef(noise[:40])[np.triu_indices(40, 1)]).max() < 0.5, "each image has its own noise"
    assert np.array_equal(learner.see(truth, asked, 3)["layer4"], rows)
    assert not np.array_equal(learner.see(truth, asked, 4)["layer4"], rows)


def test_seeing_changes_nothing_of_the_learner():
    learner, other = (trained(WITH_EMA, 3) for _ in range(2))
    learner.see(render(torch.from_numpy(LABELS), 16, 1.0).numpy(), LABELS, 0)
    assert learner.training.averaged.training == other.training.averaged.training
    assert learner.train(6, lambda step: None) == other.train(6, lambda step: None)
    assert to_bytes(learner.state()) == to_bytes(other.state())


def test_an_objective_sees_where_its_subject_says_so():
    assert (Unet().tells, Unet().sees, MIXED.tells, MIXED.sees) == (True, True, True, False)
    blind = Diffusion(Perfect, objective=lambda task, device: Mixed(), sees=True)
    with pytest.raises(ValueError, match="sees = True, and Mixed has no noised: ") as raised:
        started(SPEC, blind)
    assert "\n" not in str(raised.value)


def test_a_tap_is_a_module_s_output_or_a_function_of_it():
    subject = perfect(
        layer4="features",
        encoder=("features", lambda output: output[:, :1] + 1),
        bottleneck=("pair", lambda output: output[1][:, :, None]),
    )
    assert set(subject.roles) == {"layer4", "encoder", "bottleneck"}
    assert all("features" in subject.roles[role] for role in ("layer4", "encoder"))
    activations = started(SPEC, subject).draw(LABELS[:8], 0, 6).activations
    assert {role: rows.shape for role, rows in activations.items()} == {
        "layer4": (6, 3),
        "encoder": (6, 1),
        "bottleneck": (6, 3),
    }
    assert np.array_equal(activations["encoder"][:, 0], LABELS[:6, 0] + 1)
    assert np.array_equal(activations["bottleneck"], 2 * activations["layer4"])


def test_a_tap_that_names_nothing_usable_is_one_line():
    def error_of(**taps):
        with pytest.raises(ValueError, match="tap ") as raised:
            started(SPEC, perfect(**taps)).draw(LABELS[:8], 0, 4)
        assert "\n" not in str(raised.value)
        return str(raised.value)

    wrong = error_of(encoder="fetures")
    assert all(word in wrong for word in ("'fetures'", "encoder", "features", "pair"))
    assert all(word in error_of(bottleneck="never") for word in ("'never'", "bottleneck", "never calls"))
    assert all(word in error_of(layer4="pair") for word in ("'pair'", "layer4", "tuple"))


def test_hooks_are_gone_after_a_draw():
    learner = started(SPEC, perfect(layer4="features", bottleneck="pair"))
    with pytest.raises(ValueError, match="pair"):
        learner.draw(LABELS[:8], 0, 4)
    assert not any(module._forward_hooks for module in learner.training.averaged.modules())


def test_a_draw_depends_on_labels_and_seed_alone_and_changes_nothing():
    """Also where the network has a mode for training, and where the weights are averaged."""
    learner = trained(WITH_EMA, 6)
    before = to_bytes(learner.state())
    torch.manual_seed(3)
    first = learner.draw(LABELS[:40], 5, 24)
    torch.manual_seed(4)
    again, other, fewer = (
        learner.draw(LABELS[:40], 5, 24),
        learner.draw(LABELS[:40], 6, 24),
        learner.draw(LABELS[:40], 5),
    )
    assert np.array_equal(first.images, again.images)
    assert np.array_equal(first.images, fewer.images), "recording changed the images"
    assert all(np.array_equal(rows, again.activations[role]) for role, rows in first.activations.items())
    assert not np.array_equal(first.images, other.images)
    assert learner.training.network.training
    assert to_bytes(learner.state()) == before


def test_drawing_moves_no_global_generator():
    learner = started(WITH_EMA)
    torch.manual_seed(3)
    before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()
    learner.draw(LABELS[:40], 5, 24)
    assert torch.equal(torch.get_rng_state(), before)
    assert np.array_equal(np.random.get_state()[1], numpy_before)


def test_measuring_leaves_the_training_as_it_was():
    """UMAP resets torch's threads, and sampling draws numbers. Neither may change the weights."""
    learner = trained(WITH_EMA, 6)
    measured(learner, WITH_EMA, 6)
    torch.set_num_threads(2)
    threads = set()
    learner.train(12, lambda step: threads.add(torch.get_num_threads()))
    assert threads == {1}
    assert to_bytes(learner.state()) == to_bytes(trained(WITH_EMA, 12).state())


def test_layers_with_a_mode_draw_as_they_do_after_training():
    """A dropout in training would zero half of the image."""

    class Dropping(Perfect):
        def forward(self, x, t, labels):
            return self.drop(super().forward(x, t, labels))

        def __init__(self, task):
            super().__init__(task)
            self.drop = nn.Dropout(0.5)

    learner = started(SPEC, Diffusion(Dropping))
    learner.training.network.train()
    truth = render(torch.from_numpy(LABELS[:8]), 16, 1.0).numpy()
    assert np.abs(learner.draw(LABELS[:8], 0).images - truth).max() < 2
    assert learner.training.network.training


def test_a_learner_goes_on_from_its_state_through_a_file():
    whole = trained(WITH_EMA, 12)
    half = from_bytes(to_bytes(trained(WITH_EMA, 6).state()))
    resumed = trained(WITH_EMA, 12, at=(6, half))
    assert to_bytes(resumed.state()) == to_bytes(whole.state())
    assert np.array_equal(resumed.draw(LABELS[:8], 0).images, whole.draw(LABELS[:8], 0).images)
    with pytest.raises(ValueError, match="checkpoint tensor"):
        started(WITH_EMA, at=(6, {}))


def test_the_weights_of_a_run_are_those_that_draw():
    """The average where there is one, under the network's own names."""
    subject, learner = Unet(), trained(WITH_EMA, 6)
    stored = subject.weights(learner)
    averaged = learner.training.averaged.state_dict()
    assert stored.keys() == averaged.keys()
    assert all(np.array_equal(array, averaged[name].numpy()) for name, array in stored.items())
    assert any(not np.array_equal(array, learner.training.network.state_dict()[name]) for name, array in stored.items())


def test_a_training_without_steps_has_no_loss_and_one_that_breaks_down_has_diverged():
    learner = trained(SPEC, 2)
    assert learner.train(2, lambda step: None) is None
    assert learner.train(3, lambda step: None) > 0
    with pytest.raises(Diverged, match="the loss is nan"):
        trained(replace(SPEC, training=replace(SPEC.training, learning_rate=1e30)), 6)


def test_a_network_of_nan_is_not_measured():
    """Its white images would count as failures to draw a bump, and nobody would see the broken network."""
    for weights in ("head.bias", "up1.change.conv1.weight"):
        learner = started(SPEC)
        torch.nn.init.constant_(learner.training.network.get_parameter(weights), torch.nan)
        with pytest.raises(SamplesNotFinite, match=r"^24 of 24 samples "):
            drawn_by(learner, SPEC, 6)


def test_data_of_another_kind_are_refused_in_one_line():
    with pytest.raises(TypeError, match=r"data of list: .* needs the data that the suite feeds"):
        Unet().start(Task.of(SPEC, ()), [], "cpu")


# --- an objective of the user's ---------------------------------------------------------------------------------------


class Mixed:
    """Flow matching whose loss asks for every kind of random numbers, in an order of its own."""

    calls = 3

    def loss(self, net, images, labels, rng):
        time, noise = rng.uniform(len(images)), rng.normal(*images.shape)
        weight = 1 + rng.integers(3, len(images))
        x = torch.lerp(noise, images, time[:, None, None, None])
        error = net(x, 1000 * time, labels) - (images - noise)
        return (weight * error.square().mean(dim=(1, 2, 3))).mean() + 0 * rng.uniform(2, 2).sum()

    def sample(self, net, labels, noise, rng):
        x = noise
        for step in range(self.calls):
            time = torch.full((len(x),), step / self.calls, device=x.device)
            x = x + net(x, 1000 * time, labels) / self.calls + 0.01 * rng.normal(*x.shape)
        return x.clamp(-1, 1)


MIXED = Diffusion(lambda task: Unet().network(task), {"layer4": "up1.change"}, objective=lambda task, device: Mixed())


def test_an_objective_of_the_user_s_trains_and_draws():
    learner = started(SPEC, MIXED)
    first, *_, last = (learner.train(until, lambda step: None) for until in (10, 20, 30))
    assert last < first
    one, again, other = (learner.draw(LABELS[:30], seed, 24) for seed in (0, 0, 1))
    assert (one.images.min() >= 0, one.images.max() <= 255) == (True, True)
    assert one.activations["layer4"].shape[0] == 24
    assert np.array_equal(one.images, again.images)
    assert not np.array_equal(one.images, other.images)
    assert "diffusion" not in MIXED.reads, "it reads nothing of the profile's diffusion, so --vary refuses that"


def test_random_numbers_drawn_before_a_captured_step_give_its_loss():
    """A GPU replays a step that reads its random numbers: the same numbers, in the order of the requests."""
    losses = []
    for captured in (False, True):
        state = trained(SPEC, 1, MIXED).training
        chosen, rng = torch.arange(8), Drawing(generator(0, "batch", 7))
        step = _captured(state, chosen) if captured else lambda chosen, rng: _update(state, chosen, rng)  # noqa: B023
        losses.append((float(step(chosen, rng)), state.weights.vectors["weights"].clone()))
    assert losses[0][0] == losses[1][0]
    assert torch.equal(losses[0][1], losses[1][1])


def test_requests_made_again_give_numbers_of_the_same_kind():
    rng = Drawing(torch.Generator().manual_seed(1))
    drawn = rng.uniform(3, 2), rng.normal(4), rng.integers(7, 5)
    again = Drawing(torch.Generator().manual_seed(1))
    assert all(torch.equal(request(again), tensor) for request, tensor in zip(rng.requests, drawn, strict=True))
    given = Prepared(drawn)
    assert given.uniform(3, 2) is drawn[0]
    assert given.normal(4) is drawn[1]
    assert given.integers(7, 5) is drawn[2]
    uniform, normal, integers = rng.uniform(10_000), rng.normal(10_000), rng.integers(3, 10_000)
    assert 0 <= float(uniform.min()) < 0.01 < 0.99 < float(uniform.max()) < 1
    assert (float(normal.mean()), float(normal.std())) == pytest.approx((0, 1), abs=0.05)
    assert set(integers.tolist()) == {0, 1, 2}


# --- against the plain network, and as a GPU draws --------------------------------------------------------------------


@pytest.mark.parametrize("device", EVERYWHERE)
def test_samples_are_those_of_the_plain_network(device):
    """On a CPU each pixel is within a grey value, by rounding. On a GPU, in TF32, the mean difference is below one."""
    learner = trained(SPEC, 12, device=device)
    network = plain.PlainUNet(learner.training.network, SPEC)
    ours = learner.draw(LABELS, 0, 5)
    theirs = plain.plain_learner(learner.training, network, SPEC).draw(LABELS, 0, 5)
    difference = abs(ours.images - theirs.images)
    assert ours.images.std() > 10
    assert float(difference.max() if device == "cpu" else difference.mean()) <= 1
    assert ours.activations.keys() == theirs.activations.keys() == set(ROLES)
    for role, activation in ours.activations.items():
        assert np.allclose(activation, theirs.activations[role], atol=1e-4 if device == "cpu" else 1e-1), role


def test_a_captured_step_is_made_once_for_a_network_and_serves_a_last_chunk_of_fewer_rows(monkeypatch):
    """A stand-in has fixed inputs, as a graph on a GPU has. It draws the same images and keeps no network alive."""
    learner = trained(SPEC, 6)
    launched = learner.draw(LABELS, 0, 5)
    sizes, network = [], weakref.ref(learner.training.averaged)  # a graph keeps addresses, not the network

    def capture(function, example):
        inputs = [part.clone() for part in example]
        sizes.append(len(inputs[0]))

        def replay(*values):
            for into, value in zip(inputs, values, strict=True):
                into[: len(value)].copy_(value)
            with torch.inference_mode():
                return network()(*inputs)

        return replay

    monkeypatch.setattr(speed, "captures", lambda device: True)
    monkeypatch.setattr(speed, "capture", capture)
    for _ in range(2):
        captured = learner.draw(LABELS, 0, 5)
        assert np.abs(captured.images - launched.images).max() <= 1
        for role, rows in launched.activations.items():
            assert np.allclose(captured.activations[role], rows, atol=1e-4), role
    assert sizes == [SAMPLING_BATCH]
    del learner
    gc.collect()
    assert network() is None


def test_a_learner_trains_on_the_suite_s_data_alone():
    """The loop gets the labels and images of the feed, not those of the spec: the suite decides what is in them."""
    seen = []

    class Watching(Feed):
        def on(self, device):
            data = super().on(device)
            return data._replace(images=lambda which: seen.append(len(which)) or data.images(which))

    learner = Unet().start(Task.of(SPEC, ()), Watching(SPEC.data, 0), "cpu")
    learner.train(3, lambda step: None)
    assert seen == [SPEC.training.batch_size] * 3
    assert loop.train(learner.training, 4) > 0


def test_a_network_whose_output_has_another_shape_is_refused():
    """A product with ``[B, N, N]`` would be broadcast to ``[B, B, N, N]``, and trained all the same."""

    class Flat(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(()))

        def forward(self, x, t, labels):
            return self.weight * x[:, 0]

    learner = started(profiles.get("smoke").run(0), Diffusion(lambda task: Flat()))
    with pytest.raises(ValueError, match=r"gives \[8, 16, 16\]: must be \[8, 1, 16, 16\]"):
        learner.train(1, lambda step: None)


def test_an_objective_that_calls_the_network_otherwise_than_it_says_is_refused():
    """A GPU would record the activations of an earlier call."""

    class Twice(Mixed):
        calls = 3

        def sample(self, net, labels, noise, rng):
            images = super().sample(net, labels, noise, rng)
            net(images, torch.zeros(len(images)), labels)
            return images

    learner = started(SPEC, Diffusion(lambda task: Unet().network(task), objective=lambda task, device: Twice()))
    learner.draw(LABELS[:24], 0)
    with pytest.raises(ValueError, match="calls = 3, and sample calls the network 4 times"):
        learner.draw(LABELS[:24], 0, 24)


def test_the_whole_network_can_be_a_tap():
    learner = started(SPEC, Diffusion(lambda task: Unet().network(task), {"layer4": ""}))
    drawn = learner.draw(LABELS[:24], 0, 24)
    assert drawn.activations["layer4"].shape == (24, 16 * 16)


def test_a_state_of_another_network_is_told_from_an_error_of_the_user_s():
    """The first costs the checkpoint, and training begins again. The second must not."""
    small = started(SPEC, Diffusion(lambda task: nn.Linear(1, 1)))
    with pytest.raises(OfAnotherModel):
        started(SPEC, at=(3, small.state()))
    with pytest.raises(ZeroDivisionError):
        started(SPEC, Diffusion(lambda task: 1 / 0), at=(3, small.state()))
