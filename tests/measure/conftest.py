"""A network that draws the asked bumps."""

import pytest
import torch

from bumplab.data.bumps import render, render_factors
from bumplab.diffusion.objective import to_unit
from bumplab.diffusion.schedule import alphas_cumprod
from bumplab.diffusion.unet import TAPS


class Perfect(torch.nn.Module):
    """Predicts the exact v of the bumps at ``at(labels)``. Its activations at each tap are (x, y, x - y)."""

    def __init__(self, spec, at=lambda labels: labels):
        super().__init__()
        self.spec, self.at = spec, at

    def forward(self, x, t, labels, record=None):
        data, diffusion = self.spec.data, self.spec.diffusion
        level = alphas_cumprod(diffusion.schedule, diffusion.timesteps)[t[0]].float()
        if self.spec.model.kind == "joint":
            images = render(self.at(labels), data.image_size, data.sigma)[:, None]
        else:
            images = render_factors(self.at(labels), data.image_size, data.sigma)
        assert x.shape == images.shape
        if record is not None:
            for tap in TAPS:
                record(tap, (labels @ torch.tensor([[1.0, 0.0, 1.0], [0.0, 1.0, -1.0]]))[:, :, None, None])
        return (level.sqrt() * x - to_unit(images)) / (1 - level).sqrt()


@pytest.fixture
def perfect_network():
    return Perfect
