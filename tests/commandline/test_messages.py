"""What a user can mend is told in one line; what is our fault keeps its traceback; Ctrl-C is one line."""

import re
import subprocess
import sys

import pytest
from hydra.utils import instantiate
from scripts import ROOT, shell

from diffgar import cli
from diffgar.dataloading.datasets.splits import by_hash
from diffgar.errors import InputError

LEAF = "train_ldm/model/encoder_pair/demo/mlp/train_ldm_sample_pred_small"


class OwnError(InputError):
    pass


def refuse(**_):
    raise OwnError("the first line\n  and the second")


def entry(action):
    """An entry point of the demo's config, which calls `action` with it."""

    @cli.main(LEAF, flags=("task", "model_name"))
    def run(cfg):
        return action(cfg)

    return run


@pytest.fixture
def told(tmp_path):
    """(action, words) → the exit code and the lines that were told."""

    def call(action, *words: str) -> tuple[int, list[str]]:
        code, _, text = shell(entry(action), *words, f"paths.logs={tmp_path}", "hydra/job_logging=none")
        return code, text.splitlines()

    return call


def says(line: str, message: str) -> bool:
    """Whether a line has the parts of a message, between which ".*" stands."""
    return re.search(".*".join(map(re.escape, message.split(".*"))), line) is not None


def nothing(cfg) -> None:
    pass


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["task=nope"],
            "CommandError: no task 'nope'; there is conceptcaps, demo, .*third.*; .*datasets .*mtg_jamendo",
        ),
        (["--task", "dmo"], "did you mean demo?"),
        (["backbone=unet"], "no backbone 'unet'; .*there is dit_base, dit_small, .*unet_small"),
        (["--taks", "demo"], "no flag --taks; did you mean --task?"),
        (
            ["data.columns.pth=null"],
            "no key data.columns.pth; did you mean data.columns.path? +data.columns.pth=… adds it",
        ),
        (["columns.path=null"], "did you mean data.columns.path?"),
        (["task.where={a: b}"], "no key task.where.a; +task.where.a=… adds it"),
        (["tsk=demo"], "no key tsk; did you mean task?"),
        (["control=negative"], "no control to choose; it has .*backbone, data, .*trainer"),
        (
            ["trainer.max_steps=abc"],
            "trainer.max_steps=abc: a number is expected for .* (the config has 600), not 'abc'",
        ),
        (["seed=x"], "seed=x: a number is expected for seed (the config has 0)"),
        (["trainer.enable_progress_bar=off"], "true or false is expected for trainer.enable_progress_bar"),
        (["evaluation.seeds=3"], "a list, [a,b], is expected for evaluation.seeds (the config has [0, 1, 2]), not 3"),
        (["optimizer={lr: fast}"], "a number is expected for optimizer.lr (the config has 0.001), not 'fast'"),
        (["batch_size="], "batch_size=: a number is expected for batch_size (the config has 96), not ''"),
        (["data.name="], "ConfigError: data.name is '', and has to name a folder"),
        (["paths.data="], "ConfigError: paths.data is '', and has to name a folder: give one with paths.data=FOLDER"),
        (["paths.data=${oc.decode:null}"], "paths.data is None, and has to name a folder"),
        (["paths.results=null"], "paths.results is None, and has to name a folder: give one with paths.results=FOLDER"),
        (["columns=3", "seed=1,2"], "seed=1,2 has a comma: say -m for one run each, seed=[1,2] for a list"),
        (["données=1"], "'données=1' cannot be read as key=value"),
        (["+seed=2"], "An item is already at 'seed'"),
        (["~nothing"], "Could not delete from config. 'nothing' does not exist"),
        (["--config-dir", "nowhere"], "config directory '.*nowhere' not found"),
        (["-cn", "nowhere"], "ConfigError: no config 'nowhere'"),
        (["-m", "--cfg", "job"], "CommandError: Only one of --run, --multirun, --cfg"),
        (["=x"], "'=x' is neither a flag nor key=value"),
        (["hydra.job.num=x"], "hydra.job.num=x: Value 'x' of type 'str' could not be converted to Integer"),
    ],
)
def test_what_hydra_refuses_is_told_with_what_to_type(told, words, message):
    code, lines = told(nothing, *words)
    assert code == 1 and len(lines) == 1, lines
    assert says(lines[0], message), lines[0]


