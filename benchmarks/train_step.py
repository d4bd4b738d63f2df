"""Training samples per second of the base U-Net: ours on stored text states, and the published one beside it.

pip install -r benchmarks/requirements.txt && python -m benchmarks.train_step

The published one is `a-unet` built to the same channels, with a text encoder of RoBERTa-base's size (random weights)
run on every batch, and torch's default AdamW; ours reads stored states and takes the fused AdamW. Both take full
training steps in turn: noise, forward, backward, optimiser. With --compile, ours again under `torch.compile`.
"""

import argparse
import contextlib
import functools
import json
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from diffusers import DDPMScheduler
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.published import (
    ATTENTIONS,
    BLOCKS,
    CHANNELS,
    FACTORS,
    LATENT_DIM,
    TEXT_DIM,
    PublishedUNet,
    TextInTheLoop,
)
from diffgar.batch import Batch
from diffgar.models.backbones.unet import UNet
from diffgar.models.diffusion.loss_parts import Draws
from diffgar.models.diffusion.objective import Objective
from diffgar.text_states import TextStates

NUM_FRAMES, NUM_TOKENS = 64, 77
# Dense, as the vendor states them, by what the device calls itself.
BF16_PEAKS = {"A100-": 312e12, "H100 80GB": 989e12, "H100 PCIe": 756e12, "H100 NVL": 835e12, "H200": 989e12}


def our_unet() -> UNet:
    """Our U-Net with the published one's channels, factors, blocks and attentions."""
    sizes = {"num_blocks": BLOCKS, "attentions": ATTENTIONS, "num_heads": 8, "head_dim": 64}
    return UNet(LATENT_DIM, TEXT_DIM, CHANNELS, FACTORS, **sizes)


@dataclass(frozen=True, eq=False)
class Inputs:
    """What a training step takes, and the token ids (B, L) of its captions."""

    batch: Batch
    draws: Draws
    ids: Tensor


def make_inputs(size: int, device: torch.device) -> Inputs:
    """Random inputs of a step of `size` samples, always the same; captions have 8 to 77 tokens."""
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(8, NUM_TOKENS + 1, (size, 1), generator=generator)
    latents, noise = torch.randn(2, size, NUM_FRAMES, LATENT_DIM, generator=generator).to(device)
    timesteps = torch.randint(1000, (size,), generator=generator).to(device)
    ids = torch.randint(5, 50000, (size, NUM_TOKENS), generator=generator).to(device)
    states = torch.randn(size, NUM_TOKENS, TEXT_DIM, generator=generator)
    text = TextStates(states, torch.arange(NUM_TOKENS) < lengths)
    mask = torch.ones(size, NUM_FRAMES, dtype=torch.bool)
    batch = Batch(latents, mask, text, torch.arange(size), step=0).to(device)
    return Inputs(batch, Draws(noise, timesteps, torch.zeros(size, dtype=torch.bool, device=device)), ids)


