"""Whether a GPU computes what the CPU does, and trains and resumes as it should. Prints JSON; fails if one check does.

    python -m benchmarks.gpu_check                   # about 20 seconds on a GPU
    python -m benchmarks.gpu_check --device cpu      # the CPU against itself, which shows that the checks run

The networks are small and the weights random. Differences are ‖GPU − CPU‖ / ‖CPU‖, in float32 without TF32; beyond
`--tolerance` they fail. The trainings are Lightning's, with latents held on the GPU: 30 steps in mixed precision, after
which the loss must have fallen, and 20 steps in float32 against 10 and another 10 from their checkpoint.
"""

import argparse
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from diffusers import DDIMScheduler, DDPMScheduler
from torch import Tensor, nn

from benchmarks.machine import parser_of, publish, seconds
from benchmarks.toy_stores import make_stores
from diffgar.batch import Batch
from diffgar.dataloading.datamodule import LatentDataModule
from diffgar.evaluation.metrics.ranks import ranks
from diffgar.jobs.quiet import quiet_lightning
from diffgar.models.backbones.dit import DiT
from diffgar.models.backbones.mlp import MLP
from diffgar.models.backbones.unet import UNet
from diffgar.models.diffusion.loss_parts import Draws
from diffgar.models.diffusion.objective import Objective
from diffgar.models.diffusion.sampling import Sampler
from diffgar.models.ldm import LatentDiffusion, warmup_cosine
from diffgar.text_states import TextStates

DIM, TEXT_DIM, NUM_FRAMES, BATCH = 64, 48, 16, 32
CPU = torch.device("cpu")
HELD, RESUMED = "latents held on", "resumed against not stopped"
FELL = "loss, first and last 5 of 30 steps in bf16-mixed"
BACKBONES = {
    "unet": partial(
        UNet, channels=(64, 64), factors=(2, 2), num_blocks=(1, 1), attentions=(0, 1), num_heads=2, dropout=0.2
    ),
    "dit": partial(DiT, width=64, depth=2, num_heads=2),
    "mlp": partial(MLP, width=64, depth=2),
}
SOLVER = partial(DDIMScheduler.from_config, timestep_spacing="trailing", set_alpha_to_one=True)


def make_model(name: str, constants: dict[str, Any]) -> LatentDiffusion:
    """A small model with a backbone of that name, the same at every call."""
    torch.manual_seed(0)
    backbone = BACKBONES[name](DIM, TEXT_DIM)
    with torch.no_grad():
        for weights in backbone.parameters():  # some start at zero, and would hide what is behind them
            weights.add_(0.02 * torch.randn_like(weights))
    return LatentDiffusion(
        backbone,
        DDPMScheduler(beta_schedule="scaled_linear", prediction_type="sample", clip_sample=False),
        Objective(contrastive_weight=0.3, contrastive_loss="info_nce"),
        **constants,
        optimizer=partial(torch.optim.AdamW, lr=1e-3, fused=True),
        lr_scheduler=partial(warmup_cosine, warmup_steps=5, max_steps=30, min_lr=1e-4),
    )


def difference(found: Tensor, expected: Tensor) -> float:
    """‖found − expected‖ / ‖expected‖; NaN where there is one."""
    return float((found.cpu() - expected).norm() / expected.norm())


def computed(name: str, device: torch.device) -> dict[str, Tensor]:
    """What a model computes of the same inputs on a device: loss (B,), gradient (all weights) and queries (B, D)."""
    numbers = torch.Generator().manual_seed(1)
    latents, noise = torch.randn(2, BATCH, NUM_FRAMES, DIM, generator=numbers)
    states, lengths = torch.randn(BATCH, 12, TEXT_DIM, generator=numbers), torch.arange(BATCH) % 12 + 1
    text = TextStates(states, torch.arange(12) < lengths.unsqueeze(1))
    mask = torch.arange(NUM_FRAMES) < (torch.arange(BATCH) % NUM_FRAMES + 1).unsqueeze(1)  # (B, T)
    batch = Batch(latents * mask.unsqueeze(-1), mask, text, torch.arange(BATCH), step=0).to(device)
    timesteps = torch.randint(1000, (BATCH,), generator=numbers)
    draws = Draws(noise.to(device), timesteps.to(device), (timesteps % 7 == 0).to(device))
    constants = {"latent_mean": torch.zeros(DIM), "latent_std": torch.ones(DIM), "null_text": torch.ones(1, TEXT_DIM)}
    model = make_model(name, constants | {"num_frames": NUM_FRAMES}).to(device).eval()
    loss = model.objective.loss(model.backbone, model.noise_scheduler, batch, draws, parts=model).total
    loss.mean().backward()
    gradient = torch.cat([weights.grad.flatten() for weights in model.parameters()])
    generators = [torch.Generator().manual_seed(number) for number in range(BATCH)]
    queries = model.generate(Sampler(SOLVER, num_steps=10, guidance_scale=3), batch.text, generators).mean(dim=1)
    return {"loss": loss.detach(), "gradient": gradient, "queries": queries}


