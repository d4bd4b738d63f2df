"""The command line: the documented commands become Hydra's words, once and for all, whatever characters they have."""

import importlib
import io
import shlex
import sys

import pytest
from hydra._internal.utils import get_args_parser
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf
from scripts import composed, shell

from diffgar import cli
from diffgar.cli import to_hydra
from diffgar.commandline import CommandError
from diffgar.commandline.composing import compose_line, without_nulls
from diffgar.commandline.words import CHOICES, SWITCHES, Line
from diffgar.jobs import extract

FLAGS = ("task", "model_name", "model_step")
LEAF = "config/train_ldm/model/encoder_pair/clap/unet/train_ldm_sample_pred_base.yaml"
DEFAULTS = {
    "train_ldm": "train_ldm/model/encoder_pair/demo/unet/train_ldm_sample_pred_small",
    "extract_dataset": "extract_features/demo/extract_demo",
    "eval_retrieval": "eval_retrieval",
    "eval_fidelity": "eval_fidelity",
}
NAMED = ["--config-name", "train_ldm/model/encoder_pair/clap/unet/train_ldm_sample_pred_base"]
ODD = [
    *("été", "clap (1)", "x#1", "k=v", "{a}", "[a]-[b].wav", "{ytid}.wav", "🎵", "it's", 'say "x"', "a\\b(", "a\\'é"),
    *(
        "C:\\music (1)\\",
        "100 % sûr",
        "<x>",
        "a!b",
        "a;b & c",
        "x\ny",
        "音楽",
        "a'b'c",
        "$é",
        "\\é",
        "`x`",
        "^",
        "(",
        "'",
    ),
]


def value(word: str):
    return OverridesParser.create().parse_override(word).value()


@pytest.mark.parametrize(
    ("typed", "hydras"),
    [
        (["--config", LEAF], NAMED),
        ([f"--config={LEAF}"], NAMED),
        (["trainer.max_steps=10", "--config", LEAF, "seed=1"], [*NAMED, "trainer.max_steps=10", "seed=1"]),
        (["--config", LEAF, "-m", "seed=1,2"], [*NAMED, "-m", "seed=1,2"]),
        (
            ["--task", "song_describer", "--model_name", "NAME", "--model_step", "50000"],
            ["task=song_describer", "model_name=NAME", "model_step=50000"],
        ),
        (["~logger", "--task=demo", "+a.b=1"], ["~logger", "task=demo", "+a.b=1"]),
        (["--task=", "seed=1"], ["task=", "seed=1"]),
        (["--cfg", "job"], ["--cfg", "job"]),
        (["a=1", "--cfg=job", "-p", "x=y", "--info"], ["--cfg", "job", "-p", "x=y", "--info=all", "a=1"]),
        (["--info", "config", "-cn", "train_ldm"], ["--config-name", "train_ldm", "--info=config"]),
        (["-cd", "a=b/c", "--experimental-rerun", "k=v"], ["--config-dir", "a=b/c", "--experimental-rerun", "k=v"]),
        (["model_name=20240101"], ["model_name='20240101'"]),
        (["seed=1", "evaluation.seeds=[0,1]", "a={b:1}"], ["seed=1", "evaluation.seeds=[0,1]", "a={b:1}"]),
        (["-m", "seed=range(8)", "a=1,2"], ["-m", "seed=range(8)", "a=1,2"]),
        (["-m", "model_name=é,b"], ["-m", "model_name='é',b"]),
        (["data.table=[é.csv,b.csv]"], ["data.table=['é.csv',b.csv]"]),
        (["data.table={train: é.csv, test: b.csv}"], ["data.table={train:'é.csv',test:b.csv}"]),
        ([], []),
    ],
)
def test_what_is_typed_becomes_hydras_words(typed, hydras):
    assert to_hydra(typed, FLAGS) == hydras
    assert to_hydra(hydras, FLAGS) == hydras, "rewriting twice changes nothing"


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("form", ["data.audio_root={}", "+data.audio_root={}", "--model_name={}", "paths.data=/x/{}/y"])
def test_a_value_of_any_characters_reaches_the_config_as_it_was_typed(form, odd):
    typed = form.replace("{}", odd)
    (word,) = to_hydra([typed], FLAGS)
    assert value(word) == typed.partition("=")[2]
    assert to_hydra([word], FLAGS) == [word]


