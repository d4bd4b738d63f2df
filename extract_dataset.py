"""Turn a dataset's tracks and captions into latent stores, one for the audio and one for the text.

    python extract_dataset.py                                                                    # the demo
    python extract_dataset.py --config config/extract_features/clap/extract_songdescriber.yaml

A killed run goes on where it stopped; a finished one changes nothing. Jobs can share the work: this is one of eight,
`extraction.shard.index=3 extraction.shard.count=8`.
"""

from pathlib import Path

from hydra.utils import instantiate
from omegaconf import DictConfig

from diffgar import cli
from diffgar.encoding import Options
from diffgar.extraction import extract_audio, extract_text, self_test
from diffgar.models.encoders.base import EncoderPair


def extract(cfg: DictConfig) -> None:
    """Write both stores of `cfg.data` by `cfg.encoder_pair`, the demo's collection first where the config says so."""
    if cfg.get("prepare"):
        instantiate(cfg.prepare)
    dataset, options = instantiate(cfg.data), Options(**cfg.extraction)
    pair = EncoderPair(
        cfg.encoder_pair.name,
        instantiate(cfg.encoder_pair.audio_encoder),
        instantiate(cfg.encoder_pair.text_encoder),
        cfg.encoder_pair.joint,
    )
    folder = Path(cfg.paths.latents) / dataset.name
    stores = {"audio": folder / cfg.encoder_pair.audio_name, "text": folder / cfg.encoder_pair.text_name}
    new = not (stores["audio"] / "rows.parquet").is_file()
    if new and pair.joint:
        self_test(pair, dataset, options)
    complete = extract_audio(dataset, pair.audio_encoder, stores["audio"], cfg.encoder_pair.hop_seconds, options)
    complete &= extract_text(dataset, pair.text_encoder, stores["text"], options)
    for kind, store in stores.items():
        state = "" if complete else ", unfinished until the other jobs are through"
        print(f"{kind} latents of {dataset.name}: {store}{state}")


@cli.main("extract_features/demo/extract_demo")
def main(cfg: DictConfig) -> None:
    extract(cfg)


if __name__ == "__main__":
    main()
