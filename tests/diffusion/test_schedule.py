"""Noise schedules, sampling timesteps and reverse steps against diffusers' schedulers and closed forms."""

import math
from itertools import pairwise, product

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler
from hypothesis import given
from hypothesis import strategies as st

from bumplab.config import DiffusionSpec
from bumplab.diffusion.objective import split
from bumplab.diffusion.rng import Drawing
from bumplab.diffusion.sampler import ancestral_step, ddim_step, sample, sampling_timesteps
from bumplab.diffusion.schedule import alphas_cumprod

THEIRS = {"linear": "linear", "cosine": "squaredcos_cap_v2", "epsilon": "epsilon", "v": "v_prediction"}
SCHEDULES, PREDICTIONS = ("linear", "cosine"), ("epsilon", "v")


def scheduler(kind, schedule, prediction, **more):
    return kind(
        num_train_timesteps=1000,
        beta_start=1e-4,
        beta_end=0.02,
        beta_schedule=THEIRS[schedule],
        prediction_type=THEIRS[prediction],
        clip_sample=True,
        timestep_spacing="trailing",
        **more,
    )


def noisy(seed):
    random = torch.Generator().manual_seed(seed)
    return torch.randn(3, 1, 4, 4, generator=random), torch.randn(3, 1, 4, 4, generator=random), random


def test_noise_levels_equal_those_of_diffusers():
    for schedule, timesteps in product(SCHEDULES, (1000, 50)):
        theirs = DDPMScheduler(timesteps, beta_start=1e-4, beta_end=0.02, beta_schedule=THEIRS[schedule]).alphas_cumprod
        ours = alphas_cumprod(schedule, timesteps)
        assert ours.dtype == torch.float64
        assert ours.shape == (timesteps,)
        assert torch.allclose(ours.float(), theirs, rtol=1e-3, atol=1e-7), (schedule, timesteps)


@given(timesteps=st.integers(2, 2000))
def test_noise_levels_fall_strictly_inside_0_and_1(timesteps):
    for schedule in SCHEDULES:
        levels = alphas_cumprod(schedule, timesteps)
        assert float(levels[-1]) > 0, schedule
        assert float(levels[0]) < 1, schedule
        assert bool((levels.diff() < 0).all()), schedule


def test_noise_levels_in_closed_form():
    """Linear: log alpha_bar sums log(1 - beta). Cosine: f(t)/f(0), but the last beta is capped at 0.999."""
    exact = sum(math.log1p(-(1e-4 + (0.02 - 1e-4) * s / 999)) for s in range(700))
    assert float(alphas_cumprod("linear", 1000)[699]) == pytest.approx(math.exp(exact), rel=1e-12)
    t = np.arange(1, 999)
    f = np.cos((t / 1000 + 0.008) / 1.008 * math.pi / 2) ** 2 / math.cos(0.008 / 1.008 * math.pi / 2) ** 2
    assert np.allclose(alphas_cumprod("cosine", 1000)[: len(t)].numpy(), f, rtol=1e-9)
    levels = alphas_cumprod("cosine", 1000)
    assert float(levels[-1] / levels[-2]) == pytest.approx(1 - 0.999)


def test_timesteps_are_the_trailing_ones_of_diffusers():
    theirs = scheduler(DDIMScheduler, "linear", "epsilon")
    for steps in (1, 2, 10, 20, 25, 50, 250, 1000):
        theirs.set_timesteps(steps)
        assert sampling_timesteps(1000, steps) == theirs.timesteps.tolist(), steps


@given(data=st.data(), timesteps=st.integers(2, 1500))
def test_timesteps_fall_strictly_from_the_noisiest(data, timesteps):
    steps = data.draw(st.integers(1, timesteps))
    ours = sampling_timesteps(timesteps, steps)
    assert len(ours) == steps
    assert ours[0] == timesteps - 1
    assert all(a > b >= 0 for a, b in pairwise(ours))


def test_all_timesteps_when_there_are_as_many_steps():
    assert sampling_timesteps(1000, 1000) == list(range(999, -1, -1))


