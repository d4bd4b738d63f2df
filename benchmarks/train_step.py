"""Training samples per second of the base U-Net: ours on stored text states, and the published one beside it.

pip install -r benchmarks/requirements.txt && python -m benchmarks.train_step
python -m benchmarks.train_step --batch 256 --steps 20 --compile      # as published, on a GPU
python -m benchmarks.train_step --quick                               # only to see that it runs

The published one is `a-unet` built to the same channels, with a text encoder of RoBERTa-base's size (random weights)
run on every batch, and torch's default AdamW; ours reads stored states and takes the fused AdamW. Both take full
training steps in turn: noise, forward, backward, optimiser; on a GPU in bfloat16 autocast, as training does. With
--compile, ours again under `torch.compile`. Without a-unet the published one is skipped, and the report says so.
"""

import contextlib
import statistics
import time
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import DDPMScheduler
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.base_unet import SMALL, Inputs, Sizes, make_inputs
from benchmarks.machine import Peak, name_of, parser_of, publish, waiting
from diffgar.models.diffusion.objective import Objective
from diffgar.text_states import TextStates

WARMUP = 2
# Dense, as the vendor states them, by what the device calls itself.
BF16_PEAKS = {"A100-": 312e12, "H100 80GB": 989e12, "H100 PCIe": 756e12, "H100 NVL": 835e12, "H200": 989e12}


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
        wait = waiting(self.device)
        wait()
        begun = time.perf_counter()
        yield
        wait()
        self.seconds.setdefault(part, []).append(time.perf_counter() - begun)

    def report(self, inputs: Inputs) -> dict:
        """The median of each part's seconds after the warm-up, and what follows from them."""
        parts = {name: statistics.median(seconds[WARMUP:]) for name, seconds in self.seconds.items()}
        flops, peak = training_flops(self.backbone, inputs), peak_of(self.device)
        share = flops / parts["forward and backward"] / peak if peak else None
        shares = {"bf16_peak_flops": peak, "share_of_bf16_peak": share} if peak else {}
        return {
            "parameters": sum(p.numel() for p in self.backbone.parameters()),
            "gigaflops_a_step": flops / 1e9,
            "seconds": parts,
            "first_step_seconds": sum(seconds[0] for seconds in self.seconds.values()),
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
    name = name_of(device) if device.type == "cuda" else ""
    return next((peak for model, peak in BF16_PEAKS.items() if model in name), None)


def make_trainees(sizes: Sizes, device: torch.device, mode: str | None) -> dict[str, Trainee]:
    """The networks that are timed: the published one where a-unet is installed, ours, and ours compiled."""
    torch.manual_seed(0)
    trainees = {}
    if sizes == Sizes() and find_spec("a_unet"):
        from benchmarks.published import PublishedUNet, TextInTheLoop

        trainees["published"] = Trainee(PublishedUNet(), device, TextInTheLoop())
    trainees["ours"] = Trainee(sizes.build(), device, fused=True)
    if mode:
        trainees["ours, compiled"] = Trainee(torch.compile(sizes.build(), mode=mode), device, fused=True)
    return trainees


def main() -> None:
    """Time the networks, step by step in turn, and print the report."""
    parser = parser_of(__doc__)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--compile", nargs="?", const="default", help="torch.compile's mode, as reduce-overhead")
    parser.add_argument("--quick", action="store_true", help="a small U-Net of ours: its times mean nothing")
    arguments = parser.parse_args()
    inputs = make_inputs(arguments.batch, arguments.device)
    with Peak(arguments.device) as peak:
        trainees = make_trainees(SMALL if arguments.quick else Sizes(), arguments.device, arguments.compile)
        for _ in range(WARMUP + arguments.steps):
            for trainee in trainees.values():  # in turn, so that a busy machine slows all alike
                trainee.step(inputs)
    name = "train-step-compiled" if arguments.compile else "train-step"
    publish(name, report(trainees, inputs) | {"memory_mb": peak.mb}, arguments)


def report(trainees: dict[str, Trainee], inputs: Inputs) -> dict[str, Any]:
    """Each network's seconds, and how many times the published one's samples per second ours have."""
    rows = {name: trainee.report(inputs) for name, trainee in trainees.items()}
    found: dict[str, Any] = {"batch": len(inputs.batch), "rows": rows}
    if "published" not in rows:
        return found | {"skipped": {"published": "needs a-unet and no --quick"}}
    seconds = {name: sum(row["seconds"].values()) for name, row in rows.items()}
    published = rows["published"]["seconds"]
    ours = [name for name in rows if name != "published"]
    return found | {
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
