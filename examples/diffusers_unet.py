"""A network and a scheduler of the library diffusers: an objective made of others' parts (level 2 of the guide).

    pytest claims --subject examples/diffusers_unet.py:subject

The label goes where diffusers expects the embedding of a class, as waves of each coordinate. At quick a step takes 40
ms. Half of the bumps are right after 250 to 350 steps. Before that up to 0.9 of the images show a bump elsewhere.
"""

import torch
from diffusers import DDIMScheduler, UNet2DModel
from torch import Tensor, nn

from bumplab.diffusion.loop import Net
from bumplab.diffusion.rng import Rng
from bumplab.subjects.diffusion import Diffusion

WAVES = 8
"""Waves for each coordinate, of lengths from 64 pixels to 64 / 2^3.5 = 5.7 pixels."""


class Network(nn.Module):
    """Predicts ``[B, 1, N, N]`` from noisy images ``[B, 1, N, N]``, timesteps ``[B]`` and labels ``[B, 2]``."""

    def __init__(self, image_size: int):
        super().__init__()
        self.label = nn.Linear(4 * WAVES, 64)  # diffusers' embeddings have four times the channels of the first block
        self.unet = UNet2DModel(
            sample_size=image_size,
            in_channels=1,
            out_channels=1,
            block_out_channels=(16, 32, 32),
            down_block_types=("DownBlock2D", "DownBlock2D", "AttnDownBlock2D"),
            up_block_types=("AttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
            layers_per_block=1,
            norm_num_groups=8,
            resnet_time_scale_shift="scale_shift",  # with diffusers' default, no label was learned in 600 steps
            class_embed_type="identity",
        )

    def forward(self, x: Tensor, t: Tensor, labels: Tensor) -> Tensor:
        frequencies = 2 * torch.pi / 64 * 2 ** (torch.arange(WAVES, device=x.device) / 2)
        angles = (labels[:, :, None] * frequencies).flatten(1)
        embedding = self.label(torch.cat([angles.sin(), angles.cos()], dim=1))
        return self.unet(x, t, class_labels=embedding).sample


class Scheduled:
    """Training and sampling with diffusers' DDIM scheduler: v-prediction on a cosine schedule."""

    calls = 5
    """Sampling steps."""

    def loss(self, net: Net, images: Tensor, labels: Tensor, rng: Rng) -> Tensor:
        noise, t = rng.normal(*images.shape), rng.integers(1000, len(images))
        noisy = SCHEDULER.add_noise(images, noise, t)
        return (net(noisy, t, labels) - SCHEDULER.get_velocity(images, noise, t)).square().mean()

    def noised(self, images: Tensor, rng: Rng) -> tuple[Tensor, Tensor]:
        t = torch.full((len(images),), 200, device=images.device)
        return SCHEDULER.add_noise(images, rng.normal(*images.shape), t), t

    def sample(self, net: Net, labels: Tensor, noise: Tensor, rng: Rng) -> Tensor:
        scheduler = DDIMScheduler.from_config(SCHEDULER.config)  # it counts steps, so each draw has its own
        scheduler.set_timesteps(self.calls, device=noise.device)
        x = noise
        for t in scheduler.timesteps:
            x = scheduler.step(net(x, t.expand(len(x)), labels), t, x).prev_sample
        return x


SCHEDULER = DDIMScheduler(
    num_train_timesteps=1000,
    beta_schedule="squaredcos_cap_v2",
    prediction_type="v_prediction",
    timestep_spacing="trailing",
)

subject = Diffusion(
    lambda task: Network(task.image_size),
    taps={
        "layer4": "unet.up_blocks.0.resnets.0.conv1",
        "layer4-injected": "unet.up_blocks.0.resnets.0",
        "encoder": ("unet.down_blocks.2", lambda output: output[0]),
        "bottleneck": "unet.mid_block",
    },
    objective=lambda task, device: Scheduled(),
    libraries=("diffusers",),
    sees=True,
    about="diffusers' UNet2DModel, 5 steps of its DDIM scheduler",
)
