"""Captions to text states and audio files to latents, as a store would keep them."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from diffgar.dataloading.datasets.tracks import Track
from diffgar.extraction.batches import Options, WindowBatches, encode_tracks, framing_of
from diffgar.extraction.decode_ahead import Decoder
from diffgar.extraction.progress import Progress
from diffgar.jobs.opened import Opened
from diffgar.search.errors import SearchError
from diffgar.text_states import TextStates

BATCH = 64  # captions per forward pass
LONGEST = 10_000  # characters of a caption; encoders read a few hundred


def encode_captions(opened: Opened, captions: Sequence[str]) -> TextStates:
    """The text states of captions (Q), rounded to half precision as in the stores that models are trained on.

    Raises SearchError for a caption that is empty or beyond all length.
    """
    if not captions:
        raise SearchError("no caption is given; say what the music is like: 'a calm piano piece'")
    for caption in captions:
        refuse_no_caption(caption)
    parts = []
    with torch.inference_mode():
        for start in range(0, len(captions), BATCH):
            parts.append(opened.text_encoder.encode(list(captions[start : start + BATCH])).to("cpu"))
    length = max(part.mask.shape[1] for part in parts)
    padded = [part.padded_to(length) for part in parts]
    embeddings = [part.embedding for part in parts if part.embedding is not None]
    return TextStates(
        torch.cat([part.hidden_states for part in padded]).half(),
        torch.cat([part.mask for part in padded]),
        torch.cat(embeddings) if opened.joint and embeddings else None,
    )


def refuse_no_caption(caption: object) -> None:
    """Raises SearchError for what is no text, or too much of it."""
    if not isinstance(caption, str) or not caption.strip():
        raise SearchError(f"a caption is {caption!r}; say what the music is like: 'a calm piano piece'")
    if len(caption) > LONGEST:
        raise SearchError(
            f"a caption has {len(caption):,} characters, and at most {LONGEST:,} are taken; the encoder reads its "
            "first few hundred: say it in a sentence or two"
        )


def encode_audio(opened: Opened, paths: Sequence[str | Path], num_workers: int = 0) -> list[Tensor]:
    """The latents (T, D) float32 of audio files, rounded to half precision as in a store.

    num_workers: processes that decode ahead. Raises SearchError naming the first file that cannot be read, and why.
    """
    if not paths:
        raise SearchError("no audio file is given; name one or more")
    tracks = [Track(str(path), str(Path(path).expanduser()), "") for path in paths]
    options = Options(batch_size=min(64, 8 * len(tracks)), num_workers=num_workers, device=str(opened.device))
    framing = framing_of(opened.audio_encoder, opened.hop_seconds)
    batches = WindowBatches(options.forward(opened.audio_encoder.encode), framing, options)
    progress = Progress(0, max_failures=len(tracks))
    with Decoder(tracks, framing, num_workers) as decoder:
        encoded = encode_tracks(iter(decoder), tracks, batches, progress)
    for each in encoded:
        if each.error:
            raise SearchError(f"{each.track.path}: {each.error}")
    return [torch.from_numpy(each.latents).half().float() for each in encoded]
