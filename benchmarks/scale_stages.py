"""The jobs that the benchmark of scale measures, each a function of where the stores lie and of what is asked."""

import argparse
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytorch_lightning as pl

from benchmarks.scale_store import AUDIO, DATASET, write_stores
from diffgar import Retriever
from diffgar.dataloading.datamodule import LatentDataModule
from diffgar.jobs import retrieval, train
from diffgar.jobs.building import build, composed

LEAF = "train_ldm/model/encoder_pair/clap_t5/unet/train_ldm_sample_pred_base"
STAND_IN = ["backbone=mlp_small", "backbone.width=64", "backbone.depth=1", "sampler.num_steps=1"]
SMALL = [
    "backbone.channels=[64,64]",
    "backbone.factors=[2,2]",
    "backbone.num_blocks=[1,1]",
    "backbone.attentions=[0,1]",
]
OPEN: list[LatentDataModule] = []  # their memory maps are there until the process has been measured
Asked = argparse.Namespace
Report = dict[str, Any]


def training(folder: Path, asked: Asked, *words: str) -> Any:
    """The config of a training on the synthetic stores, which lie in `folder`/data/latents."""
    device = "gpu" if asked.device.type == "cuda" else "cpu"
    own = ["~task", "datamodule.memory=map", "lr_scheduler.warmup_steps=0", f"trainer.accelerator={device}"]
    return composed(LEAF, [*places(folder), *own, "trainer.enable_progress_bar=false", *words])


def places(folder: Path) -> list[str]:
    """The words of a config whose data and results all lie in a folder."""
    return [f"paths.{name}={folder / name}" for name in ("data", "checkpoints", "results", "logs")]


def write(folder: Path, asked: Asked, percent: float) -> Report:
    """Write the stores of a share."""
    write_stores(folder / "data" / "latents", percent, dense=percent <= asked.dense)
    files = [path for path in (folder / "data").rglob("*") if path.is_file()]
    on_disk = sum(path.stat().st_blocks * 512 for path in files)
    return {"gb": sum(path.stat().st_size for path in files) / 1e9, "gb_on_disk": on_disk / 1e9}


def load(folder: Path, asked: Asked, percent: float) -> Report:
    """Read training batches through the memory map."""
    data = build(training(folder, asked, "model_name=base").datamodule)
    data.trainer = pl.Trainer(accelerator="cpu", max_steps=asked.batches, logger=False, enable_checkpointing=False)
    data.setup("fit")
    OPEN.append(data)
    begun = time.perf_counter()
    size = [len(batch) for batch in data.train_dataloader()][0]
    return {"batch": size, "batches_per_second": asked.batches / (time.perf_counter() - begun)}


def train_base(folder: Path, asked: Asked, percent: float) -> Report:
    """Train the base U-Net from random weights for a few steps, without a checkpoint (4 GB) and without validation."""
    steps = [f"trainer.max_steps={asked.steps}", f"trainer.val_check_interval={asked.steps}", *(SMALL * asked.quick)]
    without = ["~callbacks.checkpoint", "validation=null", "+trainer.limit_val_batches=0"]
    train.run(training(folder, asked, "model_name=base", f"batch_size={asked.batch}", *without, *steps))
    return {"batch": asked.batch, "steps": asked.steps}


def validate(folder: Path, asked: Asked, percent: float) -> Report:
    """Train the stand-in for a step, and validate it: the loss on all validation tracks, retrieval for 1,000."""
    few = ["sampler.guidance_scale=1", "validation.num_steps=1", "trainer.max_steps=1", "trainer.val_check_interval=1"]
    train.run(training(folder, asked, "model_name=stand_in", *STAND_IN, *few))
    return {}


def evaluate(folder: Path, asked: Asked, percent: float) -> Report:
    """Evaluate the stand-in on every training caption, with 5 samples for each."""
    task = [
        f"task={DATASET}",
        "task.split=train",
        "model_name=stand_in",
        "sampler.num_samples=5",
        "evaluation.seeds=[0]",
    ]
    _, result = retrieval.evaluate(composed("eval_retrieval", [*places(folder), *task, *asked.words]))
    return {"captions": result.protocol["num_queries"], "tracks": result.protocol["pool_size"]}


def search(folder: Path, asked: Asked, percent: float) -> Report:
    """Search the library for tracks like a track: the first time, which makes the index, and then ten times."""
    os.environ["GDR_LIBRARIES"] = str(folder / "libraries")
    retriever = Retriever.from_pretrained(folder / "checkpoints" / "stand_in")
    library, seconds = retriever.index(folder / "data" / "latents" / DATASET / AUDIO), []
    for number in range(11):
        begun = time.perf_counter()
        library.search(like=library.tracks["row_id"][number])
        seconds.append(time.perf_counter() - begun)
    return {"tracks": len(library), "first_search_s": seconds[0], "search_ms": 1000 * statistics.median(seconds[1:])}


STAGES: dict[str, Callable[[Path, Asked, float], Report]] = {
    "writing": write,
    "loading": load,
    "sharing": load,  # by two processes at once
    "training": train_base,
    "validation": validate,
    "evaluation": evaluate,
    "search": search,
}