def test_an_environment_variable_that_is_empty_names_no_folder(told, monkeypatch):
    monkeypatch.setenv("GDR_DATA", "")
    code, lines = told(nothing)
    assert code == 1 and len(lines) == 1, lines
    assert says(lines[0], "paths.data is '', .* paths.data=FOLDER or the environment variable GDR_DATA"), lines[0]


@pytest.mark.parametrize(
    ("words", "key", "message"),
    [
        (["model_name=???"], "model_name", "ConfigError: model_name is not given yet; say model_name=…"),
        (["data.table=${oc.env:NOWHERE}"], "data.table", "the environment variable NOWHERE, which is not set"),
        (["data.table=${path.data}"], "data.table", "refers to path.data, which .* did you mean paths.data?"),
        (["logger=null"], "logger", "logger is needed here, and was left out; say logger= one of csv, wandb"),
    ],
)
def test_a_value_that_is_missing_when_it_is_read_is_told_by_its_key(told, words, key, message):
    def read(cfg):
        for name in key.split("."):
            cfg = cfg[name]

    code, lines = told(read, *words)
    assert code == 1 and len(lines) == 1, lines
    assert says(lines[0], message), lines[0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a: [1, 2\nb: 3\n", "ConfigError: .*broken.yaml, line 2: .*mend the YAML there"),
        (b"a: 1\na: 2\n", "broken.yaml, line 2: found duplicate key a"),
        (b"a:\n\t- 1\n", "broken.yaml, line 2: found character"),
        (b"a: caf\xe9\n", "broken.yaml is not UTF-8"),
    ],
)
def test_a_config_that_is_no_yaml_is_told_with_the_file_and_line(told, tmp_path, content, message):
    (tmp_path / "broken.yaml").write_bytes(content)
    code, lines = told(nothing, "--config", str(tmp_path / "broken.yaml"))
    assert code == 1 and len(lines) == 1, lines
    assert says(lines[0], message), lines[0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("- a\n", "ConfigError: data/odd.yaml is a list; it needs lines of key: value"),
        ("", "ConfigError: data/odd.yaml is empty"),
        ("defaults: [nope]\nname: x\n", "ConfigError: no config 'data/nope', which data/odd asks for, in"),
        ("defaults: 3\nname: x\n", "Invalid defaults list in 'data/odd'"),
        ("name: ${x\n", "ConfigError: name: no viable alternative"),
        ("defaults: [odd]\nname: 3\n", "ConfigError: the defaults of data/odd.yaml lead back to itself"),
    ],
)
def test_a_dataset_that_is_no_config_is_told_and_leaves_the_others_alone(told, tmp_path, content, message):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "odd.yaml").write_text(content, encoding="utf-8")
    assert told(nothing, "--config-dir", str(tmp_path)) == (0, [])
    code, lines = told(lambda cfg: cfg.data.name, "--config-dir", str(tmp_path), "data=odd")
    assert code == 1 and says(lines[-1], message), lines


def test_our_own_errors_are_one_line_also_when_hydra_wraps_them(told):
    line = "OwnError: the first line and the second"
    assert told(refuse_plainly) == (1, [line])
    assert told(lambda cfg: instantiate({"a": {"_target_": f"{__name__}.refuse"}})) == (1, [line])


def refuse_plainly(cfg):
    refuse()


def test_a_value_error_that_this_package_raises_is_one_line_too(told):
    code, lines = told(lambda cfg: by_hash({"train": 0.5, "test": 0.2}))
    assert code == 1 and len(lines) == 1 and lines[0].partition(": ")[0].endswith("Error"), lines


