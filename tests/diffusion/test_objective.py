"""The objective of eq. 2, and the algebra of image, noise, epsilon and v."""

import pytest
import torch
from diffusers import DDPMScheduler
from hypothesis import given
from hypothesis import strategies as st

from bumplab.diffusion.objective import diffuse, loss, split, target, to_grey, to_unit

predictions = pytest.mark.parametrize("prediction", ["epsilon", "v"])
levels = st.floats(0.01, 0.99).map(lambda level: torch.tensor(level, dtype=torch.float64))


def pair(seed):
    random = torch.Generator().manual_seed(seed)
    x0 = torch.rand(4, 1, 8, 8, generator=random, dtype=torch.float64) * 2 - 1
    return x0, torch.randn(4, 1, 8, 8, generator=random, dtype=torch.float64)


def test_to_unit_maps_black_to_minus_one_and_white_to_one():
    unit = to_unit(torch.tensor([[[0.0, 127.5], [255.0, 51.0]]]))
    assert unit.shape == (1, 2, 2)
    assert unit.flatten().tolist() == pytest.approx([-1.0, 0.0, 1.0, -0.6])


def test_to_grey_undoes_to_unit():
    grey = torch.tensor([[0.0, 127.5], [255.0, 51.0]])
    assert to_grey(to_unit(grey)).flatten().tolist() == pytest.approx([0.0, 127.5, 255.0, 51.0], abs=1e-4)
    assert to_grey(torch.tensor([-1.0, 1.0])).tolist() == [0.0, 255.0]


@predictions
@given(level=levels, seed=st.integers(0, 2**32))
def test_split_undoes_diffuse(prediction, level, seed):
    """A right prediction gives back the image and the noise that made x_t."""
    x0, noise = pair(seed)
    x_t = diffuse(x0, noise, level)
    image, epsilon = split(prediction, target(prediction, x0, noise, level), x_t, level)
    assert torch.allclose(image, x0, atol=1e-9)
    assert torch.allclose(epsilon, noise, atol=1e-9)


@predictions
@given(level=levels, seed=st.integers(0, 2**32))
def test_split_clips_the_image_and_keeps_x_t_consistent(prediction, level, seed):
    x_t, output = pair(seed)
    image, epsilon = split(prediction, 10 * output, x_t, level)
    assert float(image.abs().max()) <= 1
    assert torch.allclose(diffuse(image, epsilon, level), x_t, atol=1e-9)


def test_diffuse_and_velocity_equal_those_of_diffusers():
    theirs = DDPMScheduler(1000)
    x0, noise = (values.float() for values in pair(0))
    t = torch.tensor([0, 10, 500, 999])
    alpha_bar = theirs.alphas_cumprod[t][:, None, None, None]
    assert torch.allclose(diffuse(x0, noise, alpha_bar), theirs.add_noise(x0, noise, t), atol=1e-6)
    assert torch.allclose(target("v", x0, noise, alpha_bar), theirs.get_velocity(x0, noise, t), atol=1e-6)
    assert torch.equal(target("epsilon", x0, noise, alpha_bar), noise)


def test_each_image_of_a_batch_has_its_own_noise_level():
    x0, noise = pair(1)
    alpha_bar = torch.tensor([1.0, 0.64, 0.36, 0.0], dtype=torch.float64)[:, None, None, None]
    x_t = diffuse(x0, noise, alpha_bar)
    assert torch.equal(x_t[0], x0[0])
    assert torch.allclose(x_t[1], 0.8 * x0[1] + 0.6 * noise[1])
    assert torch.equal(x_t[3], noise[3])


def test_loss_is_the_mean_squared_error_over_pixels_and_images():
    x0, noise = pair(2)
    level = torch.tensor(0.5, dtype=torch.float64)
    for prediction in ("epsilon", "v"):
        right = target(prediction, x0, noise, level)
        assert float(loss(prediction, right, x0, noise, level)) == 0, prediction
        wrong = right.clone()
        wrong[0, 0, 0, 0] += 3.0
        assert float(loss(prediction, wrong, x0, noise, level)) == pytest.approx(9 / wrong.numel()), prediction
