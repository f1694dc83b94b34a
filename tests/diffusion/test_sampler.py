"""The sampling loop, with a denoiser that knows the image."""

from itertools import pairwise, product

import pytest
import torch

from bumplab.config import DiffusionSpec
from bumplab.diffusion.objective import target
from bumplab.diffusion.rng import Drawing
from bumplab.diffusion.sampler import sample, sampling_timesteps
from bumplab.diffusion.schedule import alphas_cumprod

SHAPE = (3, 2, 8, 8)
X0 = torch.rand(SHAPE, generator=torch.Generator().manual_seed(5)) * 1.9 - 0.95
NOISE = torch.randn(SHAPE, generator=torch.Generator().manual_seed(6))


def drawing(seed):
    return Drawing(torch.Generator().manual_seed(seed))


class Oracle:
    """Gives the exact prediction for the image ``X0``, and keeps the arguments of its calls."""

    def __init__(self, spec):
        self.spec, self.calls, self.noises = spec, [], []
        self.levels = alphas_cumprod(spec.schedule, spec.timesteps)

    def __call__(self, x, t):
        assert x.shape == SHAPE
        assert t.shape == (SHAPE[0],)
        assert len(t.unique()) == 1
        self.calls.append(int(t[0]))
        level = self.levels[t[0]]
        noise = (x.double() - level.sqrt() * X0) / (1 - level).sqrt()
        self.noises.append(noise)
        return target(self.spec.prediction, X0.double(), noise, level).float()


SPECS = [
    DiffusionSpec(1000, schedule, prediction, sampler, steps)
    for schedule, prediction in product(("linear", "cosine"), ("epsilon", "v"))
    for sampler, steps in (("ddim", 25), ("ancestral", 1000), ("ancestral", 25))
]


@pytest.fixture(scope="module")
def sampled():
    """Each spec with its oracle, and the images that were sampled with it."""
    oracles = [Oracle(spec) for spec in SPECS]
    return [(oracle.spec, oracle, sample(oracle, NOISE.clone(), oracle.spec, drawing(0))) for oracle in oracles]


def test_an_exact_denoiser_recovers_the_image(sampled):
    for spec, _, images in sampled:
        assert images.shape == SHAPE, spec
        assert images.dtype == torch.float32, spec
        assert torch.allclose(images, X0, atol=1e-3), spec


def test_timesteps_fall_from_the_noisiest(sampled):
    for spec, oracle, _ in sampled:
        timesteps = oracle.calls
        assert timesteps == sampling_timesteps(spec.timesteps, spec.sampler_steps), spec
        assert all(a > b for a, b in pairwise(timesteps)), spec
        if spec.sampler_steps == 1000:
            assert set(timesteps) == set(range(1000)), spec


def test_each_step_lands_on_the_noise_level_of_the_next(sampled):
    """With the exact image known, DDIM keeps the first noise. The ancestral sampler keeps the noise's unit variance."""
    for spec, oracle, _ in sampled:
        noises = torch.stack(oracle.noises)
        if spec.sampler == "ddim":
            assert torch.allclose(noises, noises[0].expand_as(noises), atol=1e-3), spec
        else:
            assert float(noises.var()) == pytest.approx(1, abs=0.1), spec
            assert not torch.allclose(noises[0], noises[-1], atol=0.5), spec


def test_only_the_ancestral_sampler_draws_noise():
    """With a denoiser of zeros, DDIM's images depend on the first noise alone."""
    for sampler in ("ddim", "ancestral"):
        spec = DiffusionSpec(500, "linear", "epsilon", sampler, 20)
        first, again, other = (
            sample(lambda x, t: torch.zeros_like(x), NOISE * 0.1, spec, drawing(seed)) for seed in (1, 1, 2)
        )
        assert torch.equal(first, again), sampler
        assert torch.equal(first, other) == (sampler == "ddim"), sampler


def test_samples_stay_within_the_range_of_images():
    for spec in SPECS:
        images = sample(lambda x, t: 50 * torch.sin(9 * x), NOISE.clone(), spec, drawing(0))
        assert float(images.abs().max()) <= 1, spec


def test_an_infinite_prediction_gives_nan():
    """Clipped to the range of images it would be white or black, and look like an image."""
    for prediction, (sampler, steps), only_last in product(
        ("v", "epsilon"), (("ddim", 4), ("ancestral", 1000)), (False, True)
    ):
        spec = DiffusionSpec(prediction=prediction, sampler=sampler, sampler_steps=steps)

        final = sampling_timesteps(spec.timesteps, steps)[-1]

        def denoise(x, t, only_last=only_last, final=final):
            return torch.zeros_like(x) if only_last and int(t[0]) != final else torch.full_like(x, torch.inf)

        images = sample(denoise, NOISE.clone(), spec, drawing(0))
        assert bool(images.isnan().all()), (prediction, sampler, only_last)


def test_a_prediction_of_nan_gives_nan():
    spec = DiffusionSpec(1000, "cosine", "v", "ddim", 4)
    images = sample(lambda x, t: x * torch.nan, NOISE.clone(), spec, drawing(0))
    assert bool(images.isnan().all())


def test_sampling_does_not_change_the_first_noise():
    spec = DiffusionSpec(1000, "cosine", "v", "ddim", 4)
    noise = NOISE.clone()
    sample(Oracle(spec), noise, spec, drawing(0))
    assert torch.equal(noise, NOISE)