class Trainee:
    """A backbone in training, and the seconds that each part of its steps took."""

    def __init__(self, backbone: nn.Module, device: torch.device, text_encoder: nn.Module | None = None, **optimizer):
        self.backbone, self.device = backbone.to(device).train(), device
        self.text_encoder = text_encoder and text_encoder.to(device).eval()
        self.optimizer = torch.optim.AdamW(backbone.parameters(), lr=1e-4, weight_decay=1e-5, **optimizer)
        self.schedule, self.objective = DDPMScheduler(prediction_type="sample", clip_sample=False), Objective()
        self.seconds: dict[str, list[float]] = {}

    def step(self, inputs: Inputs) -> None:
        """One whole training step, its parts timed."""
        autocast = torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda")
        batch = inputs.batch
        if self.text_encoder is not None:
            with self.timed("text encoder"), autocast:
                states = self.text_encoder(inputs.ids, batch.text.mask)
            batch = replace(batch, text=TextStates(states, batch.text.mask))
        with self.timed("forward and backward"):
            with autocast:
                losses = self.objective.loss(self.backbone, self.schedule, batch, inputs.draws)
            losses.total.mean().backward()
        with self.timed("optimizer"):
            self.optimizer.step()
            self.optimizer.zero_grad()

    @contextlib.contextmanager
    def timed(self, part: str) -> Iterator[None]:
        """Add the seconds that its block takes on the device to those of `part`."""
        on_gpu = self.device.type == "cuda"
        wait = functools.partial(torch.cuda.synchronize, self.device) if on_gpu else lambda: None
        wait()
        begun = time.perf_counter()
        yield
        wait()
        self.seconds.setdefault(part, []).append(time.perf_counter() - begun)

    def report(self, inputs: Inputs, warmup: int) -> dict:
        """The median of each part's seconds after the warm-up, and what follows from them."""
        parts = {name: statistics.median(seconds[warmup:]) for name, seconds in self.seconds.items()}
        flops, peak = training_flops(self.backbone, inputs), peak_of(self.device)
        share = flops / parts["forward and backward"] / peak if peak else None
        shares = {"bf16_peak_flops": peak, "share_of_bf16_peak": share} if peak else {}
        return {
            "parameters": sum(p.numel() for p in self.backbone.parameters()),
            "gigaflops_a_step": flops / 1e9,
            "seconds": parts,
            "samples_per_second": len(inputs.batch) / sum(parts.values()),
            **shares,
        }


def training_flops(backbone: nn.Module, inputs: Inputs) -> int:
    """Floating-point operations of one forward and backward pass."""
    backbone = getattr(backbone, "_orig_mod", backbone)  # not through what torch.compile made of it
    with FlopCounterMode(display=False) as counter:
        batch = inputs.batch
        prediction = backbone(batch.latents, inputs.draws.timesteps, batch.text, batch.mask)
        F.mse_loss(prediction, batch.latents).backward()
    return counter.get_total_flops()


def peak_of(device: torch.device) -> float | None:
    """The device's peak of dense bfloat16 operations per second; None of a CPU or an unknown one."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    return next((peak for model, peak in BF16_PEAKS.items() if model in name), None)


def main() -> None:
    """Time both networks, step by step in turn, and print the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--compile", nargs="?", const="default", help="torch.compile's mode, as reduce-overhead")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    arguments = parser.parse_args()
    device, warmup = torch.device(arguments.device), 2
    inputs = make_inputs(arguments.batch, device)
    torch.manual_seed(0)
    trainees = {
        "published": Trainee(PublishedUNet(), device, TextInTheLoop()),
        "ours": Trainee(our_unet(), device, fused=True),
    }
    if arguments.compile:
        trainees["ours, compiled"] = Trainee(torch.compile(our_unet(), mode=arguments.compile), device, fused=True)
    for _ in range(warmup + arguments.steps):
        for trainee in trainees.values():  # in turn, so that a busy machine slows all alike
            trainee.step(inputs)
    print(json.dumps(report(trainees, inputs, device, warmup), indent=1))


def report(trainees: dict[str, Trainee], inputs: Inputs, device: torch.device, warmup: int) -> dict:
    """Each network's seconds, and how many times the published one's samples per second ours have."""
    rows = {name: trainee.report(inputs, warmup) for name, trainee in trainees.items()}
    seconds = {name: sum(row["seconds"].values()) for name, row in rows.items()}
    published = rows["published"]["seconds"]
    ours = [name for name in rows if name != "published"]
    cuda = device.type == "cuda"
    return {
        "device": torch.cuda.get_device_name(device) if cuda else f"cpu, {torch.get_num_threads()} threads",
        "torch": torch.__version__,
        "batch": len(inputs.batch),
        "rows": rows,
        "ratio": {name: seconds["published"] / seconds[name] for name in ours},
        "ratio_without_the_text_encoder": {
            name: (seconds["published"] - published["text encoder"]) / seconds[name] for name in ours
        },
        "ratio_of_forward_and_backward": {
            name: published["forward and backward"] / rows[name]["seconds"]["forward and backward"] for name in ours
        },
    }


if __name__ == "__main__":
    main()
