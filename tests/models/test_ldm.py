"""Training: it learns, it resumes to the very same weights, and its checkpoint holds what it should."""

from dataclasses import replace
from functools import partial

import pytest
import pytorch_lightning as pl
import torch
from diffusers import DDIMScheduler, DDPMScheduler
from pytorch_lightning.callbacks import ModelCheckpoint
from test_datamodule import make_stores
from trained import losses_of

from diffgar import checkpoints
from diffgar.dataloading.datamodule import LatentDataModule
from diffgar.errors import InputError
from diffgar.models.backbones.unet import UNet
from diffgar.models.diffusion.objective import Objective
from diffgar.models.diffusion.sampling import Sampler
from diffgar.models.ema import WarmedUpEMA
from diffgar.models.ldm import LatentDiffusion, warmup_cosine
from diffgar.models.precision import choose_precision


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stores")
    make_stores(folder)
    return folder


def make_model(datamodule, seed=0, max_steps=20, backbone=None, objective=None, **options):
    torch.manual_seed(seed)
    backbone = backbone or UNet(
        6, 5, channels=[16, 16], factors=[2, 2], num_blocks=[1, 1], attentions=[0, 1], num_heads=2, dropout=0.2
    )
    schedule = DDPMScheduler(beta_schedule="scaled_linear", prediction_type="sample", clip_sample=False)
    return LatentDiffusion(
        backbone,
        schedule,
        objective or Objective(),
        **datamodule.constants(),
        **options,
        optimizer=partial(torch.optim.AdamW, lr=3e-3),
        lr_scheduler=partial(warmup_cosine, warmup_steps=2, max_steps=max_steps, min_lr=0),
    )


def make_datamodule(folder):
    return LatentDataModule(str(folder / "audio"), str(folder / "text"), num_frames=4, batch_size=4)


def fit(folder, out, max_steps, resume=None, stop_at=None, **options):
    datamodule = make_datamodule(folder)
    model = make_model(datamodule, max_steps=max_steps)
    checkpoint = ModelCheckpoint(
        out,
        "step={step}",
        auto_insert_metric_name=False,
        every_n_train_steps=5,
        save_top_k=-1,
        enable_version_counter=False,
    )
    trainer = pl.Trainer(
        max_steps=stop_at or max_steps,
        callbacks=[checkpoint, WarmedUpEMA(decay=0.9)],
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        val_check_interval=5,
        check_val_every_n_epoch=None,
        gradient_clip_val=1.0,
        **options,
    )
    trainer.fit(model, datamodule=datamodule, ckpt_path=resume)
    return model


def test_a_resumed_run_ends_with_the_weights_of_an_uninterrupted_one(folder, tmp_path):
    fit(folder, tmp_path / "whole", 20)
    fit(folder, tmp_path / "cut", 20, stop_at=10)
    fit(folder, tmp_path / "cut", 20, resume=tmp_path / "cut" / "step=10.ckpt")
    whole, cut = (torch.load(tmp_path / name / "step=20.ckpt", weights_only=True) for name in ("whole", "cut"))
    assert whole["global_step"] == cut["global_step"] == 20
    for part in ("state_dict", "current_model_state"):
        assert whole[part].keys() == cut[part].keys()
        assert all(torch.equal(whole[part][key], cut[part][key]) for key in whole[part])


def test_a_checkpoint_holds_the_normalisation_the_length_and_no_encoder(folder, tmp_path):
    fit(folder, tmp_path, 5)
    weights = torch.load(tmp_path / "step=5.ckpt", weights_only=True)["state_dict"]
    others = [key for key in weights if not key.startswith("backbone.")]
    assert sorted(others) == ["frames", "latent_mean", "latent_std", "null_text"]
    assert weights["frames"] == 4 and weights["frames"].dtype == torch.int64


def test_the_loss_falls_when_one_batch_is_all_there_is(folder):
    datamodule = make_datamodule(folder)
    model = make_model(datamodule)
    trainer = pl.Trainer(accelerator="cpu", logger=False, max_steps=1, enable_checkpointing=False)
    datamodule.trainer = model.trainer = trainer
    batch = model.normalised(datamodule.batches("train")[0])
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(60):
        loss = losses_of(model, batch, model.draws(batch)).total.mean()
        optimizer.zero_grad(), loss.backward(), optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_generated_latents_come_back_in_the_encoders_scale_and_do_not_depend_on_the_batch(folder):
    datamodule = make_datamodule(folder)
    model = make_model(datamodule).eval()
    solver = partial(DDIMScheduler.from_config, timestep_spacing="trailing", set_alpha_to_one=True)
    sampler = Sampler(solver, num_steps=4, guidance_scale=2.0)
    text = datamodule.text.padded(torch.arange(1, 5).numpy())

    def generate(rows):
        generators = [torch.Generator().manual_seed(row) for row in rows]
        return model.generate(sampler, text.select(rows), generators, num_frames=4)

    together, alone = generate([0, 1, 2, 3]), torch.cat([generate([row]) for row in range(4)])
    assert torch.allclose(together, alone, atol=1e-5)
    assert torch.allclose(model.denormalise(model.normalise(together)), together, atol=1e-5)


