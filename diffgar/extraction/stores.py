"""Tracks and captions → encoder pair → latent stores: batches, decoding ahead, resume.

What is computed depends on the shards alone, not on the number of jobs, workers or restarts: a job takes
whole shards, batches never cross shards, and the last batch of a shard is filled up to full size.
"""

import logging
from dataclasses import replace
from functools import partial
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from diffgar import threads
from diffgar.dataloading.audio import RESAMPLER
from diffgar.dataloading.datasets.tracks import Dataset
from diffgar.dataloading.store.card import Card
from diffgar.dataloading.store.keys import audio_keys, caption_keys, unchanged
from diffgar.dataloading.store.writer import StoreWriter
from diffgar.extraction.array_files import LatentsError
from diffgar.extraction.batches import Options, WindowBatches, encode_tracks, framing_of
from diffgar.extraction.decode_ahead import Decoder, audio_digest
from diffgar.extraction.given_latents import OwnLatents
from diffgar.extraction.hashes import hash_of, unchanged_latents
from diffgar.extraction.mixes import extract_parts, reads_parts
from diffgar.extraction.progress import Encoded, Progress
from diffgar.models.encoders.base import AudioEncoder, TextEncoder

log = logging.getLogger(__name__)

TEXT_SHARD = 1024  # captions per shard
MISSING = "is missing: not on disk"  # the reason that does not count as a failure under `missing: skip`
EMPTY = "<empty>"  # row_id of the empty caption, row 0 of every text store


def extract_audio(
    dataset: Dataset, audio_encoder: AudioEncoder, folder: Path | str, hop_seconds: float, options: Options
) -> bool:
    """Bring the audio store of a dataset up to date; True when complete, False while other jobs still have shards.

    It resumes where an earlier run stopped. Tracks in the store stay if their files and cuts are the same; new and
    changed ones are encoded. Tracks that the table no longer has stay in the store, in no split, unless
    `options.prune` drops them. The store's `skipped.csv` lists the tracks that were left out, with the reason. A mix
    has the stores of its datasets brought up to date, one by one.
    Raises DatasetError for audio that is not on disk (unless the dataset has `missing: skip`), ExtractionError beyond
    `max_failures`, StoreError if the folder holds another encoder's store.
    """
    tracks, folder = list(dataset), Path(folder)
    keys = audio_keys(tracks)
    plan = dataset.tracks.assign(row_id=dataset.tracks["track_id"], _key=keys)
    card = audio_card(dataset.name, audio_encoder, hop_seconds, options)
    if reads_parts(dataset, folder):
        own = partial(extract_audio, audio_encoder=audio_encoder, hop_seconds=hop_seconds, options=options)
        return extract_parts(dataset, folder, lambda part, store: own(part, folder=store), card, plan)
    same = unchanged(tracks, keys, folder, audio_digest)
    absent = {track.track_id for track in dataset.refuse_missing(same)}  # not on disk
    writer = StoreWriter(folder, card, plan, same, keep_gone=not options.prune)
    shards = {s: [tracks[row] for row in writer.rows_of(s)] for s in writer.pending(*options.job)}
    on_disk = {s: [track for track in shard if track.track_id not in absent] for s, shard in shards.items()}
    framing = framing_of(audio_encoder, hop_seconds)
    audio_encoder.eval().to(options.torch_device)
    batches = WindowBatches(options.forward(audio_encoder.encode), framing, options)
    progress = Progress(sum(map(len, shards.values())), options.max_failures, failures_of(writer))
    decoder = Decoder(sum(on_disk.values(), []), framing, options.num_workers)
    with threads.beside(decoder.num_workers), decoder, progress:
        pieces = iter(decoder)
        for shard, mine in shards.items():
            skipped = [Encoded(track, error=MISSING) for track in mine if track.track_id in absent]
            progress.bar.update(len(skipped))
            results = list(encode_tracks(pieces, on_disk[shard], batches, progress))
            _commit(writer, shard, results + skipped)
    return writer.finish()


def import_latents(
    dataset: Dataset, own: OwnLatents, folder: Path | str, hop_seconds: float | None, options: Options
) -> bool:
    """Bring the audio store of a dataset up to date from precomputed latents; its audio need not be there.

    It resumes, returns and raises as `extract_audio` does, and raises LatentsError if no latents have a track's name.
    """
    names, folder = own.names_of(dataset.tracks), Path(folder)
    tracks, ids = list(zip(dataset, names, strict=True)), dataset.tracks["track_id"]
    plan = dataset.tracks.assign(row_id=ids, _key=[own.key(name) for name in names])
    same = unchanged_latents(own, dict(zip(ids, names, strict=True)), dict(zip(ids, plan["_key"], strict=True)), folder)
    card = own.card(dataset.name, hop_seconds, options.shard_size)
    writer = StoreWriter(folder, card, plan, same, keep_gone=not options.prune)
    shards = {s: [tracks[row] for row in writer.rows_of(s)] for s in writer.pending(*options.job)}
    with Progress(sum(map(len, shards.values())), options.max_failures, failures_of(writer)) as progress:
        for shard, mine in shards.items():
            results = [Encoded(replace(track, path=own.place(name))) for track, name in mine]
            for result, (_, name) in zip(results, mine, strict=True):
                try:
                    latents = own.read(name)
                    result.parts.append(latents)
                    result.digest = hash_of(latents)
                except LatentsError as error:
                    result.error = str(error)
                progress.done(result)
            _commit(writer, shard, results)
    return writer.finish()


