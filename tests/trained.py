"""What the tests of students and tuned models share: a small model that depends on all it is given, and a batch."""

from dataclasses import replace
from functools import partial

import pytorch_lightning as pl
import torch
from diffusers import DDIMScheduler, DDPMScheduler

from diffgar.models.backbones.unet import UNet
from diffgar.models.diffusion.objective import Objective
from diffgar.models.ldm import warmup_cosine

PUBLISHED = {"beta_schedule": "scaled_linear", "beta_start": 0.0015, "beta_end": 0.0195, "clip_sample": False}
SOLVER = partial(DDIMScheduler.from_config, timestep_spacing="trailing", set_alpha_to_one=True)
GUIDANCES = [{}, {"interval": (0.3, 0.9), "rescale": 0.5, "parallel": 0.5}]


def scrambled_unet():
    """A backbone that depends on everything it is given, as a fresh one hardly does."""
    torch.manual_seed(0)
    backbone = UNet(6, 5, [16, 16], [2, 2], [1, 1], [0, 1], num_heads=2, head_dim=8, features=16)
    with torch.no_grad():
        for parameter in backbone.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return backbone


def make(kind, datamodule, prediction_type="sample", schedule=PUBLISHED, objective=None, **options):
    return kind(
        backbone=scrambled_unet(),
        noise_scheduler=DDPMScheduler(prediction_type=prediction_type, **schedule),
        objective=objective or Objective(prediction_type),
        optimizer=partial(torch.optim.AdamW, lr=3e-3),
        lr_scheduler=partial(warmup_cosine, warmup_steps=2, max_steps=20, min_lr=0),
        **datamodule.constants(),
        **options,
    )


def a_batch_and_draws(datamodule, model):
    datamodule.trainer = model.trainer = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    batch = datamodule.batches("train")[0]
    return model.normalised(batch), replace(model.draws(batch), timesteps=torch.tensor([3, 250, 600, 999]))


def losses_of(model, batch, draws):
    """A normalised batch's losses, as a training step forms them."""
    return model.objective.loss(model.backbone, model.noise_scheduler, batch, draws, parts=model)
