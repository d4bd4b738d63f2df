"""Train a GD-Retriever, then print how it retrieves.

    python train_ldm.py                                              # the demo, from nothing to a table
    python train_ldm.py --config config/train_ldm/model/encoder_pair/clap/unet/train_ldm_sample_pred_base.yaml

A killed run goes on from its last checkpoint; a finished one prints its table. Another config needs another model_name.
"""

import diffgar.interrupts  # noqa: F401  first: Ctrl-C is one line, also while the rest is imported

# isort: split
from pathlib import Path

import pytorch_lightning as pl
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

import eval_retrieval
import extract_dataset
from diffgar import checkpoints, cli
from diffgar.evaluation import reports
from diffgar.evaluation.queries import ValidationRetrieval
from diffgar.models.precision import choose_precision


@cli.main("train_ldm/model/encoder_pair/demo/unet/train_ldm_sample_pred_small", flags=("task", "model_name"))
def main(cfg: DictConfig) -> None:
    """Prepare (the demo alone), train what is not trained yet, evaluate."""
    folder = Path(cfg.paths.checkpoints) / cfg.model_name
    done = checkpoints.steps_of(folder)
    trained = done and done[-1] >= cfg.trainer.max_steps
    checkpoints.pin_teacher(folder, cfg)
    if pl.utilities.rank_zero_only.rank != 0:  # started by Lightning for one more device: it trains, no more
        return None if trained else train(cfg, folder, done)
    checkpoints.save_config(folder, cfg)
    if cfg.get("prepare"):
        extract_dataset.prepare(cfg)
        extract_dataset.extract(cfg)
    if trained:
        print(f"{folder} is trained; to train again choose another model_name, or delete that folder")
        if cfg.get("task") and (result := reports.known(cfg)):
            return reports.show(result)
    else:
        train(cfg, folder, done)
        print(f"checkpoints  {folder}")
    return eval_retrieval.evaluate(cfg) if cfg.get("task") else None


def train(cfg: DictConfig, folder: Path, done: list[int]) -> None:
    pl.seed_everything(cfg.seed, verbose=False)
    datamodule = instantiate(cfg.datamodule)
    module = checkpoints.with_teacher(instantiate(cfg.module, **datamodule.constants()), cfg, instantiate)
    module.validate = validation(cfg, datamodule, folder) if cfg.validation else None
    last = checkpoints.intact(folder, done[-1]) if done else None
    make_trainer(cfg).fit(module, datamodule=datamodule, ckpt_path=last)
    if cfg.publish and module.global_rank == 0:
        print(f"{cfg.publish}: {module.publish(cfg.publish)}")


def validation(cfg: DictConfig, datamodule, folder: Path):
    """Retrieval on the validation split while training, if there is one; its R@10 chooses the checkpoint."""
    if "validation" not in set(datamodule.audio.rows["split"]):
        return None
    sampler = instantiate(OmegaConf.merge(cfg, {"sampler": cfg.validation}).sampler)
    retrieve = ValidationRetrieval(datamodule.audio, datamodule.text, sampler, cfg.num_frames)

    def validate(module) -> dict[str, float]:
        metrics = retrieve(module)
        pl.utilities.rank_zero_only(checkpoints.record_score)(folder, module.global_step, metrics["R@10"])
        return metrics

    return validate


def make_trainer(cfg: DictConfig) -> pl.Trainer:
    precision = choose_precision(cfg.trainer.precision, cfg.trainer.accelerator)
    own = {"use_distributed_sampler": False, "logger": instantiate(cfg.logger)}  # batches are divided, steps are not
    return instantiate(cfg.trainer, precision=precision, callbacks=list(instantiate(cfg.callbacks).values()), **own)


if __name__ == "__main__":
    main()
