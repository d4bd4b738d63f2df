"""Turn a dataset's tracks and captions into latent stores, one for the audio and one for the text.

    python extract_dataset.py                                                                    # the demo
    python extract_dataset.py --config config/extract_features/clap/extract_songdescriber.yaml

A killed run goes on where it stopped; of a finished one, only what has changed in the table or the files is encoded
again. Jobs can share the work: this is one of eight,
`extraction.shard.index=3 extraction.shard.count=8`; and `num_devices=4` is four GPUs of one host.
"""

import diffgar.interrupts  # noqa: F401  first: Ctrl-C is one line, also while the rest is imported

# isort: split
from datetime import timedelta
from pathlib import Path

import pandas as pd
from hydra.utils import instantiate
from lightning_fabric import Fabric
from lightning_fabric.strategies import DDPStrategy
from omegaconf import DictConfig

from diffgar import checks, cli
from diffgar.dataloading.store.card import Card
from diffgar.extraction.batches import Options
from diffgar.extraction.given_latents import OwnLatents
from diffgar.extraction.pair_check import self_test, warn_of_common_mean
from diffgar.extraction.stores import extract_audio, extract_text, import_latents
from diffgar.models.encoders.base import EncoderPair
from diffgar.models.encoders.pretrained.weights import RANDOM

UNFINISHED = "unfinished until the other jobs have finished"
PATIENCE = timedelta(days=30)  # a process that has finished waits for the others


def prepare(cfg: DictConfig) -> None:
    """Make the collection first, where the data lies in a folder that we fill: the demo's alone."""
    made = cfg.get("prepare") and Path(cfg.prepare.folder).absolute()
    if made and cfg.data.get("audio_root") and made == Path(cfg.data.audio_root).absolute():
        instantiate(cfg.prepare)


def extract(cfg: DictConfig, options: Options | None = None) -> None:
    """Write both stores of `cfg.data` by `cfg.encoder_pair`."""
    checks.check_folders(cfg)
    dataset, options = instantiate(cfg.data), options or Options(**cfg.extraction)
    pair = EncoderPair(
        cfg.encoder_pair.name,
        instantiate(cfg.encoder_pair.audio_encoder),
        instantiate(cfg.encoder_pair.text_encoder),
        cfg.encoder_pair.joint,
    )
    pair.check(**{name: cfg.encoder_pair[name] for name in ("latent_dim", "text_dim", "audio_name", "text_name")})
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


def what_it_holds(folder: Path) -> str:
    """The size of a finished store, and what of it the table lacks, as it is printed."""
    card = Card.load(folder)
    if card.kind == "text":
        return f"{card.num_rows - 1} captions"
    gone = int((pd.read_parquet(folder / "rows.parquet", columns=["split"])["split"] == "").sum())
    parts = [f"{card.num_rows - gone} tracks"]
    left_out = f"{card.num_skipped} left out (skipped.csv says why; without that file they are tried again)"
    parts += [left_out] * bool(card.num_skipped)
    parts += [f"{gone} kept that the table has no more (extraction.prune=true lets them go)"] * bool(gone)
    return ", ".join(parts)


@cli.main("extract_features/demo/extract_demo")
def main(cfg: DictConfig) -> None:
    checks.check_number_of_devices(cfg.num_devices)
    prepare(cfg)
    if cfg.num_devices == 1:
        extract(cfg)
        return
    fabric = Fabric(devices=cfg.num_devices, strategy=DDPStrategy(timeout=PATIENCE))
    fabric.launch()  # starts this script again, once for each further device
    extract(cfg, Options(**cfg.extraction).share(fabric.global_rank, fabric.world_size, fabric.device))
    fabric.barrier()
    fabric.print(f"all {fabric.world_size} devices are through")


if __name__ == "__main__":
    main()
