"""Whether the weights of a joint encoder pair look right.

Captions should lie nearest to their own tracks, and neither captions nor tracks all in one place.
"""

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from diffgar.dataloading.datasets.tracks import Dataset
from diffgar.dataloading.places import is_there
from diffgar.dataloading.store.card import Card
from diffgar.dataloading.store.moments import NOTHING_ELSE, common_mean
from diffgar.extraction.batches import Options, WindowBatches, encode_tracks, framing_of
from diffgar.extraction.decode_ahead import Decoder
from diffgar.extraction.progress import Progress
from diffgar.models.encoders.base import EncoderPair, pool
from diffgar.models.encoders.contract import PairError, kind_of

log = logging.getLogger(__name__)

LEAST = 8  # fewest tracks that show whether captions lie near to their own
ONE_PLACE = 0.98  # mean cosine: 0.73 at most in pairs that work, 0.999 in one that ranks at chance
MUCH_IN_COMMON = 3.0  # common mean over standard deviation from which raw cosines are all near 1


def self_test(
    encoder_pair: EncoderPair, dataset: Dataset, options: Options, num_tracks: int = 32
) -> dict[str, float] | None:
    """Cosine of captions with their own track and with the others', over a sample of a dataset.

    For a joint pair. Returns {"paired", "shuffled", "z"}, z being the mean difference over its standard error. Weights
    that were loaded into another architecture, or in part, score z near 0: warns below 3. None where fewer than LEAST
    captioned tracks can be read, which would show nothing. Raises PairError where unlike captions, or tracks, have a
    mean cosine above ONE_PLACE: then one encoder's vectors are all the same, and nothing can rank by them.
    """
    captions = dataset.captions.drop_duplicates("track_id").set_index("track_id")["caption"]
    tracks = [track for track in dataset if track.track_id in captions.index and is_there(track.path)]
    if len(tracks) < LEAST:
        return None
    tracks = [tracks[i] for i in np.unique(np.linspace(0, len(tracks) - 1, num_tracks).astype(int))]
    heads = [replace(t, end_s=min(t.end_s or np.inf, (t.start_s or 0) + 30)) for t in tracks]
    audio_encoder, device = encoder_pair.audio_encoder.eval().to(options.torch_device), options.torch_device
    framing = framing_of(audio_encoder, encoder_pair.audio_encoder.window_seconds)
    batches = WindowBatches(options.forward(audio_encoder.encode), framing, options)
    with (
        Decoder(heads, framing, options.num_workers) as decoder,
        Progress(len(heads), len(heads), name="checking the encoder pair") as progress,
    ):
        results = [r for r in encode_tracks(iter(decoder), heads, batches, progress) if not r.error]
    if len(results) < LEAST:
        return None
    audio = torch.stack([pool(torch.from_numpy(r.latents).float()) for r in results])  # (N, D)
    encode = replace(options, compile=False).forward(encoder_pair.text_encoder.eval().to(device).encode)
    said = [captions[r.track.track_id] for r in results]
    text = encode(said).embedding.float().cpu()  # (N, D)
    unlike = [said.index(caption) for caption in dict.fromkeys(said)]
    refuse_one_place(text[unlike], f"{len(unlike)} unlike captions", encoder_pair.text_encoder, encoder_pair.name)
    refuse_one_place(audio, f"{len(audio)} tracks", encoder_pair.audio_encoder, encoder_pair.name)
    similarity = text @ audio.T  # (N, N)
    return _paired_against_shuffled(similarity, encoder_pair.name)


def refuse_one_place(vectors: Tensor, what: str, encoder: nn.Module, pair: str) -> None:
    """Raises PairError if unit vectors (N, D) have a mean cosine above ONE_PLACE; fewer than LEAST show nothing.

    what, encoder, pair: how many of what the vectors stand for, what made them, and the pair's name, for the message.
    """
    n = len(vectors)
    if n < LEAST:
        return
    cosine = float((vectors.sum(dim=0).square().sum() - n) / (n * (n - 1)))
    if cosine > ONE_PLACE:
        raise PairError(
            f"encoder_pair {pair}: to {kind_of(encoder)}, with the weights that it has, {what} are all the same (mean "
            f"cosine {cosine:.3f}, at most {ONE_PLACE} expected), and nothing can rank by such vectors. Take other "
            "weights: some published ones are broken, such as laion/larger_clap_music, a conversion whose captions all "
            "lie in one place. If the weights are right, set encoder_pair.joint=false: models then rank about the mean"
        )


def warn_of_common_mean(card: Card, folder: Path) -> None:
    """Warn where latents differ little beside their common mean: their raw cosines are all near 1."""
    if (multiple := common_mean(card.mean, card.std)) > NOTHING_ELSE:
        log.warning("%s: the latents of all tracks are the same: no model can be trained on them", folder)
    elif multiple > MUCH_IN_COMMON:
        log.warning(
            "%s: the latents' common mean is %.1f times their standard deviation, so that raw cosines are all near 1; "
            "models of a pair that is not joint rank about that mean, and whatever else ranks them should too",
            folder,
            multiple,
        )


def _paired_against_shuffled(similarity: Tensor, name: str) -> dict[str, float]:
    n = len(similarity)
    paired = similarity.diagonal()
    shuffled = (similarity.sum(dim=1) - paired) / (n - 1)
    gain = paired - shuffled
    z = float(gain.mean() / (gain.std() / n**0.5).clamp(min=1e-9))
    if not z > 3:
        log.warning(
            "encoder_pair %s: captions lie no nearer to their own track than to others (z = %.1f over %d): "
            "its weights look broken: check that the checkpoint is the one its config names",
            name,
            z,
            n,
        )
    return {"paired": float(paired.mean()), "shuffled": float(shuffled.mean()), "z": z}
