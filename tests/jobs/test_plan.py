"""Before long work the plan says what is to come; after it, what can be typed next, word for word."""

import os
import shlex
from types import SimpleNamespace

import pandas as pd
import pytest
from scripts import composed, places
from test_datamodule import make_stores

from diffgar.cli import to_hydra
from diffgar.commandline import search, search_words
from diffgar.commandline.composing import compose
from diffgar.dataloading.datasets.tracks import Dataset
from diffgar.jobs import evaluation_plan, next_commands, plan

DEMO = "train_ldm/model/encoder_pair/demo/unet/train_ldm_sample_pred_small"
STORES = ["encoder_pair.audio_name=audio", "encoder_pair.text_name=text"]  # as `make_stores` names them
EXTRACTION = "extract_features/demo/extract_demo"


def config(folder, *words, name=DEMO):
    return composed(name, f"paths.latents={folder}/latents", *places(folder), *words)


def planned(capsys, folder, *words):
    """The lines of the demo's plan, without the folder."""
    cfg = config(folder, *words)
    plan.show_training(cfg, folder / "checkpoints/demo")
    return capsys.readouterr().out.replace(f"{folder}/", "").splitlines()


def test_a_first_run_is_told_all_that_is_to_come_and_where_it_goes(tmp_path, capsys):
    assert planned(capsys, tmp_path) == [
        "plan    train demo",
        "     1. compose and render 3,400 tracks: data/demo",
        "     2. encode the tracks: latents/demo/demo_audio",
        "     3. encode the captions: latents/demo/demo_text",
        "     4. train from step 0 to 600, with a checkpoint every 100: checkpoints/demo",
        "     5. evaluate the best step on demo: results/demo/demo",
        "        Ctrl-C stops it; the same command goes on from there.",
    ]


def test_what_is_there_already_is_told_and_the_pace_of_the_steps_so_far_tells_how_long(tmp_path, capsys):
    model, data = tmp_path / "checkpoints/demo", tmp_path / "data/demo"
    for folder in (model, data / "audio"):
        folder.mkdir(parents=True)
    for split in ("train", "validation", "test"):
        (data / f"audio/{split}-00000.flac").touch()
    for step, time in ((100, 1000), (200, 1060), (300, 9999)):  # it stood still before the last of them
        (model / f"step={step}.ckpt").touch()
        os.utime(model / f"step={step}.ckpt", (time, time))
    assert planned(capsys, tmp_path, "~task", *(f"prepare.num_{split}=1" for split in plan.SPLITS))[1:-1] == [
        "        there already: 3 tracks in data/demo",
        "        there already: step 300 of checkpoints/demo",
        "     1. encode the tracks: latents/demo/demo_audio",
        "     2. encode the captions: latents/demo/demo_text",
        "     3. train from step 300 to 600, with a checkpoint every 100: checkpoints/demo, about 3 min",
    ]


def test_another_dataset_is_trained_on_as_it_is(tmp_path, capsys):
    lines = planned(capsys, tmp_path, "~prepare", "data=template", "~task")
    assert len(lines) == 3 and lines[1].startswith("     1. train from step 0")


def demo_of(folder, num_tracks, *words):
    """The config of the demo's extraction where stores of 20 tracks are there, and a table of `num_tracks`."""
    make_stores(folder / "latents/demo")
    for kind in ("audio", "text"):
        (folder / f"latents/demo/{kind}").rename(folder / f"latents/demo/demo_{kind}")
    (folder / "data/demo/audio").mkdir(parents=True)
    lines = [f"t{n},t{n}.{k},audio/train-{n:05}.flac,music,train" for n in range(num_tracks) for k in range(3)]
    table = "\n".join(["track_id,caption_id,path,caption,split", *lines])
    (folder / "data/demo/captions.csv").write_text(table)
    for n in range(num_tracks):
        (folder / f"data/demo/audio/train-{n:05}.flac").touch()
    sizes = ["prepare.num_validation=0", "prepare.num_test=0", *words]
    return config(folder, "+data.columns.caption_id=caption_id", *sizes, name=EXTRACTION)


def extraction_planned(capsys, folder, cfg):
    plan.show_extraction(cfg)
    return capsys.readouterr().out.replace(f"{folder}/", "").splitlines()


def test_nothing_is_said_of_an_extraction_that_is_all_there(tmp_path, capsys):
    cfg = demo_of(tmp_path, 20, "prepare.num_train=20")
    assert extraction_planned(capsys, tmp_path, cfg) == []


