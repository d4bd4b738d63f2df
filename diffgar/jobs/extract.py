"""The job of extract_dataset.py: a dataset's tracks and captions become two latent stores."""

from datetime import timedelta
from pathlib import Path

import pandas as pd
from lightning_fabric import Fabric
from lightning_fabric.strategies import DDPStrategy
from omegaconf import DictConfig

from diffgar.dataloading.store.card import Card
from diffgar.extraction.batches import Options
from diffgar.extraction.given_latents import OwnLatents
from diffgar.extraction.pair_check import self_test, warn_of_common_mean
from diffgar.extraction.stores import extract_audio, extract_text, import_latents
from diffgar.jobs import checks
from diffgar.jobs.building import build, plain
from diffgar.models.encoders.base import EncoderPair
from diffgar.models.encoders.pretrained.weights import RANDOM

UNFINISHED = "unfinished until the other jobs have finished"
PATIENCE = timedelta(days=30)  # a process that has finished waits for the others


def run(cfg: DictConfig) -> None:
    """Make the collection where it is the demo's, then extract it, on `num_devices` devices of this host."""
    checks.check_number_of_devices(cfg.num_devices)
    prepare(cfg)
    if cfg.num_devices == 1:
        extract(cfg)
        return
    fabric = Fabric(devices=cfg.num_devices, strategy=DDPStrategy(timeout=PATIENCE))
    fabric.launch()  # starts the script again, once for each further device
    extract(cfg, options_of(cfg).share(fabric.global_rank, fabric.world_size, fabric.device))
    fabric.barrier()
    fabric.print(f"all {fabric.world_size} devices are through")


def prepare(cfg: DictConfig) -> None:
    """Make the collection first, where the data lies in a folder that we fill: the demo's alone."""
    made = cfg.get("prepare") and Path(cfg.prepare.folder).absolute()
    if made and cfg.data.get("audio_root") and made == Path(cfg.data.audio_root).absolute():
        build(cfg.prepare)


def options_of(cfg: DictConfig) -> Options:
    """How `cfg.extraction` asks to extract."""
    return Options(**plain(cfg.extraction))


def extract(cfg: DictConfig, options: Options | None = None) -> None:
    """Write both stores of `cfg.data` by `cfg.encoder_pair`; options: by default those of `cfg.extraction`."""
    checks.check_folders(cfg)
    dataset, options = build(cfg.data), options or options_of(cfg)
    pair = open_pair(cfg)
    folder = Path(cfg.paths.latents) / dataset.name
    stores = {"audio": folder / cfg.encoder_pair.audio_name, "text": folder / cfg.encoder_pair.text_name}
    new, own = not (stores["audio"] / "rows.parquet").is_file(), isinstance(pair.audio_encoder, OwnLatents)
    if new and pair.joint and not own and options.job[0] == 0 and pair.audio_encoder.checkpoint_hash != RANDOM:
        self_test(pair, dataset, options)
    write_audio = import_latents if own else extract_audio
    complete = write_audio(dataset, pair.audio_encoder, stores["audio"], cfg.encoder_pair.hop_seconds, options)
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
        return f"{card.num_rows - 1} captions"
    gone = int((pd.read_parquet(folder / "rows.parquet", columns=["split"])["split"] == "").sum())
    parts = [f"{card.num_rows - gone} tracks"]
    if card.num_skipped:
        parts.append(f"{card.num_skipped} left out (skipped.csv says why; without that file they are tried again)")
    if gone:
        parts.append(f"{gone} kept that the table has no more (extraction.prune=true lets them go)")
    return ", ".join(parts)