def test_a_path_that_exists_is_one_value_whatever_it_looks_like(tmp_path):
    for name in ("a,b", "[x]", "a\\ b", "it's, (2)", " ends "):
        (tmp_path / name).mkdir()
        (word,) = to_hydra([f"data.audio_root={tmp_path / name}"])
        assert value(word) == str(tmp_path / name) and to_hydra([word]) == [word]
    (tmp_path / "${x}").mkdir()
    (word,) = to_hydra([f"a={tmp_path / '${x}'}"])
    assert OmegaConf.create({"a": value(word)}).a == str(tmp_path / "${x}")


def test_interpolations_and_the_home_folder_are_understood(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("USERPROFILE", "/home/me")
    assert value(to_hydra(["a=~/music (1)"])[0]) == "/home/me/music (1)"
    assert value(to_hydra(["a=[~/a,b]"])[0]) == ["/home/me/a", "b"]
    assert OmegaConf.create({"b": "x", "a": value(to_hydra(["a=${b}/é"])[0])}).a == "x/é"


def test_a_config_outside_the_tree_is_named_by_its_folder(tmp_path):
    for folder in (tmp_path, tmp_path / "lr=1 (é)"):
        folder.mkdir(exist_ok=True)
        (folder / "config.yaml").write_text("a: 1\n", encoding="utf-8")
        words = ["--config-dir", str(folder), "--config-name", "config"]
        assert to_hydra(["--config", str(folder / "config.yaml")]) == words
        assert to_hydra([*words, "seed=1"]) == [*words, "seed=1"]


def test_a_config_outside_the_tree_goes_with_a_folder_of_further_configs(tmp_path):
    own, place = tmp_path / "own", tmp_path / "pla,ce"
    (place / "data").mkdir(parents=True)
    (place / "data" / "mine.yaml").write_text("name: stored_name\n", encoding="utf-8")
    own.mkdir()
    (own / "config.yaml").write_text("defaults: [/train_ldm/demo, _self_]\nmodel_name: m\n", encoding="utf-8")
    words = to_hydra(["--config", str(own / "config.yaml"), "--config-dir", str(place), "data=mine"])
    assert words[:4] == ["--config-dir", str(own), "--config-name", "config"] and to_hydra(words) == words
    code, out, told = shell(seen(), *words, "--task", "mine", f"paths.logs={tmp_path}")
    assert code == 0, told
    assert out.split() == ["stored_name", "mine", "stored_name", "test"]


def seen():
    """An entry point that prints the data's name, and the task's name, dataset and split."""

    @cli.main("train_ldm/demo", flags=FLAGS)
    def entry(cfg):
        print(cfg.data.name, cfg.task.name, cfg.task.dataset, cfg.task.split)

    return entry


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (["--config", "nowhere.yaml"], "no config file at nowhere.yaml"),
        (["--config", "config"], "is a folder"),
        (["--config", "README.md"], "ends in .yaml"),
        (["--config", LEAF, "--config", LEAF], "named twice"),
        (["--task"], "--task needs a value"),
        (["--task", "--model_name", "x"], "--task needs a value"),
        (["--taks", "x"], "no flag --taks; did you mean --task?.*--config, --task, --model_name, --model_step"),
        (["--model-name=x"], "did you mean --model_name?"),
        (["--multi"], "did you mean --multirun?"),
        (["--cfg", "jobs"], "--cfg jobs: there is job, hydra, all"),
        (["demo"], "'demo' is neither a flag nor key=value"),
        (["x.yaml"], "say --config x.yaml"),
        (["evaluation.seeds=[0,1"], "is not closed by ]"),
    ],
)
def test_a_word_that_says_nothing_is_refused_with_what_there_is(typed, message):
    with pytest.raises(CommandError, match=message):
        to_hydra(typed, FLAGS)


def test_the_options_of_hydra_are_all_known():
    for action in get_args_parser()._actions:
        for name in action.option_strings:
            assert name in (SWITCHES if action.nargs == 0 else CHOICES), name
            assert action.nargs == 0 or CHOICES[name] == (tuple(action.choices) if action.choices else None)


def test_a_dataset_is_a_task_by_its_own_test_split(tmp_path):
    for name, dataset in (("musiccaps_clips", "musiccaps"), ("template", "template")):
        code, out, told = shell(seen(), "--task", name, f"paths.logs={tmp_path}")
        assert (code, out.split()[1:]) == (0, [name, dataset, "test"]), told
    assert shell(seen(), "task=song_describer_valid", f"paths.logs={tmp_path}")[1].split()[2] == "song_describer"
    out = shell(seen(), "-m", "task=demo,mix", f"paths.logs={tmp_path}", "hydra/hydra_logging=none")[1]
    assert [line.split()[1] for line in out.splitlines()] == ["demo", "mix"]


