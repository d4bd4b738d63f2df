"""Two processes train what one trains with the same global batch, and leave behind what one leaves."""

import socket
from pathlib import Path

import pandas as pd
import pytest
import torch
from hydra import compose, initialize_config_dir
from pytorch_lightning import seed_everything
from scripts import ROOT, finish, places, start
from test_datamodule import make_stores

from diffgar.batch import Batch
from diffgar.jobs import train
from diffgar.models import baselines
from diffgar.models.backbones.layers import Dropout
from diffgar.models.baselines import ContrastiveHeads
from diffgar.models.diffusion.objective import CONTRASTIVE_LOSSES
from diffgar.text_states import TextStates

LEAF = "train_ldm/model/encoder_pair/demo/ablations/plain"  # dropout 0.3, contrastive_weight 0.3
TOY = [
    "model_name=demo",
    "keep=all",
    "~prepare",
    "encoder_pair.audio_name=toy_audio",
    "encoder_pair.text_name=toy_text",
    "encoder_pair.latent_dim=6",
    "encoder_pair.text_dim=6",
    "task.split=validation",
    "task.attributes=[]",
    "num_frames=4",
    "batch_size=8",
    "sampler.num_steps=2",
    "sampler.num_samples=1",
    "sampler.batch_size=3",  # seven validation captions: two batches for one process, one for the other
    "evaluation.seeds=[0]",
    "evaluation.retrieval.num_resamples=10",
    "trainer.max_steps=4",
    "trainer.val_check_interval=2",
    "trainer.log_every_n_steps=1",
    "trainer.accelerator=cpu",
    "lr_scheduler.warmup_steps=1",
    "+optimizer.eps=1e-4",  # with 1e-8, AdamW moves a weight without gradient by its rounding error's sign
]


WAYS = {"two devices": 1, "two nodes": 2}  # and the batches of a step


def started(way, command):
    """The command in two processes: of two devices, or one on each of two nodes that are started by hand."""
    if way == "two devices":
        return [start("train_ldm.py", *command, "trainer.devices=2")]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        first = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    return [start("train_ldm.py", *command, "trainer.num_nodes=2", **first, NODE_RANK=rank) for rank in "01"]


@pytest.fixture(scope="module", params=WAYS)
def runs(tmp_path_factory, request):
    """The folders of the same training in one process and by the command in two, and what each of these printed."""
    way = request.param
    folder = tmp_path_factory.mktemp("runs")
    make_stores(folder / "stores", text_dim=6)
    (folder / "latents/demo").mkdir(parents=True)
    for kind in ("audio", "text"):
        (folder / "stores" / kind).rename(folder / f"latents/demo/toy_{kind}")
    shared = [*TOY, f"paths.latents={folder / 'latents'}", f"trainer.accumulate_grad_batches={WAYS[way]}"]
    words = {name: [*shared, *places(folder / name)] for name in ("one", "two")}
    processes = started(way, ["--config", f"config/{LEAF}.yaml", *words["two"]])
    with initialize_config_dir(str(ROOT / "config"), version_base="1.3"):
        cfg = compose(LEAF, words["one"])
    checkpoints = Path(cfg.paths.checkpoints) / cfg.model_name
    checkpoints.mkdir(parents=True)
    try:
        train.train(cfg, checkpoints)
    finally:
        outputs = [finish(process) for process in processes]
    for process, output in zip(processes, outputs, strict=True):
        assert process.returncode == 0, output[-3000:]
    return folder / "one", folder / "two", outputs


def test_two_processes_log_the_losses_of_one(runs):
    one, two = (pd.read_csv(*(folder / "logs").rglob("metrics.csv")) for folder in runs[:2])
    assert {"train/loss", "train/contrastive", "val/loss_500", "val/R@10"} <= set(one)
    assert one["train/loss"].count() == 4
    assert (one["train/loss"] - two["train/loss"]).abs().max() < 1e-5
    pd.testing.assert_frame_equal(one, two, rtol=1e-5, atol=1e-5)  # the contrastive term alone is near 8


