"""Training samples per second of the base U-Net: ours on stored text states, and the published one beside it.

pip install -r benchmarks/requirements.txt && python -m benchmarks.train_step

The published one is `a-unet` built to the same channels, with a text encoder of RoBERTa-base's size (random weights)
run on every batch and torch's default AdamW; ours reads stored states and takes the fused AdamW. Both take full
training steps in turn: noise, forward, backward, optimiser. With --compile, ours again under `torch.compile`.
"""

import argparse
import contextlib
import functools
import json
import statistics
import time

import torch
import torch.nn.functional as F
from a_unet import TimeConditioningPlugin
from a_unet.apex import AttentionItem, CrossAttentionItem, ModulationItem, ResnetItem, SkipModulate, XBlock, XUNet
from diffusers import DDPMScheduler
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from transformers import RobertaConfig, RobertaModel

from diffgar.models.backbones.unet import UNet
from diffgar.models.diffusion.objective import Objective

LATENT_DIM, TEXT_DIM, NUM_FRAMES, NUM_TOKENS = 512, 768, 64, 77
CHANNELS, FACTORS, BLOCKS, ATTENTIONS = (1024, 1024, 1536, 2048), (2, 2, 4, 4), (1, 1, 2, 2), (0, 0, 1, 1)
# Dense, as the vendor states them, by what the device calls itself.
BF16_PEAKS = {"A100-": 312e12, "H100 80GB": 989e12, "H100 PCIe": 756e12, "H100 NVL": 835e12, "H200": 989e12}


def published_unet() -> nn.Module:
    def items(attends: int) -> list:
        return [ResnetItem, ModulationItem] + [AttentionItem, CrossAttentionItem] * attends

    levels = zip(CHANNELS, FACTORS, BLOCKS, ATTENTIONS, strict=True)
    return TimeConditioningPlugin(XUNet)(
        modulation_features=1024,
        dim=1,
        in_channels=LATENT_DIM,
        blocks=[XBlock(channels=c, factor=f, items=items(a) * n) for c, f, n, a in levels],
        skip_t=SkipModulate,
        resnet_groups=8,
        attention_heads=8,
        attention_features=64,
        embedding_features=TEXT_DIM,
    )


def our_unet() -> nn.Module:
    sizes = {"num_blocks": BLOCKS, "attentions": ATTENTIONS, "num_heads": 8, "head_dim": 64}
    return UNet(LATENT_DIM, TEXT_DIM, CHANNELS, FACTORS, **sizes)


class PublishedBackbone(nn.Module):
    """a-unet behind our contract; it is channels-first, and knows no masks."""

    def __init__(self):
        super().__init__()
        self.unet = published_unet()

    def forward(self, noisy_latents: Tensor, timesteps: Tensor, text: Tensor, *masks: Tensor) -> Tensor:
        return self.unet(noisy_latents.transpose(1, 2), time=timesteps / 1000, embedding=text).transpose(1, 2)


class TextInTheLoop(nn.Module):
    """Token ids (B, L) to states (B, L, 768), every one of them, as the published training does each step."""

    def __init__(self):
        super().__init__()
        config = RobertaConfig(vocab_size=50265, max_position_embeddings=514)
        self.encoder = RobertaModel(config, add_pooling_layer=False)

    @torch.no_grad()
    def forward(self, ids: Tensor, text_mask: Tensor) -> Tensor:
        return self.encoder(ids, attention_mask=text_mask.long()).last_hidden_state


def make_batch(size: int, device: torch.device) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(8, NUM_TOKENS + 1, (size, 1), generator=generator)
    batch = {
        "latents": torch.randn(size, NUM_FRAMES, LATENT_DIM, generator=generator),
        "noise": torch.randn(size, NUM_FRAMES, LATENT_DIM, generator=generator),
        "timesteps": torch.randint(1000, (size,), generator=generator),
        "mask": torch.ones(size, NUM_FRAMES, dtype=torch.bool),
        "ids": torch.randint(5, 50000, (size, NUM_TOKENS), generator=generator),
        "text": torch.randn(size, NUM_TOKENS, TEXT_DIM, generator=generator),
        "text_mask": torch.arange(NUM_TOKENS) < lengths,
    }
    return {name: value.to(device) for name, value in batch.items()}


