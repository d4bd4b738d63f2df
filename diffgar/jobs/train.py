"""The job of train_ldm.py: prepare the demo's data if the config says so, train unless it is trained, evaluate."""

from collections.abc import Sequence
from pathlib import Path

import pytorch_lightning as pl
from omegaconf import DictConfig
from pytorch_lightning.utilities import rank_zero_only

from diffgar import checkpoints, identity
from diffgar.dataloading.datamodule import LatentDataModule
from diffgar.evaluation.reports import show as reports
from diffgar.jobs import checks, extract, first_checks, next_commands, plan, results, retrieval, saved
from diffgar.jobs.building import build, read_config
from diffgar.jobs.quiet import quiet_lightning
from diffgar.jobs.validation import ValidationScores, score_the_rest, validation_retrieval
from diffgar.models.callbacks import StepBar, WholeFiles
from diffgar.models.precision import choose_precision


def run(cfg: DictConfig) -> None:
    """Prepare the data (of the demo only), train unless it is trained, evaluate, and print the next commands."""
    folder = check(cfg)
    if not checks.is_first_process():  # the processes of further devices only train
        if not first_checks.is_finished(cfg, folder):
            train(cfg, folder)
        return
    # The demo's tables exist only once they are prepared, so its task is checked after that.
    makes_task = cfg.get("prepare") and cfg.get("task") and cfg.task.dataset == cfg.data.name
    if cfg.get("task") and not first_checks.is_finished(cfg, folder):
        build(cfg.sampler)  # refuses bad values before the training, not after it
        if not makes_task:
            checks.check_task(cfg)
    with checkpoints.held(folder):
        saved.save_config(folder, cfg)
        finished = first_checks.is_finished(cfg, folder)
        if not finished:
            plan.show_training(cfg, folder)
        if cfg.get("prepare"):
            extract.prepare(cfg)
            extract.extract(cfg)
        if finished:
            go_over(cfg, folder)
        else:
            if makes_task:
                checks.check_task(cfg)
            train(cfg, folder)
            print(f"checkpoints  {folder}")
    if cfg.get("task"):
        evaluate(cfg, finished)
    next_commands.show([*next_commands.after_training(cfg), *next_commands.searching(cfg)])


def check(cfg: DictConfig) -> Path:
    """The model's folder. Raises InputError for values of the config with which no training can run or end."""
    first_checks.of_training(cfg)
    checks.check_publish(cfg)
    folder = Path(cfg.paths.checkpoints) / cfg.model_name
    saved.pin_teacher(folder, cfg)
    return folder


def go_over(cfg: DictConfig, folder: Path) -> None:
    """Print that the training is finished, and validate the checkpoints that have no score because of a kill."""
    print(f"{folder} is trained; to train again choose another model_name, or delete that folder")
    unscored = cfg.validation and checkpoints.unscored(folder)
    if unscored and (retrieve := validation_retrieval(cfg, build(cfg.datamodule))):
        score_the_rest(folder, retrieve)


def evaluate(cfg: DictConfig, finished: bool) -> None:
    """Evaluate on the task. If the training was finished before and the result is on disk, only show it."""
    if finished and (written := results.known(cfg)):
        reports.show(*written)
    else:
        retrieval.evaluate(cfg)


def train(cfg: DictConfig, folder: Path) -> None:
    """Train to the last step, from the last checkpoint where there is one."""
    quiet_lightning()
    silence_further_processes()
    datamodule = build(cfg.datamodule)
    retrieve = validation_retrieval(cfg, datamodule) if cfg.validation else None
    if checks.is_first_process():
        if isinstance(datamodule, LatentDataModule):
            identify(cfg, folder, datamodule)
        if retrieve:
            score_the_rest(folder, retrieve)
    pl.seed_everything(cfg.seed, verbose=False)
    module = build(cfg.module, **datamodule.constants())
    if teacher := saved.teacher_of(cfg):
        module.learn_from(saved.load_model(*teacher))
    done = checkpoints.steps_of(folder)
    last = checkpoints.intact(folder, done[-1]) if done else None
    if last and isinstance(datamodule, LatentDataModule):
        datamodule.keep_frames(int(checkpoints.read_weights(last).get("frames", datamodule.num_frames)))
    watch = [ValidationScores(retrieve, folder)] if retrieve else []
    make_trainer(cfg, watch).fit(module, datamodule=datamodule, ckpt_path=last)
    if cfg.publish and module.global_rank == 0:
        print(f"{cfg.publish}: {module.publish(cfg.publish)}")


def silence_further_processes() -> None:
    """Have one process of all nodes tell what Lightning's `rank_zero_only` lets one tell, also before the training.

    Of nodes that are started by hand (NODE_RANK), Lightning holds every node's first process for the first of all until
    there is a Trainer, which sets the true rank.
    """
    rank_zero_only.rank = 0 if checks.is_first_process() else 1  # type: ignore[attr-defined]  # as Lightning does


def identify(cfg: DictConfig, folder: Path, datamodule: LatentDataModule) -> None:
    """Save the identity of the latents; refuse others than those of the training's start and of its teacher."""
    audio, text = datamodule.audio, datamodule.text
    teacher, _ = saved.teacher_of(cfg) or (None, None)
    begun = folder if checkpoints.steps_of(folder) else None
    for trained in filter(None, (begun, teacher)):
        pair = read_config(trained / "config.yaml").encoder_pair.name
        identity.refuse_other_latents(trained, audio.card, text.card, pair)
        identity.refuse_changed_tracks(trained, audio)
    identity.save_identity(folder, audio, text, teacher=teacher)


def make_trainer(cfg: DictConfig, watch: Sequence[pl.Callback] = ()) -> pl.Trainer:
    """The Lightning Trainer of `cfg.trainer`, with the precision of this machine, the config's callbacks, then `watch`.

    The summary of the model is printed with `+trainer.enable_model_summary=true`.
    """
    callbacks = [*build(cfg.callbacks).values(), *watch]
    if cfg.trainer.enable_progress_bar:
        callbacks.append(StepBar())
    return build(
        cfg.trainer,
        precision=choose_precision(cfg.trainer.precision, cfg.trainer.accelerator),
        callbacks=callbacks,
        plugins=[WholeFiles()],
        logger=build(cfg.logger),
        enable_model_summary=cfg.trainer.get("enable_model_summary", False),
        val_check_interval=cfg.trainer.val_check_interval * cfg.trainer.accumulate_grad_batches,  # in batches
        log_every_n_steps=min(cfg.trainer.log_every_n_steps, cfg.trainer.max_steps),
        use_distributed_sampler=False,  # each process takes its part of every batch
    )