@pytest.mark.parametrize("steps", [1000, 25, 10])
def test_ancestral_step_equals_diffusers_ddpm(steps):
    """Mean and variance of the posterior between timesteps that are ``1000 / steps`` apart."""
    stride = 1000 // steps
    starts = (999, 700, 100, 1) if stride == 1 else (999, 999 - 3 * stride, 2 * stride - 1)
    for schedule, prediction, t in product(SCHEDULES, PREDICTIONS, starts):
        x_t, output, _ = noisy(t)
        theirs = scheduler(DDPMScheduler, schedule, prediction)
        theirs.set_timesteps(steps)
        expected = theirs.step(output, t, x_t, generator=torch.Generator().manual_seed(7)).prev_sample
        fresh = torch.randn(x_t.shape, generator=torch.Generator().manual_seed(7))
        levels = alphas_cumprod(schedule, 1000).float()
        x0, _ = split(prediction, output, x_t, levels[t])
        ours = ancestral_step(x0, x_t, levels[t], levels[t - stride], fresh)
        assert torch.allclose(ours, expected, rtol=2e-3, atol=1e-4), (schedule, prediction, t)


@pytest.mark.parametrize("steps", [1000, 250, 20, 1])
def test_ancestral_sampling_equals_diffusers_ddpm_from_noise_to_image(steps):
    """Both get the same noise. The denoiser leaves an image in the noise. 1,000 steps are slow: two cases only."""
    pairs = zip(SCHEDULES, PREDICTIONS, strict=True) if steps == 1000 else product(SCHEDULES, PREDICTIONS)
    for schedule, prediction in pairs:
        theirs = scheduler(DDPMScheduler, schedule, prediction)
        theirs.set_timesteps(steps)
        spec = DiffusionSpec(1000, schedule, prediction, "ancestral", steps)
        x, _, random = noisy(steps)
        ours = sample(lambda x, t: 0.8 * x, x, spec, Drawing(random))
        x, _, random = noisy(steps)
        for t in theirs.timesteps:
            x = theirs.step(0.8 * x, t, x, generator=random).prev_sample
        assert torch.allclose(ours, x, atol=1e-3), (schedule, prediction)
        assert float(ours.std()) > 0.05, (schedule, prediction)


def test_ddim_step_equals_diffusers_ddim():
    """With ``use_clipped_model_output``: the noise is computed from the clipped image, as ours is."""
    for schedule, prediction, t in product(SCHEDULES, PREDICTIONS, (999, 679, 79)):
        x_t, output, _ = noisy(t)
        theirs = scheduler(DDIMScheduler, schedule, prediction)
        theirs.set_timesteps(25)
        expected = theirs.step(output, t, x_t, eta=0.0, use_clipped_model_output=True).prev_sample
        levels = alphas_cumprod(schedule, 1000).float()
        ours = ddim_step(*split(prediction, output, x_t, levels[t]), levels[t - 40])
        assert torch.allclose(ours, expected, rtol=1e-3, atol=1e-4), (schedule, prediction, t)


levels_pair = st.tuples(st.floats(0.001, 0.998), st.floats(1e-4, 0.9)).map(lambda p: (p[0], p[0] + p[1] * (1 - p[0])))


@given(pair=levels_pair, x0=st.floats(-1, 1), epsilon=st.floats(-3, 3))
def test_ddim_step_moves_along_the_same_image_and_noise(pair, x0, epsilon):
    """Closed form: ``a x0 + s epsilon`` with the next level's a and s."""
    level_next = torch.tensor(pair[1], dtype=torch.float64)
    moved = ddim_step(torch.tensor(x0).double(), torch.tensor(epsilon).double(), level_next)
    assert float(moved) == pytest.approx(math.sqrt(pair[1]) * x0 + math.sqrt(1 - pair[1]) * epsilon, abs=1e-6)


@given(pair=levels_pair, x0=st.floats(-1, 1))
def test_posterior_reproduces_the_marginal_of_the_next_level(pair, x0):
    """If ``x_t ~ N(a x0, 1 - a^2)``, then x_{t-1} has mean ``a' x0`` and variance ``1 - a'^2`` (Ho et al., eq. 4)."""
    level, level_next = (torch.tensor(p, dtype=torch.float64) for p in pair)
    zero, one, x = torch.zeros(()).double(), torch.ones(()).double(), torch.tensor(x0).double()
    mean = ancestral_step(x, level.sqrt() * x, level, level_next, zero)
    from_x_t = ancestral_step(zero, one, level, level_next, zero)
    spread = ancestral_step(zero, zero, level, level_next, one)
    assert float(mean) == pytest.approx(float(level_next.sqrt() * x), abs=1e-9)
    assert float(from_x_t**2 * (1 - level) + spread**2) == pytest.approx(float(1 - level_next), rel=1e-9)