class Trainee:
    """A backbone in training, and the seconds that each part of its steps took."""

    def __init__(self, backbone: nn.Module, device: torch.device, text_encoder: nn.Module | None = None, **optimizer):
        self.backbone, self.device = backbone.to(device).train(), device
        self.text_encoder = text_encoder and text_encoder.to(device).eval()
        self.optimizer = torch.optim.AdamW(backbone.parameters(), lr=1e-4, weight_decay=1e-5, **optimizer)
        self.schedule, self.objective = DDPMScheduler(prediction_type="sample", clip_sample=False), Objective()
        self.seconds: dict[str, list[float]] = {}

    def step(self, batch: dict[str, Tensor]) -> None:
        autocast = torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda")
        text, text_mask = batch["text"], batch["text_mask"]
        if self.text_encoder is not None:
            with self.timed("text encoder"), autocast:
                text = self.text_encoder(batch["ids"], text_mask)
        with self.timed("forward and backward"):
            inputs = *(batch[name] for name in ("latents", "noise", "timesteps")), (text, text_mask), batch["mask"]
            with autocast:
                errors, _ = self.objective.errors(self.backbone, self.schedule, *inputs)
            errors.mean().backward()
        with self.timed("optimizer"):
            self.optimizer.step()
            self.optimizer.zero_grad()

    @contextlib.contextmanager
    def timed(self, part: str):
        on_gpu = self.device.type == "cuda"
        wait = functools.partial(torch.cuda.synchronize, self.device) if on_gpu else lambda: None
        wait()
        begun = time.perf_counter()
        yield
        wait()
        self.seconds.setdefault(part, []).append(time.perf_counter() - begun)

    def report(self, batch: dict[str, Tensor], warmup: int) -> dict:
        """The median of each part's seconds after the warm-up, and what follows from them."""
        parts = {name: statistics.median(seconds[warmup:]) for name, seconds in self.seconds.items()}
        flops, peak = training_flops(self.backbone, batch), peak_of(self.device)
        share = flops / parts["forward and backward"] / peak if peak else None
        shares = {"bf16_peak_flops": peak, "share_of_bf16_peak": share} if peak else {}
        return {
            "parameters": sum(p.numel() for p in self.backbone.parameters()),
            "gigaflops_a_step": flops / 1e9,
            "seconds": parts,
            "samples_per_second": len(batch["latents"]) / sum(parts.values()),
            **shares,
        }


def training_flops(backbone: nn.Module, batch: dict[str, Tensor]) -> int:
    backbone = getattr(backbone, "_orig_mod", backbone)  # not through what torch.compile made of it
    with FlopCounterMode(display=False) as counter:
        prediction = backbone(batch["latents"], batch["timesteps"], batch["text"], batch["text_mask"], batch["mask"])
        F.mse_loss(prediction, batch["latents"]).backward()
    return counter.get_total_flops()


def peak_of(device: torch.device) -> float | None:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    return next((peak for model, peak in BF16_PEAKS.items() if model in name), None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--compile", nargs="?", const="default", help="torch.compile's mode, as reduce-overhead")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    arguments = parser.parse_args()
    device, warmup = torch.device(arguments.device), 2
    batch = make_batch(arguments.batch, device)
    torch.manual_seed(0)
    trainees = {
        "published": Trainee(PublishedBackbone(), device, TextInTheLoop()),
        "ours": Trainee(our_unet(), device, fused=True),
    }
    if arguments.compile:
        trainees["ours, compiled"] = Trainee(torch.compile(our_unet(), mode=arguments.compile), device, fused=True)
    for _ in range(warmup + arguments.steps):
        for trainee in trainees.values():  # in turn, so that a busy machine slows all alike
            trainee.step(batch)
    print(json.dumps(report(trainees, batch, device, warmup), indent=1))


def report(trainees: dict[str, Trainee], batch: dict[str, Tensor], device: torch.device, warmup: int) -> dict:
    rows = {name: trainee.report(batch, warmup) for name, trainee in trainees.items()}
    seconds = {name: sum(row["seconds"].values()) for name, row in rows.items()}
    published = rows["published"]["seconds"]
    ours = [name for name in rows if name != "published"]
    cuda = device.type == "cuda"
    return {
        "device": torch.cuda.get_device_name(device) if cuda else f"cpu, {torch.get_num_threads()} threads",
        "torch": torch.__version__,
        "batch": len(batch["latents"]),
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
