"""An experiment opened from a config: one model at a step, with its stores, task and sampler, checked together."""

from pathlib import Path

import pandas as pd
from omegaconf import DictConfig, OmegaConf

from diffgar import checkpoints
from diffgar.dataloading.datasets.qrels import read_qrels
from diffgar.dataloading.store.card import StoreError
from diffgar.dataloading.store.reader import Store
from diffgar.dataloading.store.text import TextStore
from diffgar.errors import InputError
from diffgar.evaluation.experiment import Experiment
from diffgar.evaluation.graded import graded_task
from diffgar.evaluation.queries import task_of, track_positions
from diffgar.evaluation.tasks import GRADED, RetrievalTask
from diffgar.identity import refuse_changed_tracks, refuse_other_latents, seen_tracks
from diffgar.jobs import first_checks
from diffgar.jobs.building import as_it_resolves, build, plain, read_config
from diffgar.jobs.once import Once
from diffgar.jobs.saved import load_model

PAIR = ("name", "audio_name", "text_name", "latent_dim", "text_dim", "joint")  # what of a pair its stores depend on


def open_experiment(cfg: DictConfig, model_name: str, once: Once | None = None) -> Experiment:
    """Everything that `cfg` (model_step, task, sampler, evaluation, paths) asks for, of one model.

    A baseline beside the model is taken at its best step, with the sampler that it was trained with. once: shared by
    all models and steps of a run, so that its stores and its task are opened once; they are read as they lie on disk.
    """
    once = once or Once()
    first_checks.of_queries(cfg)
    model_name = str(model_name)
    folder, asked = checkpoints.folder_of(cfg.paths.checkpoints, model_name), model_name == str(cfg.model_name)
    step = checkpoints.choose_step(folder, cfg.model_step if asked else "best")
    trained = read_config(folder / "config.yaml")
    pair = trained.encoder_pair
    audio, text = once(("stores", *map(pair.get, PAIR)), lambda: open_stores(cfg, cfg.task.dataset, pair))
    refuse_other_latents(folder, audio.card, text.card, pair.name)
    refuse_changed_tracks(folder, audio)
    task = once(("task", audio.folder, text.folder), lambda: open_task(cfg, audio, text))
    changes = {name: value for name, value in cfg.sampler.items() if asked and value is not None}
    sampler, as_trained = (build(OmegaConf.merge(trained, {"sampler": own}).sampler) for own in (changes, {}))
    model = load_model(folder, step)
    if model.sampled:
        sampler.start(model.noise_scheduler)  # refuses steps that do not meet, before anything is sampled
    hashes = audio.rows.get("_audio")
    here = track_positions(audio, task)
    seen = seen_tracks(
        folder, cfg.task.dataset, list(task.track_ids), None if hashes is None else list(hashes.iloc[here])
    )
    config, stores = as_it_resolves(trained), (audio.hold(memory="map"), text.hold(memory="map"))
    return Experiment(model_name, model, step, config, sampler, as_trained, *stores, task, seen)


def open_stores(cfg: DictConfig, dataset: str, pair: DictConfig) -> tuple[Store, TextStore]:
    """The stores of a dataset by an encoder pair; refused if missing, another pair's or damaged.

    Where the pair is not joint, the captions' embeddings lie in another space than the tracks: they are left out.
    """
    remedy = f"run extract_dataset.py data={dataset} encoder_pair={pair.name}"
    folder = Path(cfg.paths.latents) / dataset
    audio = Store(folder / pair.audio_name, remedy)
    audio.require(kind="audio", encoder=pair.audio_name, dim=pair.latent_dim)
    text = TextStore(folder / pair.text_name, remedy)
    text.require(kind="text", encoder=pair.text_name, dim=pair.text_dim)
    if not pair.joint:
        text.embeddings = None
    elif text.embeddings is None or len(text.embeddings) != len(text.rows):
        found = "is missing" if text.embeddings is None else f"has {len(text.embeddings)} of {len(text.rows)} rows"
        raise StoreError(
            f"{text.folder / 'embeddings.npy'} {found}, and the pair {pair.name} is joint: the teacher's row needs it; "
            f"delete {text.folder} and {remedy}"
        )
    elif text.embeddings.shape[1] != pair.latent_dim:
        raise StoreError(
            f"{text.folder / 'embeddings.npy'} has {text.embeddings.shape[1]} dimensions and the latents have "
            f"{pair.latent_dim}: they share no space, and the pair {pair.name} is not joint; set "
            "encoder_pair.joint=false"
        )
    return audio, text


def open_task(cfg: DictConfig, audio: Store, text: TextStore) -> RetrievalTask:
    """The task that a config names, on two stores."""
    asked = cfg.task
    where = plain(asked.get("where")) or {}
    if not isinstance(where, dict):
        raise InputError(f"task.where is {where!r}; give it columns and their values: +task.where.genre=rock")
    missing = cfg.evaluation.allow_missing
    if (asked.protocol == GRADED) != (asked.get("qrels") is not None):
        raise InputError(
            f"task {asked.name} has protocol {asked.protocol} and qrels {asked.get('qrels')}; a graded task has both "
            "task.protocol=graded and task.qrels, as config/task/graded.yaml does"
        )
    if asked.protocol == GRADED:
        judged = judgements(asked, audio, text)
        return graded_task(str(asked.name), audio, text, judged, asked.split, asked.relevant_from, where, missing)
    twins = asked.get("twins")
    return task_of(str(asked.name), audio, text, asked.split, asked.protocol, where, missing, twins)


def judgements(asked: DictConfig, audio: Store, text: TextStore) -> pd.DataFrame:
    """The judgements of `task.qrels`: a file, or a `_target_` that reads them or makes them of the split's tables."""
    made = read_qrels(asked.qrels) if isinstance(asked.qrels, str) else build(asked.qrels)
    if not callable(made):
        return made
    tracks, captions = (store.rows[store.rows["split"] == asked.split] for store in (audio, text))
    return made(tracks.assign(track_id=tracks["row_id"]), captions.assign(caption_id=captions["row_id"]))


def steps_to_evaluate(cfg: DictConfig) -> list[DictConfig]:
    """The config itself, or with `model_step: all` one for each step of the model."""
    if cfg.model_step != "all":
        return [cfg]
    folder = checkpoints.folder_of(cfg.paths.checkpoints, str(cfg.model_name))
    steps = checkpoints.steps_of(folder) or [checkpoints.choose_step(folder, "last")]  # which refuses a folder of none
    return [at_step(cfg, step) for step in steps]


def at_step(cfg: DictConfig, step: int) -> DictConfig:
    """The same config with another `model_step`."""
    changed = cfg.copy()
    changed.model_step = step
    return changed
