"""The student lands in one step where its teacher lands in several, and then needs it no more."""

from copy import deepcopy

import pytest
import pytorch_lightning as pl
import torch
from omegaconf import OmegaConf
from pytorch_lightning.callbacks import ModelCheckpoint
from test_datamodule import make_stores
from trained import GUIDANCES, PUBLISHED, SOLVER, a_batch_and_draws, losses_of, make, scrambled_unet

from diffgar import checkpoints, scores
from diffgar.dataloading.datamodule import LatentDataModule
from diffgar.errors import InputError
from diffgar.jobs import saved
from diffgar.models.backbones.mlp import MLP
from diffgar.models.diffusion.ddim import level_at
from diffgar.models.diffusion.formulas import PREDICTION_TYPES, diffusion_target
from diffgar.models.diffusion.objective import Objective
from diffgar.models.diffusion.sampling import Sampler, sample
from diffgar.models.distill import Student
from diffgar.models.ema import WarmedUpEMA
from diffgar.models.ldm import LatentDiffusion


@pytest.fixture(scope="module")
def datamodule(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stores")
    make_stores(folder)
    return LatentDataModule(str(folder / "audio"), str(folder / "text"), num_frames=4, batch_size=4)


def teacher_and_student(datamodule, prediction_type="sample", schedule=PUBLISHED, **options):
    teacher = make(LatentDiffusion, datamodule, prediction_type, schedule)
    student = make(Student, datamodule, prediction_type, schedule, **options)
    student.learn_from(teacher)
    return teacher, student


@pytest.mark.parametrize("prediction_type", PREDICTION_TYPES)
@pytest.mark.parametrize("num_calls", [1, 2, 4])
def test_a_teacher_is_its_own_student_without_guidance_and_with_as_many_steps(datamodule, prediction_type, num_calls):
    _, student = teacher_and_student(
        datamodule, prediction_type, num_calls=num_calls, teacher_steps=num_calls, guidance_scale=1.0
    )
    losses = losses_of(student.eval(), *a_batch_and_draws(datamodule, student)).total
    assert losses.max() < 1e-6  # epsilon divides by a signal of 0.01 at the last timestep


@pytest.mark.parametrize("prediction_type", PREDICTION_TYPES)
@pytest.mark.parametrize("position", [0, 1])
@pytest.mark.parametrize("options", GUIDANCES, ids=["plain", "all"])
def test_one_step_to_the_target_lands_where_the_guided_teacher_lands(datamodule, prediction_type, position, options):
    teacher, student = teacher_and_student(datamodule, prediction_type, num_calls=2, teacher_steps=8, **options)
    solver, fine = Sampler(SOLVER, 2).start(teacher.noise_scheduler), Sampler(SOLVER, 8, guidance_scale=3.0, **options)
    batch, _ = a_batch_and_draws(datamodule, student)
    text, mask, timestep = batch.text, batch.mask, solver.timesteps[position]
    noisy_latents = torch.randn(4, 4, 6, generator=torch.Generator().manual_seed(1))

    sub_steps = fine.start(teacher.noise_scheduler).timesteps[4 * position : 4 * position + 4]
    with torch.no_grad():
        denoise = fine.denoiser(teacher.backbone, teacher.noise_scheduler, text, teacher.null_states(4), mask=mask)
        landed = sample(denoise, fine.start(teacher.noise_scheduler), noisy_latents, sub_steps)

    timesteps = timestep.repeat(4)
    target = student.landing(noisy_latents, timesteps, text, mask)
    signal, sigma = level_at(student.noise_scheduler, timesteps)
    noise = (noisy_latents - signal * target) / sigma
    prediction = diffusion_target(prediction_type, target, noise, signal, sigma)
    step = solver.step(prediction, timestep, noisy_latents).prev_sample
    assert torch.allclose(step, landed, atol=1e-5, rtol=1e-5)


def test_samples_at_different_levels_have_the_target_they_have_alone(datamodule):
    _, student = teacher_and_student(datamodule, num_calls=4, teacher_steps=8)
    batch, _ = a_batch_and_draws(datamodule, student)
    noisy_latents, timesteps = torch.randn(4, 4, 6), torch.tensor([999, 749, 499, 249])

    def target(i):
        return student.landing(noisy_latents[i], timesteps[i], batch.text.select(i), batch.mask[i])

    alone = torch.cat([target(slice(i, i + 1)) for i in range(4)])
    assert torch.allclose(target(slice(None)), alone, atol=1e-5)


@pytest.mark.parametrize("prediction_type", PREDICTION_TYPES)
def test_the_loss_falls_on_one_batch(datamodule, prediction_type):
    _, student = teacher_and_student(datamodule, prediction_type, guidance_scale=2.0)
    batch, draws = a_batch_and_draws(datamodule, student)
    optimizer, losses = torch.optim.AdamW(student.parameters(), lr=2e-3), []
    for _ in range(25):
        loss = losses_of(student, batch, draws).total.mean()
        optimizer.zero_grad(), loss.backward(), optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def fit(datamodule, out, stop_at, resume=None):
    _, student = teacher_and_student(datamodule, num_calls=2, teacher_steps=4)
    checkpoint = ModelCheckpoint(
        out, "step={step}", auto_insert_metric_name=False, every_n_train_steps=5, save_top_k=-1
    )
    trainer = pl.Trainer(
        max_steps=stop_at,
        callbacks=[checkpoint, WarmedUpEMA(decay=0.9)],
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        val_check_interval=5,
        check_val_every_n_epoch=None,
    )
    trainer.fit(student, datamodule=datamodule, ckpt_path=resume)
    assert {f"val/loss_{level}" for level in (499, 999)} <= trainer.callback_metrics.keys()
    return student


def test_a_resumed_student_ends_with_the_weights_of_an_uninterrupted_one_and_none_of_its_teachers(datamodule, tmp_path):
    start = {name: x.clone() for name, x in teacher_and_student(datamodule)[0].state_dict().items()}
    student = fit(datamodule, tmp_path / "whole", 10)
    fit(datamodule, tmp_path / "cut", 5)
    fit(datamodule, tmp_path / "cut", 10, resume=tmp_path / "cut" / "step=5.ckpt")
    whole, cut = (torch.load(tmp_path / name / "step=10.ckpt", weights_only=True) for name in ("whole", "cut"))
    for part in ("state_dict", "current_model_state"):
        assert whole[part].keys() == cut[part].keys() == start.keys()
        assert all(torch.equal(whole[part][key], cut[part][key]) for key in start)
    assert not torch.equal(whole["state_dict"]["backbone.head.gain.weight"], start["backbone.head.gain.weight"])
    teacher = student.teacher.state_dict()
    assert all(torch.equal(teacher[name], start[name]) for name in start)


def test_a_copy_of_a_student_shares_its_teacher_and_no_state_dict_holds_it(datamodule):
    teacher, student = teacher_and_student(datamodule)
    copy = deepcopy(student)
    assert copy.teacher is student.teacher is teacher and copy.backbone is not student.backbone
    assert student.state_dict().keys() == teacher.state_dict().keys()


def save_student(datamodule, root):
    """A student's folder as training leaves it, without its teacher's."""
    _, student = teacher_and_student(datamodule)
    config = OmegaConf.create(
        {
            "paths": {"checkpoints": str(root)},
            "module": {"num_calls": 2, "teacher": {"model_name": "gone", "step": "best"}},
        }
    )
    (root / "mine").mkdir(parents=True)
    OmegaConf.save(config, root / "mine" / "config.yaml")
    torch.save({"state_dict": student.state_dict()}, root / "mine" / "step=5.ckpt")
    return student, config


def test_a_student_is_loaded_and_generates_without_its_teacher(datamodule, tmp_path, monkeypatch):
    student, _ = save_student(datamodule, tmp_path)

    def build(module, **sizes):
        parts = {"backbone": scrambled_unet(), "noise_scheduler": student.noise_scheduler, "objective": Objective()}
        return Student(**parts, **module, **sizes)

    monkeypatch.setattr(saved, "build", build)
    loaded = saved.load_model(tmp_path / "mine", 5).cpu()
    captions = datamodule.text.padded(torch.arange(1, 4).numpy())

    def generate(model):
        generators = [torch.Generator().manual_seed(row) for row in range(3)]
        return model.eval().generate(Sampler(SOLVER, num_steps=2), captions, generators, num_frames=4)

    assert torch.equal(generate(loaded), generate(student))


def test_a_teacher_that_is_not_there_is_refused_before_anything_is_written(datamodule, tmp_path):
    _, config = save_student(datamodule, tmp_path)
    refusal = "no model 'gone' in .*; models there: mine; train it with train_ldm.py model_name=gone"
    with pytest.raises(checkpoints.CheckpointError, match=refusal):
        saved.pin_teacher(tmp_path / "new", config)
    assert not (tmp_path / "new").exists()
    with pytest.raises(checkpoints.CheckpointError, match=refusal):
        saved.teacher_of(config)
    with pytest.raises(ValueError, match="hand it to learn_from, or set module.teacher.model_name"):
        make(Student, datamodule).on_fit_start()


def test_the_best_step_of_a_teacher_is_the_one_it_was_when_the_student_began(tmp_path):
    (tmp_path / "old").mkdir()
    (tmp_path / "old/config.yaml").touch()
    for step in (100, 200):
        (tmp_path / f"old/step={step}.ckpt").touch()
        scores.record_score(tmp_path / "old", step, {"R@10": 50.0 - step / 100})
    teacher = {"teacher": {"model_name": "old", "step": "best"}}
    config = OmegaConf.create({"paths": {"checkpoints": str(tmp_path)}, "module": teacher})
    resumed = config.copy()
    saved.pin_teacher(tmp_path / "young", config)
    assert config.module.teacher.step == 100
    saved.save_config(tmp_path / "young", config)
    (tmp_path / "young/step=50.ckpt").touch()
    scores.record_score(tmp_path / "old", 200, {"R@10": 60.0})  # trained on, the teacher is better at another step
    saved.pin_teacher(tmp_path / "young", resumed)
    assert resumed.module.teacher.step == 100
    with pytest.raises(checkpoints.CheckpointError, match="teacher.step: 100 there, 200 here"):
        resumed.module.teacher.step = 200
        saved.save_config(tmp_path / "young", resumed)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prediction_type": "epsilon"}, "the teacher predicts epsilon, the student sample; use objective=epsilon"),
        ({"schedule": PUBLISHED | {"beta_end": 0.02}}, "the teacher's noise schedule is another"),
    ],
)
def test_a_teacher_of_another_kind_is_refused(datamodule, changes, message):
    with pytest.raises(ValueError, match=message):
        make(Student, datamodule).learn_from(make(LatentDiffusion, datamodule, **changes))


