"""The shuffled control: the seed permutes the images among the labels, and training keeps these pairs to its end."""

from dataclasses import replace

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


def test_the_permutation_depends_on_the_seed_alone():
    first, again, other = (dataset(replace(SHUFFLED, seed=seed))[1] for seed in (0, 0, 1))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    torch.manual_seed(9)
    assert torch.equal(dataset(SHUFFLED)[1], first)
    longer = replace(SHUFFLED, training=replace(SHUFFLED.training, steps=99), measure=SMOKE.untrained(TRUE).measure)
    assert torch.equal(dataset(longer)[1], first), "it depends on the seed alone"
    labels, drawn_at = dataset(TRUE)
    assert torch.equal(labels, drawn_at), "without shuffling each image shows its label"


def trained_pairs(state, spec, until, monkeypatch):
    """For each image shown up to ``until``: the label that the network got, and the one that the image was drawn at."""
    labels_shown, drawn_at = [], []
    clean, forward = loop.clean, state.network.forward

    def watched_clean(spec, labels):
        drawn_at.extend(rows(labels))
        image = clean(spec, labels)
        assert torch.equal(image, to_unit(render(labels, 16, 1.0))[:, None])
        return image

    def watched_forward(x, t, labels):
        labels_shown.extend(rows(labels))
        return forward(x, t, labels)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "clean", watched_clean)
        patch.setattr(state.network, "forward", watched_forward)
        train(state, spec, until)
    return list(zip(labels_shown, drawn_at, strict=True))


def test_a_run_trains_on_its_pairs_throughout_and_after_resuming(monkeypatch):
    """The two runs get the same labels in the same order, so that they differ in the images alone."""
    labels_of = {}
    for name, spec in (("true", TRUE), ("shuffled", SHUFFLED)):
        known = dict(zip(*map(rows, dataset(spec)), strict=True))
        state = start(spec, "cpu")
        pairs = trained_pairs(state, spec, 3, monkeypatch)
        resumed = from_tensors(spec, load(save(to_tensors(state))), 3, "cpu")
        pairs += trained_pairs(resumed, spec, 6, monkeypatch)
        assert len(pairs) == 6 * spec.training.batch_size, name
        assert all(known[label] == drawn_at for label, drawn_at in pairs), name
        assert any(label != drawn_at for label, drawn_at in pairs) == (spec is SHUFFLED), name
        assert trained_pairs(start(spec, "cpu"), spec, 6, monkeypatch) == pairs, name
        labels_of[name] = [label for label, _ in pairs]
    assert labels_of["true"] == labels_of["shuffled"]
