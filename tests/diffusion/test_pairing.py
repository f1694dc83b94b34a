"""The shuffled control: training keeps the pairs of labels and images to its end. What they are is in test_feed.py."""

import numpy as np
import torch

from bumplab import profiles
from bumplab.data.feed import Feed
from bumplab.diffusion.checkpoint import restore, to_arrays
from bumplab.diffusion.denoising import Denoising
from bumplab.diffusion.loop import train
from bumplab.diffusion.objective import to_unit
from bumplab.subjects.state import from_bytes, to_bytes
from tests.diffusion.unets import start, trained

SMOKE = profiles.get("smoke")
TRUE = SMOKE.run(0, dx=1.0)
SHUFFLED = SMOKE.shuffled(TRUE)


def pairs_of(labels, images):
    return [(tuple(label), image.numpy().tobytes()) for label, image in zip(labels.tolist(), images, strict=True)]


class Watched(Denoising):
    """Keeps each label that the network gets, with the image that is to be drawn for it."""

    def __init__(self, spec):
        super().__init__(spec.diffusion, "cpu")
        self.pairs = []

    def loss(self, net, images, labels, rng):
        def watched(x, t, given):
            self.pairs += pairs_of(given, images)
            return net(x, t, given)

        return super().loss(watched, images, labels, rng)


def images_of(spec):
    """The image of each training label, by the label."""
    feed = Feed(spec.data, spec.seed)
    images = to_unit(torch.from_numpy(feed.images(np.arange(len(feed.labels))))[:, None])
    return dict(pairs_of(feed.labels, images))


def test_a_run_trains_on_its_pairs_throughout_and_after_resuming():
    """The two runs get the same labels in the same order, so that they differ in the images alone."""
    labels_of, true_images = {}, images_of(TRUE)
    for name, spec in (("true", TRUE), ("shuffled", SHUFFLED)):
        known, first, then, whole = images_of(spec), Watched(spec), Watched(spec), Watched(spec)
        state = trained(spec, 3, objective=first)
        resumed = start(spec, objective=then)
        restore(resumed, from_bytes(to_bytes(to_arrays(state.weights.tensors()))), 3)
        train(resumed, 6)
        pairs = first.pairs + then.pairs
        assert len(pairs) == 6 * spec.training.batch_size, name
        assert all(known[label] == image for label, image in pairs), name
        assert any(true_images[label] != image for label, image in pairs) == (spec is SHUFFLED), name
        trained(spec, 6, objective=whole)
        assert whole.pairs == pairs, name
        labels_of[name] = [label for label, _ in pairs]
    assert labels_of["true"] == labels_of["shuffled"]
