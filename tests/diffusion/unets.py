"""Training states of the paper's UNet, without the subject around them."""

from bumplab.data.feed import Feed
from bumplab.diffusion import loop
from bumplab.diffusion.denoising import Denoising
from bumplab.diffusion.unet import UNet


def start(spec, device="cpu", *, build=None, objective=None):
    """The untrained state of the run, with another network or objective if there is one."""
    return loop.start(
        build or (lambda: UNet(spec.model, spec.data.image_size)),
        objective=objective or Denoising(spec.diffusion, device),
        training=spec.training,
        data=Feed(spec.data, spec.seed).on(device),
        seed=spec.seed,
        device=device,
        compiled=build is None,
    )


def trained(spec, until=12, *, on_step=lambda step: None, **more):
    """The state of the run after this step."""
    state = start(spec, **more)
    loop.train(state, until, on_step)
    return state