def test_two_processes_end_with_the_weights_of_one(runs):
    one, two = (
        torch.load(folder / "checkpoints/demo/step=4.ckpt", weights_only=True)["current_model_state"]
        for folder in runs[:2]
    )
    assert one.keys() == two.keys()
    assert max((one[name] - two[name]).abs().max() for name in one) < 1e-5


def test_the_first_process_alone_writes_and_evaluates(runs):
    _, two, outputs = runs
    assert sorted(path.name for path in (two / "checkpoints/demo").iterdir()) == [
        ".lock",
        "config.yaml",
        "latents.json",
        "scores.csv",
        "step=2.ckpt",
        "step=4.ckpt",
        "tracks.npz",
    ]
    assert list(pd.read_csv(two / "checkpoints/demo/scores.csv")["step"]) == [2, 4]
    for pattern in ("logs/**/metrics.csv", "results/**/*.json"):
        assert len(list(two.glob(pattern))) == 1
    output, *others = outputs
    assert output.count("\ngdr ") == output.count("checkpoints  ") == output.count("hardly tell steps apart") == 1
    assert "".join(others).strip() == ""


class Halves:
    """Stands for two processes in turn: `gather(rows)` puts the other's rows, as `everyone` has them, behind."""

    def __init__(self, everyone: list[torch.Tensor], rank: int):
        self.everyone, self.rank = iter(everyone), rank

    def __call__(self, rows: torch.Tensor) -> torch.Tensor:
        everyone = next(self.everyone)
        torch.testing.assert_close(everyone.chunk(2)[self.rank], rows)
        return everyone.roll(-self.rank * len(rows), dims=0)


@pytest.mark.parametrize("loss", CONTRASTIVE_LOSSES.values())
def test_halves_of_the_contrastive_loss_are_those_of_the_whole_batch(loss):
    queries, index = torch.randn(2, 6, 5, generator=torch.Generator().manual_seed(0))
    groups, seen = torch.tensor([0, 1, 2, 0, 3, 1]), []
    whole = loss(queries, index, gather=lambda rows: seen.append(rows) or rows, groups=groups)
    halves = [
        loss(queries[part], index[part], gather=Halves(seen, rank), groups=groups[part])
        for rank, part in enumerate((slice(0, 3), slice(3, 6)))
    ]
    torch.testing.assert_close(torch.cat(halves), whole)


def test_halves_of_contrastive_heads_average_to_the_gradient_of_the_whole_batch(monkeypatch):
    constants = {"latent_mean": torch.zeros(6), "latent_std": torch.ones(6), "null_text": torch.zeros(1, 5)}
    constants["num_frames"] = 4
    seed_everything(0, verbose=False)
    model = ContrastiveHeads(5, width=16, dim=8, dropout=0.0, **constants)
    model.log = lambda *args, **kwargs: None
    batch = Batch(
        latents=torch.randn(8, 4, 6),
        mask=torch.ones(8, 4, dtype=torch.bool),
        text=TextStates(torch.randn(8, 3, 5), torch.ones(8, 3, dtype=torch.bool)),
        track=torch.tensor([0, 1, 2, 3, 4, 0, 5, 3]),
        step=0,
    )

    def gradient(loss):
        return torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(model.parameters()), retain_graph=True)])

    seen = []
    monkeypatch.setattr(baselines, "gather_rows", lambda rows: seen.append(rows) or rows)
    whole = model.training_step(batch, 0)
    halves = []
    for rank in range(2):
        monkeypatch.setattr(baselines, "gather_rows", Halves(seen, rank))
        mine = slice(4 * rank, 4 * rank + 4)
        tensors = (batch.latents[mine], batch.mask[mine], batch.text.select(mine), batch.track[mine])
        halves.append(model.training_step(Batch(*tensors, step=0), 0))
    torch.testing.assert_close(gradient(sum(halves) / 2), gradient(whole), atol=1e-6, rtol=1e-4)


def test_dropout_of_one_process_is_that_of_torch():
    x = torch.randn(8, 4, 6)
    for training in (True, False):
        expected, found = torch.nn.Dropout(0.3).train(training), Dropout(0.3).train(training)
        results = []
        for layer in (expected, found):
            torch.manual_seed(0)
            results.append(layer(x))
        assert torch.equal(*results)
