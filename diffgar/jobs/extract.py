"""The job of extract_dataset.py: a dataset's tracks and captions become two latent stores."""

from datetime import timedelta
from pathlib import Path

import pandas as pd
from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy
from omegaconf import DictConfig

from diffgar.dataloading.datasets.near_captions import warn_of_near_captions
from diffgar.dataloading.store.card import Card
from diffgar.extraction.batches import Options
from diffgar.extraction.given_latents import OwnLatents
from diffgar.extraction.pair_check import self_test, warn_of_common_mean
from diffgar.extraction.stores import extract_audio, extract_text, import_latents
from diffgar.jobs import checks, first_checks, next_commands, plan
from diffgar.jobs.building import build, plain
from diffgar.jobs.quiet import quiet_lightning
from diffgar.models.encoders.base import EncoderPair
from diffgar.models.encoders.pretrained.weights import RANDOM

UNFINISHED = "unfinished until the other jobs have finished"
PATIENCE = timedelta(days=30)  # a process that has finished waits for the others


def run(cfg: DictConfig) -> None:
    """Make the collection where it is the demo's, then extract it, on `num_devices` devices of this host."""
    first_checks.of_extraction(cfg)
    announce = checks.is_first_process()
    if announce and plan.makes_collection(cfg):
        plan.show_extraction(cfg)
        announce = False
    prepare(cfg)
    if cfg.num_devices == 1:
        extract(cfg, announce=announce)
        next_commands.show(next_commands.after_extraction(cfg))
        return
    quiet_lightning()
    fabric = Fabric(devices=cfg.num_devices, strategy=DDPStrategy(timeout=PATIENCE))
    fabric.launch()  # starts the script again, once for each further device
    extract(cfg, options_of(cfg).share(fabric.global_rank, fabric.world_size, fabric.device), announce)
    fabric.barrier()
    fabric.print(f"all {fabric.world_size} devices have finished")
    if fabric.is_global_zero:
        next_commands.show(next_commands.after_extraction(cfg))


def prepare(cfg: DictConfig) -> None:
    """Make the collection first, where the data lies in a folder that we fill: the demo's alone."""
    if plan.makes_collection(cfg):
        build(cfg.prepare)


def options_of(cfg: DictConfig) -> Options:
    """How `cfg.extraction` asks to extract."""
    return Options(**plain(cfg.extraction))


def extract(cfg: DictConfig, options: Options | None = None, announce: bool = False) -> None:
    """Write both stores of `cfg.data` by `cfg.encoder_pair`, or this job's part of them.

    options: by default those of `cfg.extraction`. announce: print the plan once the dataset and the encoders are open.
    """
    first_checks.check_folders(cfg)
    dataset, options = build(cfg.data), options or options_of(cfg)
    if options.job[0] == 0:
        warn_of_near_captions(dataset.name, dataset.captions)
    pair, hop = open_pair(cfg), cfg.encoder_pair.hop_seconds
    if announce:
        plan.show_extraction(cfg, dataset)
    folder, encoder = Path(cfg.paths.latents) / dataset.name, pair.audio_encoder
    stores = {"audio": folder / cfg.encoder_pair.audio_name, "text": folder / cfg.encoder_pair.text_name}
    if isinstance(encoder, OwnLatents):
        complete = import_latents(dataset, encoder, stores["audio"], hop, options)
    else:
        new = not (stores["audio"] / "rows.parquet").is_file()
        if new and pair.joint and options.job[0] == 0 and encoder.checkpoint_hash != RANDOM:
            self_test(pair, dataset, options)
        complete = extract_audio(dataset, encoder, stores["audio"], hop, options)
    complete &= extract_text(dataset, pair.text_encoder, stores["text"], options)
    for kind, store in stores.items():
        print(f"{kind} latents of {dataset.name}: {store}, {what_it_holds(store) if complete else UNFINISHED}")
    if complete and not pair.joint:
        warn_of_common_mean(Card.load(stores["audio"]), stores["audio"])


def open_pair(cfg: DictConfig) -> EncoderPair:
    """The encoders of `cfg.encoder_pair`; refused where they are not of the sizes and names that it says."""
    asked = cfg.encoder_pair
    pair = EncoderPair(asked.name, build(asked.audio_encoder), build(asked.text_encoder), asked.joint)
    pair.check(**{name: asked[name] for name in ("latent_dim", "text_dim", "audio_name", "text_name")})
    return pair


def what_it_holds(folder: Path) -> str:
    """The size of a finished store, and what of it the table lacks, as it is printed."""
    card = Card.load(folder)
    if card.kind == "text":
        return f"{card.num_rows - 1:,} captions"
    rows = pd.read_parquet(folder / "rows.parquet")
    gone = int((rows["split"] == "").sum())
    parts = [f"{card.num_rows - gone:,} tracks"]
    if "_seconds" in rows:  # not of latents that were given
        parts.append(f"{rows['_seconds'][rows['split'] != ''].sum() / 3600:,.1f} h")
    if card.num_skipped:
        parts.append(f"{card.num_skipped} left out (skipped.csv says why; without that file they are tried again)")
    if gone:
        parts.append(f"{gone} kept that the table has no more (extraction.prune=true lets them go)")
    return ", ".join(parts)