def test_a_collection_that_is_asked_to_grow_is_not_called_there_already(tmp_path, capsys):
    cfg = demo_of(tmp_path, 20, "prepare.num_train=50")
    assert extraction_planned(capsys, tmp_path, cfg)[1:-1] == [
        "        there already: 20 of 50 tracks in data/demo",
        "        there already: 20 tracks in latents/demo/demo_audio",
        "        there already: 60 captions in latents/demo/demo_text",
        "     1. compose and render 30 tracks: data/demo",
        "     2. encode the new tracks: latents/demo/demo_audio",
        "     3. encode the new captions: latents/demo/demo_text",
    ]


def test_stores_of_a_table_that_has_grown_are_not_called_there_already(tmp_path, capsys):
    cfg = demo_of(tmp_path, 25, "prepare.num_train=25")
    assert extraction_planned(capsys, tmp_path, cfg)[1:-1] == [
        "        there already: 25 tracks in data/demo",
        "        there already: 20 tracks in latents/demo/demo_audio",
        "        there already: 60 captions in latents/demo/demo_text",
        "     1. encode 5 new tracks: latents/demo/demo_audio",
        "     2. encode 15 new captions: latents/demo/demo_text",
    ]


def test_tracks_that_were_left_out_are_not_planned_again(tmp_path, capsys):
    cfg = demo_of(tmp_path, 21, "prepare.num_train=21")
    skipped = tmp_path / "latents/demo/demo_audio/skipped.csv"
    skipped.write_text("row_id,path,reason\nt20,t20.flac,broken\n")
    (line,) = [line for line in extraction_planned(capsys, tmp_path, cfg) if line[5:7] == "1."]
    assert "encode 3 new captions" in line


@pytest.mark.parametrize(
    ("ends", "told"),
    [([10.0, 7210.0], "2 tracks, 2.0 h: "), ([10.0, None], "2 tracks: ")],
)
def test_the_hours_are_told_where_the_table_has_them(tmp_path, capsys, ends, told):
    tracks = pd.DataFrame({"track_id": ["a", "b"], "start_s": [0.0, 10.0], "end_s": ends})
    dataset = Dataset("musiccaps", tracks, pd.DataFrame({"caption_id": ["c"]}))
    plan.show_extraction(config(tmp_path, "data=musiccaps", "~prepare", name=EXTRACTION), dataset)
    assert f"1. encode {told}" in capsys.readouterr().out


def experiment(num_captions=600, sampled=True, num_steps=50):
    sampler = SimpleNamespace(num_samples=5, num_steps=num_steps)
    positions = {"caption_positions": range(num_captions), "track_positions": range(200)}
    return SimpleNamespace(model=SimpleNamespace(sampled=sampled), sampler=sampler, step=500, **positions)


def test_a_long_evaluation_is_told_in_numbers_with_what_is_there_already(tmp_path, capsys):
    cfg = composed("eval_retrieval", *places(tmp_path))
    there = tmp_path / "results/demo/demo/retrieval-500-unique_tracks.json"
    there.parent.mkdir(parents=True)
    there.touch()
    evaluation_plan.show_retrieval(cfg, [experiment(), experiment(sampled=False), experiment()])
    assert capsys.readouterr().out.replace(f"{tmp_path}/", "").splitlines() == [
        "plan    retrieval of demo at step 500 on demo",
        "        there already: 1 retrieval result of step 500 in results/demo/demo",
        "     1. generate latents: 600 captions × 5 samples × 3 seeds × 2 models = 18,000, each in 50 denoising steps",
        "     2. rank 200 tracks for them: results/demo/demo",
        "        Ctrl-C stops it; the same command begins anew.",
    ]
    evaluation_plan.show_fidelity(cfg, experiment(), 4)
    assert "600 captions × 3 seeds × 4 guidance scales = 7,200, each in 50 denoising" in capsys.readouterr().out
    evaluation_plan.show_control(cfg, experiment(), 300, 20)
    assert "generate latents: 300 captions × 5 samples × 3 seeds × 20 ways = 90,000" in capsys.readouterr().out


