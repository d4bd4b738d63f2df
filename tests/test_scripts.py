"""The four scripts, run as a person runs them, on a small demo collection."""

import json
import re
import time
from pathlib import Path

import pandas as pd
import pytest
import torch
from hydra.errors import InstantiationException
from omegaconf import OmegaConf
from scripts import COLLECTION, TINY, composed, invoke, kill, places, run, start

from diffgar import checkpoints
from diffgar.commandline import ConfigError
from diffgar.dataloading.store.card import StoreError
from diffgar.demo.collection import ATTRIBUTES
from diffgar.evaluation.control.methods import METHODS
from diffgar.jobs import train

BAR = r"(rendering|extracting|checking the encoder pair|captions|training|queries): "  # a progress bar
LEAF = "config/train_ldm/model/encoder_pair/clap/unet/train_ldm_sample_pred_base.yaml"


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """A tiny demo experiment, from nothing to a table, by the command without arguments."""
    folder = tmp_path_factory.mktemp("demo")
    return folder, run("train_ldm.py", *TINY, *places(folder))


def test_the_main_job_prints_a_table_and_where_its_parts_lie(demo):
    folder, output = demo
    for row in ("chance", "teacher", "gdr"):
        assert f"\n{row} " in output
    for path in ("checkpoints/demo", "results/demo/demo/retrieval-", ".png"):
        assert path in output
    result = json.loads(Path(re.search(r"JSON +(\S+)", output)[1]).read_text())
    assert result["protocol"]["pool_size"] == 30
    assert result["protocol"]["seeds"] == {"teacher": 1, "gdr": 3}
    assert set(result["rows"]["gdr"]["R@10"]) == {"mean", "std", "low", "high"}


def test_the_main_job_says_what_it_will_do_then_what_it_did_then_what_to_type_and_nothing_of_its_libraries(demo):
    folder, output = demo
    lines = [line for line in re.split(r"[\r\n]+", output) if line.strip() and not re.match(BAR, line)]
    lines = [line for line in lines if "captions are longer than" not in line]
    assert lines[0] == "plan    train demo" and "compose and render 106 tracks" in lines[1]
    assert [line.split()[0] for line in lines[7:11]] == ["audio", "text", "WARNING:", "checkpoints"], output
    table = [line for line in lines if line.startswith(("row ", "chance ", "teacher ", "gdr "))]
    assert len(table) == 4 and all(len(line) <= 100 for line in table)
    *_, what, command, also, search = lines
    assert what.startswith("next    steer it") and "--model_name demo control=negative" in command
    assert also.startswith("next    search with it") and f"--model {folder}/checkpoints/demo" in search
    assert f"paths.results={folder}/results" in command
    for word in ("GPU", "TPU", "Tip", "litlogger", "Warning", "Params", "max_steps"):
        assert word not in output, output


def test_the_teacher_finds_what_chance_does_not(demo):
    result = json.loads(Path(re.search(r"JSON +(\S+)", demo[1])[1]).read_text())
    assert result["rows"]["teacher"]["R@1"]["low"] > 3 * result["rows"]["chance"]["R@1"]["mean"]


def test_a_second_run_makes_nothing_again(demo):
    folder, _ = demo
    made = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.suffix in (".flac", ".f16", ".ckpt")}
    output = invoke("train_ldm.py", *TINY, *places(folder))
    assert "is trained; to train again" in output and "\ngdr " in output
    assert "plan " not in output and "next    steer it" in output
    assert made == {path: path.stat().st_mtime_ns for path in made}


def test_the_evaluation_scripts_take_task_model_and_step(demo):
    folder, _ = demo
    named = ["--task", "demo", "--model_name", "demo", "--model_step", "20", *places(folder)]
    assert "\ngdr " in invoke("eval_retrieval.py", *named, "sampler.num_steps=2")
    assert (folder / "results/demo/demo/retrieval-20-unique_tracks.json").is_file()
    few = ["sampler.num_steps=2", "evaluation.seeds=[0,1]"]
    output = invoke("eval_fidelity.py", *named, *few, "evaluation.guidance=[1,3]")
    assert "real (the floor)" in output and "frechet" in output
    assert (folder / "results/demo/demo/fidelity-20-halves-guidance=1+3-seeds=0+1.png").is_file()


FEW = ["evaluation.retrieval.num_resamples=10", "sampler.num_steps=2", "sampler.num_samples=1"]


def test_one_command_prints_retrieval_and_fidelity(demo):
    output = invoke("eval_retrieval.py", "with_fidelity=true", "evaluation.seeds=[0,1]", *FEW, *places(demo[0]))
    assert "\nteacher " in output and "real (the floor)" in output


