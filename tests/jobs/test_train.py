"""The training job on small and odd stores, without the demo's collection."""

import json
import shutil

import pytest
import torch
from omegaconf import OmegaConf
from scripts import composed, places
from test_datamodule import make_stores

from diffgar import checkpoints, identity
from diffgar.jobs.train import run

OWN = "train_ldm/model/encoder_pair/own/mlp/train_ldm_sample_pred_small"
QUICK = [
    "encoder_pair.latent_dim=6",
    "encoder_pair.text_dim=5",
    "encoder_pair.text_name=toy_text",
    "encoder_pair.audio_name=toy_audio",
    "batch_size=8",
    "trainer.max_steps=3",
    "trainer.accelerator=cpu",
    "lr_scheduler.warmup_steps=1",
    "validation.num_steps=2",
    "sampler.num_steps=2",
    "sampler.num_samples=1",
    "evaluation.seeds=[0]",
    "evaluation.retrieval.num_resamples=10",
]


def as_it_is(audio, text):
    """No change of the stores."""


def train(folder, num_tracks, frames, change, *overrides):
    """Train and evaluate on the toy stores; returns the model's folder."""
    stores = make_stores(folder / "latents/toy", num_tracks, frames=frames)
    change(*stores)
    for store in stores:
        store.rows.to_parquet(store.folder / "rows.parquet")
        store.folder.rename(store.folder.with_name(f"toy_{store.folder.name}"))
    words = [*places(folder), f"paths.latents={folder / 'latents'}", "data.name=toy", "model_name=m", *overrides]
    run(composed(OWN, *QUICK, *words))
    return folder / "checkpoints/m"


def test_a_vector_a_track_trains_and_is_evaluated_on_its_own_data_with_one_frame(tmp_path):
    folder = train(tmp_path, 20, (1, 2), as_it_is, "task.split=validation")
    assert torch.load(folder / "step=3.ckpt", weights_only=True)["state_dict"]["frames"] == 1
    assert identity.seen_tracks(folder, "toy", ["t0", "t1"]) == 1
    result = json.loads(next((tmp_path / "results/m/toy").glob("retrieval-*.json")).read_text())
    assert result["protocol"]["pool_size"] == 7 and "gdr" in result["rows"]


def test_a_training_that_goes_on_keeps_its_frames_though_longer_tracks_have_come(tmp_path, caplog):
    every = ["~task", "num_frames=16", "trainer.val_check_interval=1"]
    folder = train(tmp_path, 20, (4, 6), as_it_is, *every)
    (folder / "step=3.ckpt").unlink()
    (tmp_path / "latents/toy").rename(tmp_path / "before")

    def longer(audio, text):
        shutil.copytree(tmp_path / "before/toy_text", text.folder, dirs_exist_ok=True)

    train(tmp_path, 20, (4, 12), longer, *every)
    assert torch.load(folder / "step=3.ckpt", weights_only=True)["state_dict"]["frames"] == 5
    assert "num_frames stays 5, with which the training began" in caplog.text


@pytest.mark.parametrize("num_tracks", [2, 5])
def test_a_handful_of_tracks_trains(tmp_path, num_tracks):
    assert checkpoints.steps_of(train(tmp_path, num_tracks, (1, 9), as_it_is, "~task")) == [3]


def test_validation_tracks_without_latents_are_left_out_and_said_to_be(tmp_path, caplog):
    def lose(audio, text):
        audio.rows.loc[0, ["row_id", "track_id", "split"]] = ["gone", "gone", "elsewhere"]

    folder = train(tmp_path, 20, (1, 9), lose, "~task")
    assert checkpoints.unscored(folder) == []
    assert "1 tracks have captions but no latents, the first 't0'; they are left out" in caplog.text


def test_a_student_takes_the_latents_of_its_teacher_alone(tmp_path):
    folder = train(tmp_path, 20, (1, 9), as_it_is, "~task")
    student = [*QUICK, "~task", "module=student", "module.teacher.model_name=m", "model_name=young", "data.name=toy"]
    student += ["module.num_calls=1", "objective.contrastive_weight=0", "validation.num_steps=1", *places(tmp_path)]
    cfg = composed(OWN, *student, f"paths.latents={tmp_path / 'latents'}")
    run(cfg.copy())
    known = folder / "latents.json"
    known.write_text(known.read_text().replace('"layer": "last"', '"layer": "first"'))
    cfg.model_name = "younger"
    with pytest.raises(checkpoints.CheckpointError, match="model m was trained on audio latents of layer 'first'"):
        run(cfg)


def test_a_sampler_that_cannot_be_is_refused_before_training(tmp_path):
    with pytest.raises(Exception, match="num_steps"):
        train(tmp_path, 20, (1, 9), as_it_is, "sampler.num_steps=0", "task.split=validation")
    assert not (tmp_path / "checkpoints").exists()


def test_weights_of_a_mix_reach_the_batches_from_the_config(tmp_path):
    def mix(audio, text):
        audio.rows["_dataset"] = ["large"] * 18 + ["small"] * 2

    folder = train(tmp_path, 20, (1, 9), mix, "~task", "+data.weights={large:1,small:3}")
    assert OmegaConf.load(folder / "config.yaml").datamodule.weights == {"large": 1, "small": 3}
    with pytest.raises(Exception, match="data.weights is {'large': 1, 'tiny': 3}"):
        run(
            composed(
                OWN,
                *QUICK,
                "data.name=toy",
                "~task",
                "+data.weights={large:1,tiny:3}",
                "model_name=n",
                *places(tmp_path),
                f"paths.latents={tmp_path / 'latents'}",
            )
        )