def test_nothing_is_said_before_a_short_evaluation_or_one_that_generates_nothing(tmp_path, capsys):
    cfg = composed("eval_retrieval", *places(tmp_path))
    evaluation_plan.show_retrieval(cfg, [experiment(num_captions=10)])
    evaluation_plan.show_retrieval(cfg, [experiment(sampled=False)])
    back = composed("eval_retrieval", "evaluation.retrieval.direction=audio_to_text", *places(tmp_path))
    evaluation_plan.show_retrieval(back, [experiment()])
    evaluation_plan.show_fidelity(cfg, experiment(num_steps=1), 1)
    assert capsys.readouterr().out == ""


def composes(command: str) -> bool:
    """Whether a command is one that can be typed: its words compose with its script's config."""
    _, script, *words = shlex.split(command)
    words = to_hydra(words, ("task", "model_name", "model_step"))
    name = words.pop(words.index("--config-name") + 1) if "--config-name" in words else script.removesuffix(".py")
    return bool(compose(name, [word for word in words if not word.startswith("--")]).get("paths"))


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ([], "eval_retrieval.py --task demo --model_name demo control=negative"),
        (["~task"], "eval_retrieval.py --task demo --model_name demo"),
        (["task=song_describer"], "eval_fidelity.py --task song_describer --model_name demo"),
        (["module=contrastive"], "eval_retrieval.py --task demo --model_name demo --model_step all"),
    ],
)
def test_after_training_an_evaluation_of_that_model_can_be_typed(tmp_path, words, part):
    ((command, _),) = next_commands.after_training(config(tmp_path, *words))
    assert command == f"python {part}" and composes(command)


def test_after_the_training_of_an_encoder_nothing_is_suggested():
    name = "train_ldm/model/encoder_pair/demo/train_demo_encoder"
    assert next_commands.after_training(composed(name)) == []


@pytest.mark.parametrize(
    ("kind", "words", "part"),
    [
        ("retrieval", [], "eval_retrieval.py --task demo --model_name demo control=negative"),
        ("retrieval", ["task=musiccaps", "model_step=7"], "eval_fidelity.py --task musiccaps --model_name demo --mo"),
        ("fidelity", [], "eval_fidelity.py --task demo --model_name demo 'evaluation.guidance=[1,2,3,5]'"),
        ("fidelity", ["evaluation.guidance=[1,2]"], "eval_retrieval.py --task demo --model_name demo"),
    ],
)
def test_after_an_evaluation_another_of_that_model_can_be_typed(tmp_path, kind, words, part):
    cfg = composed("eval_retrieval" if kind == "retrieval" else "eval_fidelity", *words)
    commands = {
        "retrieval": lambda: next_commands.after_retrieval(cfg, sampled=True),
        "fidelity": lambda: next_commands.after_fidelity(cfg),
    }
    command, _ = commands[kind]()[0]
    assert command.startswith(f"python {part}") and composes(command)


def test_after_steering_and_after_a_baseline_a_search_can_be_typed():
    cfg = composed("eval_retrieval", "model_name=mine")
    searching = [*next_commands.after_control(cfg), *next_commands.after_retrieval(cfg, sampled=False)]
    for command, _ in searching:
        _, script, *words = shlex.split(command)
        asked = search_words.read(search.__doc__, words)
        assert script == "search.py" and str(asked.model).endswith("checkpoints/mine")


@pytest.mark.parametrize(
    ("splits", "pair", "part"),
    [
        (["train", "test"], "clap", "encoder_pair/clap/unet/train_ldm_sample_pred_base.yaml data=musiccaps"),
        (["train", "test"], "own", "encoder_pair/own/mlp/train_ldm_sample_pred_small.yaml data=musiccaps"),
        (["test", "test"], "clap", "eval_retrieval.py --task musiccaps --model_name NAME"),
    ],
)
def test_after_an_extraction_a_training_on_it_can_be_typed_or_an_evaluation(tmp_path, splits, pair, part):
    cfg = config(tmp_path, "data=musiccaps", f"encoder_pair={pair}", *STORES, name=EXTRACTION)
    audio, _ = make_stores(tmp_path / "latents/musiccaps", 2)
    audio.rows.assign(split=splits).to_parquet(audio.folder / "rows.parquet")
    ((command, _),) = next_commands.after_extraction(cfg)
    assert part in command and composes(command)


def test_the_demos_next_command_after_its_extraction_is_the_main_job(tmp_path):
    cfg = config(tmp_path, *STORES, name=EXTRACTION)
    assert next_commands.after_extraction(cfg) == []  # other jobs have not finished
    make_stores(tmp_path / "latents/demo", 20)
    assert next_commands.after_extraction(cfg) == [("python train_ldm.py", "train on it")]