def test_every_step_makes_a_curve(demo):
    output = invoke("eval_retrieval.py", "model_step=all", "evaluation.seeds=[0]", *FEW, *places(demo[0]))
    assert output.count("\nteacher ") == 4
    (curve,) = (demo[0] / "results/demo/demo").glob("steps-unique_tracks-*seeds=0.png")
    assert curve.is_file()


def control(folder, *arguments: str) -> dict:
    """A control result of the demo's model."""
    output = invoke("eval_retrieval.py", "evaluation.seeds=[0,1]", *arguments, *FEW, *places(folder))
    path = Path(re.search(r"JSON +(\S+)", output).group(1))
    assert "\nplain " in output and path.with_suffix(".png").is_file()
    return json.loads(path.read_text())


def test_one_command_measures_every_way_to_be_rid_of_an_attribute(demo):
    result = control(demo[0], "control=negative", "control.max_captions=20")
    methods = {system["name"] for system in result["systems"].values()}
    assert set(result["systems"]) == set(result["rows"])
    assert {"plain", "truth_filter", "replace", "compose", "compose_penalty", "teacher_penalty"} <= methods
    rows = {name: {metric: value["mean"] for metric, value in row.items()} for name, row in result["rows"].items()}
    assert rows["plain"]["share@10"] > 20 and rows["plain"]["overlap@10"] == 100
    assert rows["truth_filter"]["share@10"] < 5 and rows["truth_filter"]["R@10"] >= rows["plain"]["R@10"]
    assert rows["teacher_arithmetic 1.5"]["share@10"] < rows["teacher_arithmetic 0"]["share@10"]
    assert rows["teacher_penalty 1.5"]["share@10"] < rows["teacher_arithmetic 0"]["share@10"]
    assert rows["teacher_penalty 1.5"]["cos_caption"] == pytest.approx(100)  # the query itself is left as it was
    assert all({"caption", "negative"} <= set(pair) for pair in result["pairs"])
    assert {"deo", "sae", "teacher_deo", "teacher_sae", "said", "said_teacher", "said_parsed"} <= methods
    assert rows["plain"]["HNSR@10"] <= rows["truth_filter"]["HNSR@10"] == rows["truth_filter"]["R@10"]
    gap = result["paired"]["plain - said"]["share@10"]
    assert gap["difference"] == pytest.approx(rows["plain"]["share@10"] - rows["said"]["share@10"])


def test_a_pair_that_is_not_joint_is_steered_by_generated_forms_alone_and_values_said_as_written(demo):
    apart = ["encoder_pair.joint=false", "model_name=apart", "~task", "trainer.max_steps=10"]
    invoke("train_ldm.py", *TINY, *apart, *places(demo[0]))
    result = control(demo[0], "control=negative", "control.max_captions=12", "model_name=apart", "task.phrasings=null")
    assert {pair["negative"] for pair in result["pairs"]} <= {
        value for values in ATTRIBUTES.values() for value in values
    }
    methods = {system["name"] for system in result["systems"].values()}
    generated = {name for name, method in METHODS.items() if not method.needs_joint}
    assert methods == {"plain", "truth_filter", *generated} and len(generated) == 10


def test_a_student_is_distilled_by_one_command_and_keeps_the_teacher_it_began_with(demo):
    student = ["module=student", "model_name=young", "trainer.max_steps=10", "sampler.num_steps=2", "~task"]
    invoke("train_ldm.py", *TINY, *student, "validation.num_steps=2", *places(demo[0]))
    best = checkpoints.choose_step(demo[0] / "checkpoints/demo", "best")
    assert OmegaConf.load(demo[0] / "checkpoints/young/config.yaml").module.teacher.step == best


def test_models_of_every_kind_stand_in_one_table_each_with_its_own_sampler(demo):
    one, two = (f"student/train_student_sample_pred_small{calls}" for calls in ("_1_call", ""))
    tuned = "tuned/train_tuned_sample_pred_small"
    for leaf in ("baselines/regression", "baselines/contrastive", one, two, tuned):
        config = f"config/train_ldm/model/encoder_pair/demo/{leaf}.yaml"
        start = ["module.teacher.model_name=demo"] if leaf == tuned else []
        invoke("train_ldm.py", "--config", config, *TINY, *start, "trainer.max_steps=10", "~task", *places(demo[0]))
    rivals = "[demo_regression,demo_contrastive,demo_student_1_call,demo_student,demo_tuned]"
    few = ["evaluation.seeds=[0]", "evaluation.retrieval.num_resamples=10", "evaluation.variant=rivals"]
    invoke("eval_retrieval.py", f"evaluation.baselines={rivals}", *few, *places(demo[0]))
    result = json.loads(next((demo[0] / "results/demo/demo").glob("retrieval-*-rivals.json")).read_text())
    rows = ["chance", "teacher", "gdr", "regression", "contrastive", "student", "demo_student@10", "tuned"]
    assert list(result["rows"]) == rows
    calls = {row: sampler["num_steps"] for row, sampler in result["samplers"].items()}
    assert calls == {"gdr": 2, "student": 1, "demo_student@10": 2, "tuned": 2}