@pytest.mark.parametrize(
    ("config", "word", "left"),
    [
        ("train_ldm/demo", "prepare=null", "prepare"),
        ("train_ldm/demo", "task=NULL", "task"),
        ("eval_retrieval", "control=null", "control"),  # nothing is chosen there already
        ("train_ldm/demo_encoder", "prepare=null", "prepare"),  # not a choice of that config, but a value
    ],
)
def test_a_group_is_left_out_by_null(tmp_path, config, word, left):
    @cli.main(config)
    def entry(cfg):
        print(cfg.get(left))

    code, out, told = shell(entry, word, f"paths.logs={tmp_path}", "model_name=m")
    assert (code, out) == (0, "None\n"), told


def test_what_a_saved_config_has_written_out_is_left_out_too_also_by_the_processes_that_follow(tmp_path):
    (tmp_path / "config.yaml").write_text("prepare: {folder: x}\ntask: null\nseed: 0\n", encoding="utf-8")

    @cli.main("train_ldm/demo")
    def entry(cfg):
        print(cfg.prepare, cfg.task, *sys.argv[1:])

    words = to_hydra(
        ["--config", str(tmp_path / "config.yaml"), "prepare=null", "task=null", f"hydra.run.dir={tmp_path}"]
    )
    code, out, told = shell(entry, *words)
    assert (code, out.split()) == (0, ["None", "None", *words]), told


def test_numbers_are_whole_where_the_config_has_whole_ones(tmp_path):
    @cli.main("train_ldm/demo")
    def entry(cfg):
        print(repr(cfg.batch_size), repr(cfg.optimizer.lr), repr(cfg.sampler.guidance_scale), cfg.trainer.devices)

    words = ["batch_size=1e2", "optimizer.lr=1", "sampler.guidance_scale=1.5", "trainer.devices=auto"]
    code, out, told = shell(
        entry, *words, "trainer.gradient_clip_val=null", "+task.where={a: b}", f"paths.logs={tmp_path}"
    )
    assert (code, out.split()) == (0, ["100", "1", "1.5", "auto"]), told


@pytest.mark.parametrize(("data", "made"), [("demo", True), ("template", False), ("mix", False)])
def test_only_the_demo_is_made(monkeypatch, data, made):
    calls = []
    monkeypatch.setattr(extract, "build", calls.append)
    extract.prepare(composed("extract_features/demo/extract_demo", f"data={data}"))
    assert bool(calls) == made


def test_a_terminal_that_lacks_a_letter_costs_no_result(tmp_path, monkeypatch):
    @cli.main("train_ldm/demo")
    def entry(cfg):
        print("57 ± 2")

    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "argv", ["train_ldm.py", f"paths.logs={tmp_path}"])
    entry()
    out.flush()
    assert out.buffer.getvalue() == b"57 ? 2\n"


@pytest.mark.parametrize("script", ["train_ldm", "extract_dataset", "eval_retrieval", "eval_fidelity"])
def test_help_is_five_commands_that_compose_and_the_scripts_own_flags_in_less_than_40_lines(script):
    code, out, _ = shell(importlib.import_module(script).main, "--help")
    lines = out.splitlines()
    commands = [line.split("  #")[0].strip() for line in lines if line.startswith("    python ")]
    assert code == 0 and len(lines) < 40 and len(commands) == 5 and lines[8:].index("Flags") < 6
    assert not [line for line in lines if len(line) > 100 and "--config config/" not in line]
    for part in ("--config FILE", "task, trainer" if script == "train_ldm" else "group=name", "--cfg job"):
        assert part in out
    for command in commands:
        _, name, *words = shlex.split(command)
        assert name == f"{script}.py"
        words = [word.replace("seed=0,1,2", "seed=0") for word in to_hydra(words, FLAGS) if word != "-m"]
        config = words.pop(words.index("--config-name") + 1) if "--config-name" in words else DEFAULTS[script]
        line = Line(name=config, overrides=[word for word in words if not word.startswith("--")])
        assert compose_line(without_nulls(line, config)[0], config).get("paths")