def failures_of(writer: StoreWriter) -> list[str]:
    """The tracks that earlier runs and other jobs left out, but not those that were not on disk."""
    return [f"{item['path']}: {item['reason']}" for item in writer.skipped() if item["reason"] != MISSING]


def _commit(writer: StoreWriter, shard: int, results: list[Encoded]) -> None:
    """Write a shard: the latents of the tracks that have them, the reason of the others."""
    kept = {result.track.track_id: result for result in results if not result.error}
    writer.write_shard(
        shard,
        {track_id: result.latents for track_id, result in kept.items()},
        [{"row_id": r.track.track_id, "path": r.track.path, "reason": r.error} for r in results if r.error],
        extra={track_id: _columns(result) for track_id, result in kept.items()},
    )


def _columns(result: Encoded) -> dict:
    """The columns of the store's table beside the plan's: seconds of audio, and a hash of what was encoded."""
    seconds = {"_seconds": round(result.seconds, 3)} if result.seconds else {}
    return seconds | ({"_audio": result.digest} if result.digest else {})


def extract_text(dataset: Dataset, text_encoder: TextEncoder, folder: Path | str, options: Options) -> bool:
    """Bring the text store of a dataset's captions up to date; row 0 is the empty caption. True when complete.

    Captions that the store holds stay if their text is the same. Captions longer than the encoder takes are cut,
    counted on the card and logged.
    """
    empty = {"row_id": EMPTY, "caption_id": EMPTY, "track_id": "", "caption": "", "split": ""}
    captions = dataset.captions.assign(row_id=dataset.captions["caption_id"])
    plan = pd.concat([pd.DataFrame([empty]), captions], ignore_index=True)
    plan["_key"] = caption_keys(plan["caption"])
    card = text_card(dataset.name, text_encoder, options)
    if reads_parts(dataset, Path(folder)):
        own = partial(extract_text, text_encoder=text_encoder, options=options)
        return extract_parts(dataset, Path(folder), lambda part, store: own(part, folder=store), card, plan)
    writer = StoreWriter(folder, card, plan)
    pending = writer.pending(*options.job)
    text_encoder.eval().to(options.torch_device)
    encode = replace(options, compile=False).forward(text_encoder.encode)  # it would compile anew for each length
    for shard in tqdm(pending, unit="shard", desc="captions", disable=not pending):
        rows = writer.rows_of(shard)
        frames, embeddings, truncated = {}, {}, 0
        for start in range(0, len(rows), options.batch_size):
            part = plan.iloc[rows[start : start + options.batch_size]]
            states = encode(list(part["caption"]))
            truncated += states.num_truncated
            for i, row_id in enumerate(part["row_id"]):
                frames[row_id] = states.hidden_states[i][states.mask[i]].float().cpu().numpy()  # (L_i, C)
                if states.embedding is not None:
                    embeddings[row_id] = states.embedding[i].float().cpu().numpy()
        writer.write_shard(shard, frames, embeddings=embeddings or None, counts={"num_truncated": truncated})
    complete = writer.finish()
    if complete and pending and (longer := (Card.load(writer.folder).notes or {}).get("num_truncated")):
        log.warning("%d captions are longer than %d tokens and were cut", longer, text_encoder.max_tokens)
    return complete


def audio_card(dataset: str, encoder: AudioEncoder, hop_seconds: float, options: Options) -> Card:
    """The card of an audio store: all that determines its latents."""
    return Card(
        kind="audio",
        dataset=dataset,
        encoder=encoder.name,
        checkpoint_hash=encoder.checkpoint_hash,
        frontend_version=encoder.frontend_version,
        layer=encoder.layer,
        dim=encoder.dim,
        sample_rate=encoder.sample_rate,
        window_seconds=encoder.window_seconds,
        hop_seconds=hop_seconds,
        resampler=RESAMPLER,
        shard_size=options.shard_size,
        short_padding=encoder.short_padding,
        precision=options.precision,
    )


def text_card(dataset: str, encoder: TextEncoder, options: Options) -> Card:
    """The card of a text store: all that determines its token states."""
    return Card(
        kind="text",
        dataset=dataset,
        encoder=encoder.name,
        checkpoint_hash=encoder.checkpoint_hash,
        frontend_version=encoder.frontend_version,
        layer=encoder.layer,
        dim=encoder.dim,
        max_tokens=encoder.max_tokens,
        precision=options.precision,
        shard_size=TEXT_SHARD,
    )
