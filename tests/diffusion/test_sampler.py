"""The sampling loop, with a denoiser that knows the answer."""

from itertools import pairwise

import pytest
import torch

from bumplab.config import DiffusionSpec
from bumplab.diffusion.objective import target
from bumplab.diffusion.sampler import sample, sampling_timesteps
from bumplab.diffusion.schedule import alphas_cumprod

SHAPE = (3, 2, 8, 8)
X0 = torch.rand(SHAPE, generator=torch.Generator().manual_seed(5)) * 1.9 - 0.95
NOISE = torch.randn(SHAPE, generator=torch.Generator().manual_seed(6))


class Oracle:
    """Answers with the exact prediction for the image ``X0`` and remembers how it was called."""

    def __init__(self, spec):
        self.spec, self.calls, self.noises = spec, [], []
        self.levels = alphas_cumprod(spec.schedule, spec.timesteps)

    def __call__(self, x, t, last):
        assert x.shape == SHAPE
        assert t.shape == (SHAPE[0],)
        assert len(t.unique()) == 1
        self.calls.append((int(t[0]), last))
        level = self.levels[t[0]]
        noise = (x.double() - level.sqrt() * X0) / (1 - level).sqrt()
        self.noises.append(noise)
        return target(self.spec.prediction, X0.double(), noise, level).float()


def specs():
    for schedule in ("linear", "cosine"):
        for prediction in ("epsilon", "v"):
            yield DiffusionSpec(1000, schedule, prediction, "ddim", 25)
            yield DiffusionSpec(1000, schedule, prediction, "ancestral", 1000)
            yield DiffusionSpec(1000, schedule, prediction, "ancestral", 25)


every_spec = pytest.mark.parametrize(
    "spec", list(specs()), ids=lambda s: f"{s.schedule}-{s.prediction}-{s.sampler}-{s.sampler_steps}"
)


@every_spec
def test_an_exact_denoiser_recovers_the_image(spec):
    images = sample(Oracle(spec), NOISE.clone(), spec, torch.Generator().manual_seed(0))
    assert images.shape == SHAPE
    assert images.dtype == torch.float32
    assert torch.allclose(images, X0, atol=1e-3)


@every_spec
def test_timesteps_fall_and_only_the_last_is_flagged(spec):
    oracle = Oracle(spec)
    sample(oracle, NOISE.clone(), spec, torch.Generator().manual_seed(0))
    timesteps, flags = zip(*oracle.calls, strict=True)
    assert list(timesteps) == sampling_timesteps(spec.timesteps, spec.sampler_steps)
    assert all(a > b for a, b in pairwise(timesteps))
    assert flags == (*[False] * (len(flags) - 1), True)
    if spec.sampler_steps == 1000:
        assert set(timesteps) == set(range(1000))


@every_spec
def test_each_step_lands_on_the_noise_level_of_the_next(spec):
    """With the exact image known, DDIM keeps the first noise throughout; the ancestral one keeps unit variance."""
    oracle = Oracle(spec)
    sample(oracle, NOISE.clone(), spec, torch.Generator().manual_seed(0))
    noises = torch.stack(oracle.noises)
    if spec.sampler == "ddim":
        assert torch.allclose(noises, noises[0].expand_as(noises), atol=1e-3)
    else:
        assert float(noises.var()) == pytest.approx(1, abs=0.1)
        assert not torch.allclose(noises[0], noises[-1], atol=0.5)


@pytest.mark.parametrize("sampler", ["ddim", "ancestral"])
def test_only_the_ancestral_sampler_draws_noise(sampler):
    """A denoiser that answers zero leaves DDIM's result to the first noise, the ancestral one's to fresh noise too."""
    spec = DiffusionSpec(500, "linear", "epsilon", sampler, 20)

    def images(seed):
        return sample(lambda x, t, last: torch.zeros_like(x), NOISE * 0.1, spec, torch.Generator().manual_seed(seed))

    assert torch.equal(images(1), images(1))
    assert torch.equal(images(1), images(2)) == (sampler == "ddim")


@every_spec
def test_samples_never_leave_the_range_of_images(spec):
    images = sample(lambda x, t, last: 50 * torch.sin(9 * x), NOISE.clone(), spec, torch.Generator().manual_seed(0))
    assert float(images.abs().max()) <= 1


@pytest.mark.parametrize("prediction", ["v", "epsilon"])
@pytest.mark.parametrize("sampler", ["ddim", "ancestral"])
@pytest.mark.parametrize("always", [True, False])
def test_an_infinite_prediction_gives_nan_rather_than_an_image(prediction, sampler, always):
    """Clipped to the range of images it would be white or black, and pass for one."""
    spec = DiffusionSpec(prediction=prediction, sampler=sampler, sampler_steps=4 if sampler == "ddim" else 1000)

    def denoise(x, t, last):
        return torch.full_like(x, torch.inf) if last or always else torch.zeros_like(x)

    assert bool(sample(denoise, NOISE.clone(), spec, torch.Generator()).isnan().all())


def test_a_denoiser_of_nan_gives_nan_rather_than_an_image():
    spec = DiffusionSpec(1000, "cosine", "v", "ddim", 4)
    images = sample(lambda x, t, last: x * torch.nan, NOISE.clone(), spec, torch.Generator())
    assert bool(images.isnan().all())


def test_the_first_noise_is_left_as_it_was():
    spec = DiffusionSpec(1000, "cosine", "v", "ddim", 4)
    noise = NOISE.clone()
    sample(Oracle(spec), noise, spec, torch.Generator())
    assert torch.equal(noise, NOISE)
