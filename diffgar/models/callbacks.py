"""What training does beside its steps: it saves checkpoints, the last step's among them, and shows a bar of steps."""

from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Checkpoint, ProgressBar
from pytorch_lightning.plugins import TorchCheckpointIO
from tqdm import tqdm

from diffgar.checkpoints import CheckpointError, prune


class Checkpoints(Checkpoint):
    """Saves `<folder>/step=<n>.ckpt` every `every_n_steps` optimiser steps and at the last one, which is validated too.

    keep: `all`, `best`, `last` or a number; see `checkpoints.prune`.
    """

    def __init__(self, folder: str, every_n_steps: int, keep: str | int = "all"):
        self.folder, self.every_n_steps, self.keep = Path(folder), every_n_steps, keep
        self.saved = 0

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Note the step that a resumed training starts from, which has its checkpoint.

        Raises CheckpointError, in every process, where one starts from another step: its host has other checkpoints.
        """
        first = trainer.strategy.broadcast(trainer.global_step)
        if not trainer.strategy.reduce_boolean_decision(first == trainer.global_step):
            raise CheckpointError(
                f"{self.folder}: the processes of this training found other checkpoints each (step "
                f"{trainer.global_step} in process {trainer.global_rank}, step {first} in the first); put "
                "paths.checkpoints on a disk that all nodes share"
            )
        self.saved = trainer.global_step

    def on_train_batch_end(self, trainer: Trainer, module: LightningModule, *_: Any) -> None:
        """Save if this batch ended a step that is to be kept."""
        step, last = trainer.global_step, trainer.global_step == trainer.max_steps
        if step == self.saved or (step % self.every_n_steps and not last):
            return
        if last:
            trainer.should_stop = True  # so that Lightning validates, whatever the interval
        trainer.save_checkpoint(self.folder / f"step={step}.ckpt", weights_only=False)
        self.saved = step
        self._prune(trainer)

    def on_validation_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Delete the checkpoints that `keep` does not keep, now that the step has its score."""
        self._prune(trainer)

    def _prune(self, trainer: Trainer) -> None:
        if trainer.is_global_zero:
            prune(self.folder, self.keep)


class WholeFiles(TorchCheckpointIO):
    """Writes a checkpoint to a partial file and renames it when it is whole, so that none is ever cut short."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write the checkpoint. Raises CheckpointError if the disk is full or not writable; earlier ones are kept."""
        path = Path(path)
        partial = path.with_name(f"{path.name}.part")
        try:
            partial.parent.mkdir(parents=True, exist_ok=True)
            with partial.open("wb") as out:
                torch.save(checkpoint, out)
            partial.replace(path)
        except (OSError, RuntimeError) as error:
            partial.unlink(missing_ok=True)
            if isinstance(error, OSError):
                reason = error.strerror
            elif "enforce fail" in str(error):  # torch's words for a write cut short
                reason = "no space is left on its disk, or it was cut short"
            else:
                raise
            raise CheckpointError(
                f"{path} could not be written ({reason}); the checkpoints before it are whole: make room, or "
                "keep fewer with keep=best, and the same command goes on from the last of them"
            ) from error


class StepBar(ProgressBar):
    """A bar of optimiser steps up to max_steps, with the last loss and validation R@10."""

    def __init__(self) -> None:
        super().__init__()
        self.enabled = True
        self.bar: Any = None  # tqdm's, which has no types; made when training starts

    def disable(self) -> None:
        """Show no bar; Lightning calls this in every process but the first."""
        self.enabled = False

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        """Open the bar at the step that training starts from."""
        steps = {"total": trainer.max_steps, "initial": trainer.global_step}
        self.bar = tqdm(**steps, desc="training", unit="step", mininterval=0.5, disable=not self.enabled)

    def on_train_batch_end(self, trainer: Trainer, module: LightningModule, *_: Any) -> None:
        """Move the bar to the current optimiser step."""
        metrics = trainer.progress_bar_metrics
        shown = {name.split("/")[1]: metrics[name] for name in ("train/loss", "val/R@10") if name in metrics}
        self.bar.set_postfix(shown, refresh=False)
        self.bar.update(trainer.global_step - self.bar.n)

    def on_train_end(self, trainer: Trainer, module: LightningModule) -> None:
        """Close the bar."""
        self.bar.close()

    def on_exception(self, trainer: Trainer, module: LightningModule, exception: BaseException) -> None:
        """Close the bar, so that the error stands on a line of its own."""
        if self.bar is not None:
            self.bar.close()