def test_a_teacher_with_another_backbone_is_refused(datamodule):
    teacher = make(LatentDiffusion, datamodule)
    teacher.backbone = MLP(6, 5, width=16, depth=1)
    with pytest.raises(ValueError, match="choose the teacher's encoder_pair and backbone"):
        make(Student, datamodule).learn_from(teacher)


def test_a_student_of_more_frames_than_its_teacher_is_refused_and_one_of_fewer_keeps_its_own(datamodule):
    teacher, student = make(LatentDiffusion, datamodule), make(Student, datamodule)
    teacher.frames.fill_(3)
    with pytest.raises(InputError, match="trained on at most 3 frames, the student on 4; use num_frames=3"):
        student.learn_from(teacher)
    teacher.frames.fill_(9)
    student.learn_from(teacher)
    assert student.num_frames == 4


def test_steps_that_do_not_meet_and_steps_not_distilled_for_are_refused(datamodule):
    with pytest.raises(ValueError, match="teacher_steps 8 and num_calls 3: the steps must divide 1000"):
        make(Student, datamodule, num_calls=3)
    with pytest.raises(InputError, match="num_calls is 0"):
        make(Student, datamodule, num_calls=0)
    with pytest.raises(InputError, match="guidance_scale is 'high'"):
        make(Student, datamodule, guidance_scale="high")
    with pytest.raises(ValueError, match="distilled into 2 calls cannot take 50 steps; use sampler.num_steps=2"):
        make(Student, datamodule).generate(Sampler(SOLVER, num_steps=50), None, [], 4)