def test_a_fault_of_the_program_keeps_its_traceback(told):
    code, lines = told(lambda cfg: int("x"))
    assert code == 1 and lines[0].startswith("Traceback") and "invalid literal" in lines[-1]
    code, lines = told(lambda cfg: by_hash(None))  # it fails within the package, but nothing is refused there
    assert code == 1 and lines[0].startswith("Traceback")


def test_what_the_system_refuses_is_one_line_with_the_place(told, tmp_path):
    def full(cfg):
        raise OSError(28, "No space left on device", str(tmp_path / "step=1.ckpt"))

    def forbidden(cfg):
        raise PermissionError(13, "Permission denied", "/audio/a.wav")

    assert told(full)[1][0].startswith(
        f"OSError: no space is left on the disk of {tmp_path / 'step=1.ckpt'}; free some"
    )
    assert told(forbidden)[1][0].startswith("PermissionError: /audio/a.wav: Permission denied; change its permissions")


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("my_encoders.Mine", "a._target_ is my_encoders.Mine, which cannot be imported .*PYTHONPATH"),
        (
            "diffgar.dataloading.datasets.splits.by_nme",
            "a._target_ is diffgar.dataloading.datasets.splits.by_nme, which cannot",
        ),
        ("diffgar.dataloading.datasets.splits.by_hash", "ConfigError: a: .*unexpected keyword argument 'odd'"),
    ],
)
def test_a_target_that_cannot_be_made_is_told_with_its_key(told, target, message):
    code, lines = told(lambda cfg: instantiate({"a": {"_target_": target, "odd": 1}}))
    assert code == 1 and len(lines) == 1, lines
    assert says(lines[0], message), lines[0]


def test_all_is_shown_to_those_who_ask_for_it(told, monkeypatch):
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    with pytest.raises(OwnError):
        told(refuse_plainly)


def test_a_sweeps_error_stays_an_error_for_the_launcher_and_is_a_line_in_the_end(told):
    seen = []

    def act(cfg):
        seen.append(cfg.seed)
        if cfg.seed == 1:
            refuse()

    code, lines = told(act, "-m", "seed=0,1,2", "hydra/hydra_logging=none")
    assert seen == [0, 1, 2]  # an exit would have ended the sweep at the second
    assert code == 1 and "seed=1" in lines[-2] and lines[-1] == "OwnError: the first line and the second"


def test_ctrl_c_is_one_line_and_130(told):
    def interrupt(cfg):
        raise KeyboardInterrupt

    def as_lightning_does(cfg):
        try:
            interrupt(cfg)
        except KeyboardInterrupt:
            sys.exit(1)

    for action in (interrupt, as_lightning_does):
        assert told(action) == (130, ["", "interrupted; the same command goes on where it stopped"])


RENDERING = """
import signal, sys, threading
import diffgar.interrupts
from diffgar import cli
from diffgar.demo import collection as demo

signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in a shell's background ignores it

@cli.main("extract_dataset")
def main(cfg):
    made = demo.tqdm

    def watched(done, *args, **kwargs):
        for i, item in enumerate(made(done, *args, **kwargs)):
            if i == 1:
                signal.raise_signal(signal.SIGINT)
            yield item

    demo.tqdm = watched
    demo.write_collection(sys.argv[-1].partition("=")[2] + "/demo", 100, 0, 0)

main()
"""


def test_ctrl_c_while_the_demo_is_rendered_ends_its_workers_in_one_line(tmp_path):
    words = [f"paths.logs={tmp_path}", f"paths.data={tmp_path}"]
    done = subprocess.run([sys.executable, "-c", RENDERING, *words], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 130
    lines = [line for line in done.stderr.replace("\r", "\n").splitlines() if line and "rendering" not in line]
    assert lines == ["interrupted; the same command goes on where it stopped"]
    audio = list((tmp_path / "demo" / "audio").iterdir())
    assert 2 <= len(audio) < 100 and not [path for path in audio if path.suffix == ".part"]
