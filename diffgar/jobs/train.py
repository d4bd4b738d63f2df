"""The job of train_ldm.py: prepare the demo where it is asked for, train what is not trained yet, evaluate."""

import logging
import shlex
import warnings
from functools import partial
from pathlib import Path

import pytorch_lightning as pl
from omegaconf import DictConfig, OmegaConf

from diffgar import checkpoints, identity, scores
from diffgar.dataloading.datamodule import LatentDataModule
from diffgar.evaluation.reports import show as reports
from diffgar.evaluation.validation import ValidationRetrieval
from diffgar.jobs import checks, experiment, extract, results, retrieval, saved
from diffgar.jobs.building import build
from diffgar.models.callbacks import StepBar, WholeFiles
from diffgar.models.precision import choose_precision

log = logging.getLogger(__name__)
NOT_FOR_US = (  # what Lightning and torch warn of, and is meant or told otherwise
    "You're resuming from a checkpoint that ended before the epoch ended",
    "The '.*' does not have many workers",
    "Total length of `list` across ranks is zero",
    "`isinstance.treespec, LeafSpec.` is deprecated",
)


def run(cfg: DictConfig) -> None:
    """Prepare (the demo alone), train what is not trained yet, evaluate."""
    cfg.model_name = checks.check_name(cfg.model_name)
    checks.check_values(cfg)
    checks.check_publish(cfg)
    if cfg.get("task"):
        experiment.check(cfg)
    folder = Path(cfg.paths.checkpoints) / cfg.model_name
    saved.pin_teacher(folder, cfg)
    if not checks.is_first_process():  # for one more device: it trains, no more
        if not is_finished(cfg, folder):
            train(cfg, folder)
        return
    makes_task = cfg.get("prepare") and cfg.get("task") and cfg.task.dataset == cfg.data.name
    if cfg.get("task") and not is_finished(cfg, folder):
        build(cfg.sampler)  # refuses values that none can have now, and not when all is trained
        if not makes_task:
            checks.check_task(cfg)
    with checkpoints.held(folder):
        saved.save_config(folder, cfg)
        if cfg.get("prepare"):
            extract.prepare(cfg)
            extract.extract(cfg)
        if trained := is_finished(cfg, folder):
            print(f"{folder} is trained; to train again choose another model_name, or delete that folder")
            if cfg.validation and checkpoints.unscored(folder):
                score_the_rest(folder, validation(cfg, build(cfg.datamodule)))
        else:
            if makes_task:
                checks.check_task(cfg)
            train(cfg, folder)
            print(f"checkpoints  {folder}")
    if cfg.get("task"):
        if trained and (written := results.known(cfg)):
            reports.show(*written)
        else:
            retrieval.evaluate(cfg)
    if not cfg.publish:  # what is published is an encoder pair, not a model that is searched with
        print(f'search it    python search.py "a slow piano piece" --model {shlex.quote(str(folder))}')


def is_finished(cfg: DictConfig, folder: Path) -> bool:
    """Whether the last step of a training has its checkpoint."""
    return bool(done := checkpoints.steps_of(folder)) and done[-1] >= cfg.trainer.max_steps


def train(cfg: DictConfig, folder: Path) -> None:
    """Train to the last step, from the last checkpoint where there is one."""
    for message in NOT_FOR_US:
        warnings.filterwarnings("ignore", message)
    datamodule = build(cfg.datamodule)
    retrieve = validation(cfg, datamodule) if cfg.validation else None
    if checks.is_first_process():
        if isinstance(datamodule, LatentDataModule):
            identify(cfg, folder, datamodule)
        score_the_rest(folder, retrieve)
    pl.seed_everything(cfg.seed, verbose=False)
    module = build(cfg.module, **datamodule.constants())
    if teacher := saved.teacher_of(cfg):
        module.learn_from(saved.load_model(*teacher))
    module.validate = retrieve and partial(validate, retrieve, folder)
    done = checkpoints.steps_of(folder)
    last = checkpoints.intact(folder, done[-1]) if done else None
    if last and isinstance(datamodule, LatentDataModule):
        datamodule.keep_frames(int(checkpoints.read_weights(last).get("frames", datamodule.num_frames)))
    make_trainer(cfg).fit(module, datamodule=datamodule, ckpt_path=last)
    if cfg.publish and module.global_rank == 0:
        print(f"{cfg.publish}: {module.publish(cfg.publish)}")


def identify(cfg: DictConfig, folder: Path, datamodule: LatentDataModule) -> None:
    """Keep what the model is trained on; refuse other latents than those that it, or its teacher, was trained on."""
    audio, text = datamodule.audio, datamodule.text
    teacher, _ = saved.teacher_of(cfg) or (None, None)
    begun = folder if checkpoints.steps_of(folder) else None
    for trained in filter(None, (begun, teacher)):
        pair = saved.read_config(trained / "config.yaml").encoder_pair.name
        identity.refuse_other_latents(trained, audio.card, text.card, pair)
        identity.refuse_changed_tracks(trained, audio)
    identity.save_identity(folder, audio, text, teacher=teacher)


def validation(cfg: DictConfig, datamodule: LatentDataModule) -> ValidationRetrieval | None:
    """Retrieval on the validation split, which chooses the checkpoint; None where there is no such split."""
    say = pl.utilities.rank_zero_only(log.warning)
    if len(datamodule.tracks("validation")) == 0:
        say("%s has no validation track with a caption: the best step is the last one", datamodule.audio.folder)
        return None
    sampler = build(OmegaConf.merge(cfg, {"sampler": cfg.validation}).sampler)
    retrieve = ValidationRetrieval(datamodule.audio, datamodule.text, sampler)
    for note in retrieve.notes:
        say(note)
    return retrieve


def validate(retrieve: ValidationRetrieval, folder: Path, module: pl.LightningModule) -> dict[str, float]:
    """The validation metrics of a step, which are kept beside its checkpoint."""
    metrics = retrieve(module)
    pl.utilities.rank_zero_only(scores.record_score)(folder, module.global_step, metrics)
    return metrics


def score_the_rest(folder: Path, retrieve: ValidationRetrieval | None) -> None:
    """Score the steps whose training was killed between the checkpoint and its validation."""
    for step in checkpoints.unscored(folder) if retrieve else ():
        scores.record_score(folder, step, retrieve(saved.load_model(folder, step)))


def make_trainer(cfg: DictConfig) -> pl.Trainer:
    """The Lightning Trainer of `cfg.trainer`, with the precision of this machine and the config's callbacks."""
    callbacks = [*build(cfg.callbacks).values()]
    if cfg.trainer.enable_progress_bar:
        callbacks.append(StepBar())
    return build(
        cfg.trainer,
        precision=choose_precision(cfg.trainer.precision, cfg.trainer.accelerator),
        callbacks=callbacks,
        plugins=[WholeFiles()],
        logger=build(cfg.logger),
        val_check_interval=cfg.trainer.val_check_interval * cfg.trainer.accumulate_grad_batches,  # it counts batches
        log_every_n_steps=min(cfg.trainer.log_every_n_steps, cfg.trainer.max_steps),
        use_distributed_sampler=False,  # batches are divided, steps are not
    )