def test_a_head_for_composed_requests_is_trained_and_stands_beside_the_other_ways(demo):
    config = "config/train_ldm/model/encoder_pair/demo/baselines/composed.yaml"
    output = invoke("train_ldm.py", "--config", config, *TINY, "trainer.max_steps=10", *places(demo[0]))
    typed = re.search(r"eval_retrieval.py (--task demo_composed control=composed control.head=demo_composed)", output)
    few = ["control.shares=[1]", "control.num_steps=2", "control.max_requests=8", "evaluation.seeds=[0,1]"]
    output = invoke("eval_retrieval.py", *typed.group(1).split(), *few, *places(demo[0]))
    result = json.loads(Path(re.search(r"JSON +(\S+)", output).group(1)).read_text())
    assert list(result["rows"])[:3] == ["source", "gdr", "teacher"] and "head - gdr" not in result["paired"]
    assert {"head", "inversion 1", "interpolation 0.5", "arithmetic 1", "chance", "truth"} <= set(result["rows"])
    assert result["paired"]["gdr - head"]["R@10"]["low"] <= result["paired"]["gdr - head"]["R@10"]["high"]
    assert all(pair["source"] != pair["target"] and pair["instruction"] for pair in result["pairs"])
    refused = invoke("eval_retrieval.py", "--model_name", "demo_composed", *places(demo[0]), fails=True)
    assert "holds a ComposedHead, which makes no queries; name another" in refused
    refused = invoke(
        "eval_retrieval.py", *typed.group(1).split()[:3], "control.head=demo", *places(demo[0]), fails=True
    )
    assert "holds a Tuned, no head for composed requests; name another" in refused


@pytest.mark.parametrize("start", ["track", "query"])
def test_one_command_measures_edits_of_tracks_and_of_generated_queries(demo, start):
    small = ["control.num_steps=4", "control.max_pairs=6", "control.shares=[0.5,1]", f"control.start={start}"]
    result = control(demo[0], "control=inversion", *small, f"evaluation.variant={start}")
    rows = {name: row["cos_start"]["mean"] for name, row in result["rows"].items()}
    assert {"plain", "reprompt", "inversion 0.5", "inversion_away 1", "interpolation 0.25"} <= set(rows)
    assert rows["plain"] == pytest.approx(100) and rows["reprompt"] < rows["interpolation 0.25"] < 100
    assert rows["inversion_away 1"] != rows["inversion 1"]
    if start == "track":  # of noise that an untrained model hardly changed there is nothing to invert
        assert all(errors["exact"] < errors["plain"] for errors in result["round_trips"].values())


@pytest.mark.parametrize(
    ("script", "arguments", "message"),
    [
        ("eval_retrieval.py", ["--task", "nowhere"], "no task 'nowhere'; there is .*demo"),
        ("eval_retrieval.py", ["--model_name", "nobody"], "no model 'nobody' in .*; models there: .*demo"),
        ("eval_retrieval.py", ["--model_step", "7"], "no step 7; steps there: 10, 20, 30, 40, or best"),
        ("train_ldm.py", ["model_name=a/b"], "model_name is 'a/b'; a name has letters"),
        ("train_ldm.py", ["model_name="], "model_name is ''; a name has letters"),
        ("train_ldm.py", ["trainer.max_steps=0"], "trainer.max_steps is 0; it must be a whole number"),
        (
            "eval_retrieval.py",
            ["control=negative", "task.attributes=null"],
            "task demo has no ground truth to measure by",
        ),
        ("eval_fidelity.py", ["--task", "song_describer"], "run extract_dataset.py data=song_describer"),
        (
            "train_ldm.py",
            ["--config", LEAF, "data=musiccaps"],
            "run extract_dataset.py data=musiccaps",
        ),
        (
            "train_ldm.py",
            [*TINY, "optimizer.lr=5"],
            "was trained with another config .optimizer.lr: .* 5 here",
        ),
    ],
)
def test_what_cannot_be_done_is_refused_with_the_remedy(demo, script, arguments, message):
    output = invoke(script, *arguments, *places(demo[0]), fails=True)
    assert re.search(message, output), output[-2000:]