def test_as_many_frames_are_generated_as_were_trained_on_and_no_more(folder):
    datamodule = make_datamodule(folder)
    model, text = make_model(datamodule).eval(), datamodule.text.padded(torch.arange(1, 3).numpy())
    solver = partial(DDIMScheduler.from_config, timestep_spacing="trailing", set_alpha_to_one=True)

    def generate(*num_frames):
        return model.generate(Sampler(solver, num_steps=2), text, [torch.Generator()] * 2, *num_frames)

    assert generate().shape[1] == model.num_frames == 4
    assert generate(3).shape[1] == 3
    for asked in (5, 64, 0):
        with pytest.raises(InputError, match=f"asked for {asked} frames, trained on at most 4"):
            generate(asked)


def test_latents_of_a_pair_that_is_not_joint_are_ranked_about_the_train_mean(folder):
    datamodule = make_datamodule(folder)
    apart, joint = make_model(datamodule, joint=False), make_model(datamodule)
    assert torch.equal(apart.centre, apart.latent_mean) and not joint.centre.any()
    latents = torch.randn(2, 4, 6)
    torch.testing.assert_close(joint.as_ranked(joint.normalise(latents)), latents)
    torch.testing.assert_close(apart.as_ranked(apart.normalise(latents)), latents - apart.latent_mean)


def test_the_contrastive_term_does_not_hear_a_mean_that_all_latents_share(folder):
    """Of a pair that is not joint: its latents plus a hundred times their length in common train the same."""
    datamodule, losses = make_datamodule(folder), []
    objective = Objective(contrastive_weight=1.0, contrastive_loss="info_nce")
    datamodule.trainer = pl.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    batch = datamodule.batches("train")[0]
    for shift in (0.0, 100.0):
        model = make_model(datamodule, joint=False, objective=objective)
        model.latent_mean += shift
        model.trainer = datamodule.trainer
        shifted = model.normalised(replace(batch, latents=batch.latents.float() + shift))
        losses.append(losses_of(model.eval(), shifted, model.draws(batch)).contrastive)
    torch.testing.assert_close(*losses, atol=1e-3, rtol=1e-3)


def test_a_backbone_that_does_not_keep_the_contract_is_refused_before_training(folder):
    with pytest.raises(InputError, match="the backbone Linear has no prepare_text"):
        make_model(make_datamodule(folder), backbone=torch.nn.Linear(6, 6))


def test_an_objective_of_another_prediction_type_than_the_schedule_is_refused(folder):
    with pytest.raises(InputError, match="the objective predicts epsilon, the noise scheduler sample"):
        make_model(make_datamodule(folder), objective=Objective("epsilon"))


def test_a_warm_up_longer_than_the_run_is_refused():
    for warmup_steps in (10, 5, -1):
        with pytest.raises(InputError, match=f"warmup_steps {warmup_steps} leaves none of max_steps 5"):
            warmup_cosine(None, warmup_steps, 5, 0.0)


def test_gradients_are_clipped_in_mixed_precision_too_with_a_fused_optimizer(folder):
    datamodule = LatentDataModule(str(folder / "audio"), str(folder / "text"), num_frames=4, batch_size=4)
    model = make_model(datamodule)
    model.make_optimizer = partial(torch.optim.SGD, lr=1.0, fused=True)  # its step is the gradient
    model.make_lr_scheduler = partial(torch.optim.lr_scheduler.ConstantLR, factor=1.0)
    before = [weight.detach().clone() for weight in model.parameters()]
    silent = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "max_steps": 1}
    trainer = pl.Trainer(**silent, accelerator="cpu", precision="bf16-mixed", gradient_clip_val=0.01)
    trainer.fit(model, datamodule=datamodule)
    moved = torch.cat([(a - b).flatten() for a, b in zip(model.parameters(), before, strict=True)])
    assert moved.norm().item() == pytest.approx(0.01, rel=1e-2)


def test_a_checkpoint_that_was_cut_short_is_refused_with_the_remedy(tmp_path):
    torch.save({"weights": torch.randn(100)}, tmp_path / "step=5.ckpt")
    assert checkpoints.intact(tmp_path, 5) == tmp_path / "step=5.ckpt"
    content = (tmp_path / "step=5.ckpt").read_bytes()
    (tmp_path / "step=5.ckpt").write_bytes(content[: len(content) // 2])
    with pytest.raises(checkpoints.CheckpointError, match="step=5.ckpt is damaged.*delete it, and training goes on"):
        checkpoints.intact(tmp_path, 5)


@pytest.mark.parametrize(
    ("accelerator", "bf16", "expected"),
    [("auto", True, "bf16-mixed"), ("auto", False, "32-true"), ("cpu", True, "32-true")],
)
def test_mixed_precision_is_for_gpus_that_have_it(monkeypatch, accelerator, bf16, expected):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: bf16 or including_emulation)
    assert choose_precision("auto", accelerator) == expected
    assert choose_precision("16-mixed", accelerator) == "16-mixed"


def test_a_model_without_an_optimizer_refuses_to_train(folder):
    model = make_model(make_datamodule(folder))
    model.make_lr_scheduler = None
    with pytest.raises(InputError, match="this LatentDiffusion has no optimizer or no lr_scheduler"):
        model.configure_optimizers()
