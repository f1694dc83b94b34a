"""The shuffled control: each image goes under a label of the run's own permutation, from first to last step."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load, save

from bumplab import profiles
from bumplab.data.bumps import render, training_labels
from bumplab.diffusion.objective import to_unit
from bumplab.training import loop
from bumplab.training.checkpoint import from_tensors, to_tensors
from bumplab.training.loop import dataset, start, train

SMOKE = profiles.get("smoke")
TRUE = SMOKE.run(0, dx=1.0)
SHUFFLED = SMOKE.shuffled(TRUE)
pairings = pytest.mark.parametrize("spec", [TRUE, SHUFFLED], ids=["true", "shuffled"])


def rows(labels):
    return [tuple(label) for label in labels.tolist()]


@settings(max_examples=20)
@given(
    seed=st.integers(0, 2**32 - 1), d=st.sampled_from([0.5, 1.0, 4.0]), dy=st.sampled_from([0.5, 2.0]),
    hole=st.sampled_from([0.0, 3.0]),
)  # fmt: skip
def test_shuffling_permutes_the_images_and_leaves_the_labels(seed, d, dy, hole):
    spec = SMOKE.shuffled(SMOKE.run(seed, dx=d, dy=dy, hole=hole))
    labels, drawn_at = dataset(spec)
    assert torch.equal(labels, training_labels(spec.data))
    assert len(drawn_at) == len(labels) == len(labels.unique(dim=0))
    assert torch.equal(drawn_at.unique(dim=0), labels.unique(dim=0))
    moved = (drawn_at != labels).any(dim=1).float().mean()
    assert float(moved) > 0.8, "most images are another label's"


def test_the_permutation_is_the_seeds_own():
    first, again, other = (dataset(replace(SHUFFLED, seed=seed))[1] for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    torch.manual_seed(9)
    assert torch.equal(dataset(SHUFFLED)[1], first)
    longer = replace(SHUFFLED, training=replace(SHUFFLED.training, steps=99), measure=SMOKE.untrained(TRUE).measure)
    assert torch.equal(dataset(longer)[1], first), "it depends on the seed alone"


def test_without_shuffling_each_image_is_its_labels_own():
    labels, drawn_at = dataset(TRUE)
    assert torch.equal(labels, drawn_at)


def trained_pairs(state, spec, until, monkeypatch):
    """What the network was shown up to ``until``: (label it was told, label its image was drawn at), per image."""
    told, drawn = [], []
    clean, forward = loop.clean, state.network.forward

    def watched_clean(spec, labels):
        drawn.extend(rows(labels))
        image = clean(spec, labels)
        assert torch.equal(image, to_unit(render(labels, 16, 1.0))[:, None])
        return image

    def watched_forward(x, t, labels):
        told.extend(rows(labels))
        return forward(x, t, labels)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "clean", watched_clean)
        patch.setattr(state.network, "forward", watched_forward)
        train(state, spec, until)
    return list(zip(told, drawn, strict=True))


@pairings
def test_a_run_trains_on_its_pairs_throughout_and_after_resuming(spec, monkeypatch):
    known = dict(zip(*map(rows, dataset(spec)), strict=True))
    state = start(spec, "cpu")
    pairs = trained_pairs(state, spec, 6, monkeypatch)
    resumed = from_tensors(spec, load(save(to_tensors(state))), 6, "cpu")
    after = trained_pairs(resumed, spec, 12, monkeypatch)
    assert len(pairs) == len(after) == 6 * spec.training.batch_size
    assert all(known[told] == drawn for told, drawn in pairs + after)
    assert any(told != drawn for told, drawn in pairs) == (spec is SHUFFLED)
    through = trained_pairs(start(spec, "cpu"), spec, 12, monkeypatch)
    assert through == pairs + after


def test_shuffling_changes_nothing_but_the_images(monkeypatch):
    """The same labels are told in the same order, so that the two runs differ in one thing."""
    told = [[label for label, _ in trained_pairs(start(s, "cpu"), s, 3, monkeypatch)] for s in (TRUE, SHUFFLED)]
    assert told[0] == told[1]