def agreement(device: torch.device) -> dict[str, float]:
    """How far what a device computes lies from what the CPU does; of ranks, the largest difference in places."""
    found = {}
    for name in BACKBONES:
        expected, there = computed(name, CPU), computed(name, device)
        found |= {f"{name}: {what}": difference(there[what], expected[what]) for what in expected}
    queries, index = torch.randn(2, 2000, 128, generator=torch.Generator().manual_seed(2))
    places = [ranks(queries.to(there), index.to(there), torch.arange(2000)).mid for there in (CPU, device)]
    return found | {"ranks: largest difference in places per 2,000": float((places[1] - places[0]).abs().max()) / 2000}


class Losses(pl.Callback):
    """The training loss of each step."""

    def __init__(self) -> None:
        self.values: list[float] = []

    def on_train_batch_end(self, trainer: pl.Trainer, module: pl.LightningModule, outputs: Any, *_: Any) -> None:
        """Lightning calls this after each batch."""
        self.values.append(float(outputs["loss"]))


def fit(folder: Path, device: torch.device, steps: int, precision: str, resume: Path | None = None) -> tuple:
    """Train a U-Net on the stores in `folder`; returns its weights, its losses and where the latents were held."""
    data = LatentDataModule(
        str(folder / "audio"), str(folder / "text"), memory="gpu", num_frames=NUM_FRAMES, batch_size=BATCH
    )
    model, losses = make_model("unet", data.constants()), Losses()
    silent = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "num_sanity_val_steps": 0}
    accelerator = "gpu" if device.type == "cuda" else "cpu"
    trainer = pl.Trainer(
        max_steps=steps,
        accelerator=accelerator,
        devices=1,
        precision=precision,
        gradient_clip_val=1.0,
        enable_checkpointing=False,
        callbacks=[losses],
        **silent,
    )
    trainer.fit(model, datamodule=data, ckpt_path=resume)
    trainer.save_checkpoint(folder / f"{steps}.ckpt")
    weights = nn.utils.parameters_to_vector(model.parameters()).detach().cpu()
    return weights, losses.values, data.audio.frames.device.type


def trainings(folder: Path, device: torch.device) -> dict[str, Any]:
    """The loss of a training in mixed precision, and how far a resumed training ends from one that was not stopped."""
    _, losses, held = fit(folder, device, 30, "bf16-mixed")
    whole, _, _ = fit(folder, device, 20, "32-true")
    fit(folder, device, 10, "32-true")
    resumed, _, _ = fit(folder, device, 20, "32-true", resume=folder / "10.ckpt")
    return {
        HELD: held,
        FELL: [float(np.mean(losses[:5])), float(np.mean(losses[-5:]))],
        RESUMED: difference(resumed, whole),
    }


def beyond(agreed: dict[str, float], trained: dict[str, Any], arguments: argparse.Namespace) -> list[str]:
    """The names of what is not as it should be; NaN is not."""
    first, last = trained[FELL]
    fine = {name: value <= arguments.tolerance for name, value in agreed.items()}
    fine[HELD] = trained[HELD] == arguments.device.type
    fine[FELL] = last < 0.8 * first
    fine[RESUMED] = trained[RESUMED] <= arguments.tolerance
    return [name for name, good in fine.items() if not good]


def main() -> None:
    """Run every check, print what was found, and fail where one is beyond its tolerance."""
    parser = parser_of(__doc__)
    parser.add_argument("--tolerance", type=float, default=1e-3)
    arguments = parser.parse_args()
    device = arguments.device
    torch.backends.cudnn.allow_tf32 = False
    quiet_lightning()
    agreed: dict[str, float] = {}
    trained: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        make_stores(Path(name), DIM, TEXT_DIM, NUM_FRAMES)
        taken = seconds(lambda: agreed.update(agreement(device)), device)
        taken += seconds(lambda: trained.update(trainings(Path(name), device)), device)
    wrong = beyond(agreed, trained, arguments)
    report = {"seconds": round(taken, 1), "agreement": agreed, "training": trained, "failed": wrong}
    publish("gpu-check", report, arguments)
    if wrong:
        raise SystemExit(f"failed: {', '.join(wrong)}")


if __name__ == "__main__":
    main()