def test_training_killed_at_any_moment_ends_with_the_weights_of_an_uninterrupted_run(demo, tmp_path):
    folder, _ = demo
    mine = [*places(folder)[:1], *places(tmp_path)[1:], "~task"]
    process = start("train_ldm.py", *TINY, *mine)
    first = tmp_path / "checkpoints/demo/step=20.ckpt"
    deadline = time.time() + 120
    while not first.is_file() and time.time() < deadline:
        time.sleep(0.02)
    kill(process)
    process.communicate()
    last = tmp_path / "checkpoints/demo/step=40.ckpt"
    assert first.is_file() and not last.is_file()
    run("train_ldm.py", *TINY, *mine)
    whole, resumed = (
        torch.load(path, weights_only=True)["state_dict"] for path in (folder / "checkpoints/demo/step=40.ckpt", last)
    )
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    logs = [pd.read_csv(path) for path in sorted((tmp_path / "logs/demo").glob("version_*/metrics.csv"))]
    assert len(logs) == 2 and {9, 39} <= set(pd.concat(logs)["step"])  # resuming keeps what was logged


def test_the_best_step_is_the_one_that_validation_scored_highest(demo):
    scores = pd.read_csv(demo[0] / "checkpoints/demo/scores.csv")
    assert list(scores["step"]) == [10, 20, 30, 40]
    order = scores.sort_values(["R@10", "MedR", "MRR", "step"], ascending=[False, True, False, False])
    assert (demo[0] / f"results/demo/demo/retrieval-{order.iloc[0]['step']:.0f}-unique_tracks.json").is_file()


def test_a_step_that_was_saved_and_not_scored_is_scored_at_the_next_start_as_it_would_have_been(demo):
    path = demo[0] / "checkpoints/demo/scores.csv"
    whole = pd.read_csv(path)
    whole[whole["step"] != 20].to_csv(path, index=False)
    invoke("train_ldm.py", *TINY, "~task", *places(demo[0]))
    pd.testing.assert_frame_equal(pd.read_csv(path), whole, atol=0.01)


SHORT = ["trainer.max_steps=3", "lr_scheduler.warmup_steps=1", "validation.num_samples=1"]


def test_a_run_shorter_than_the_interval_is_kept_evaluated_and_trained_once(demo):
    short = [*TINY, *SHORT, "model_name=20240101", "evaluation.seeds=[0]", *FEW, *places(demo[0])]
    (demo[0] / "checkpoints/20240101").mkdir()
    (demo[0] / "checkpoints/20240101/config.yaml").touch()  # a full disk left it empty: nothing was trained
    assert "\ngdr " in invoke("train_ldm.py", *short)
    folder = demo[0] / "checkpoints/20240101"
    assert checkpoints.steps_of(folder) == list(pd.read_csv(folder / "scores.csv")["step"]) == [3]
    assert OmegaConf.load(folder / "config.yaml").model_name == "20240101"
    assert "is trained; to train again" in invoke("train_ldm.py", *short)


def training(*overrides: str) -> None:
    """The main job without the command line around it, so that its errors are seen as they are."""
    train.run(composed("train_ldm/model/encoder_pair/demo/mlp/train_ldm_sample_pred_small", *overrides))


def test_a_start_that_fails_leaves_the_name_free_and_a_model_goes_on_with_its_own_latents_alone(demo):
    names = [*SHORT, "batch_size=16", "model_name=second_try", "~task", *places(demo[0])]
    with pytest.raises(StoreError, match="toy_audio does not exist"):
        training(*names, "~prepare", "encoder_pair.audio_name=toy_audio")
    with pytest.raises(InstantiationException, match="unexpected keyword argument 'speed'"):
        training(*names, *COLLECTION, "+datamodule.speed=fast")
    training(*names, *COLLECTION)
    folder = demo[0] / "checkpoints/second_try"
    known = json.loads((folder / "latents.json").read_text())
    known["text"]["checkpoint_hash"] = "another"
    (folder / "latents.json").write_text(json.dumps(known))
    (folder / "step=3.ckpt").rename(folder / "step=2.ckpt")  # as of one that was killed
    with pytest.raises(checkpoints.CheckpointError, match="trained on text latents of checkpoint_hash 'another'"):
        training(*names, *COLLECTION)


def test_a_task_that_is_not_there_is_told_before_training(demo):
    with pytest.raises(ConfigError, match="extract_dataset.py data=song_describer .* task=demo; or train alone: ~task"):
        training(*TINY, *SHORT, "task=song_describer", "model_name=early", *places(demo[0]))
    assert not (demo[0] / "checkpoints/early").exists()


def test_a_collection_without_validation_trains_and_says_that_the_best_step_is_the_last(demo, caplog):
    paths = places(demo[0])
    few = ["prepare.num_train=1", "prepare.num_validation=0", "prepare.num_test=1", f"paths.data={demo[0] / 'one'}"]
    training(*TINY, *SHORT, *few, "model_name=one", "~task", *paths[1:])
    assert checkpoints.choose_step(demo[0] / "checkpoints/one", "best") == 3
    assert "has no validation track with a caption: the best step is the last one" in caplog.text
