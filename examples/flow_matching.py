"""Flow matching (Lipman et al. 2023) with the paper's UNet: another objective (level 2 of the guide).

    pytest claims --subject examples/flow_matching.py:subject

A straight path leads from noise at time 0 to an image at time 1. The network predicts the velocity along it, and Euler
steps follow that velocity. At quick a step takes 30 ms. Half of the bumps are right after 300 to 350 steps. Before that
up to 0.85 of the images show one bump at a wrong place.
"""

from torch import Tensor

from bumplab.diffusion.loop import Net
from bumplab.diffusion.rng import Rng
from bumplab.diffusion.unet import ROLES, UNet
from bumplab.subjects.diffusion import Diffusion

TIMES = 1000
"""The network encodes times by waves that are made for 0 to 1000."""


class FlowMatching:
    """Learns the velocity of ``x_t = (1 - t) noise + t image``, which is ``image - noise``."""

    calls = 5
    """Euler steps of a draw."""

    def loss(self, net: Net, images: Tensor, labels: Tensor, rng: Rng) -> Tensor:
        noise, t = rng.normal(*images.shape), rng.uniform(len(images))
        x = noise + t[:, None, None, None] * (images - noise)
        return (net(x, TIMES * t, labels) - (images - noise)).square().mean()

    def noised(self, images: Tensor, rng: Rng) -> tuple[Tensor, Tensor]:
        """Images with a third as much noise, as those of the paper's UNet at a fifth of its timesteps."""
        t = images.new_full((len(images),), 0.75)
        return 0.25 * rng.normal(*images.shape) + 0.75 * images, TIMES * t

    def sample(self, net: Net, labels: Tensor, noise: Tensor, rng: Rng) -> Tensor:
        x = noise
        for step in range(self.calls):
            t = x.new_full((len(x),), step / self.calls)
            x = x + net(x, TIMES * t, labels) / self.calls
        return x


subject = Diffusion(
    lambda task: UNet(task.model, task.image_size),
    taps=ROLES,
    objective=lambda task, device: FlowMatching(),
    reads=("model", "training"),
    about="flow matching on the paper's UNet, 5 Euler steps",
    compiled=True,
    sees=True,
)
