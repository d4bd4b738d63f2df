"""Names of results: what was asked for otherwise is in the name, and nothing takes another evaluation's file."""

import json
from dataclasses import replace

import pytest
from hydra import compose, initialize_config_dir
from scripts import ROOT

from diffgar.evaluation.metrics.summary import Summary
from diffgar.evaluation.report import System
from diffgar.evaluation.reports.names import MAX_LENGTH, differences_of
from diffgar.evaluation.reports.results import Result, read_result, read_results, write_result
from diffgar.jobs.results import asked_otherwise

TRAINED = {"solver": "DDIMScheduler", "num_steps": 4, "num_samples": 5, "guidance_scale": 3, "interval": [0, 1]}
GDR = System("gdr")
ROWS = {GDR: {"R@10": Summary.exact(1.0)}}


def asked(*overrides: str, name: str = "eval_retrieval"):
    with initialize_config_dir(str(ROOT / "config"), version_base="1.3"):
        return compose(name, list(overrides))


def differences(*overrides: str, kind: str = "retrieval", **sampler) -> dict[str, str]:
    cfg = asked(*overrides)
    where = cfg.task.get("where") or {}
    return differences_of(asked_otherwise(kind, cfg), TRAINED | sampler, TRAINED, where)


def result(differences=None, protocol=None, **changes) -> Result:
    shape = {"name": "unique_tracks", "split": "test", "pool": "p"} | (protocol or {})
    plain = Result("retrieval", "m", "t", 500, shape, ROWS, differences=differences or {})
    return replace(plain, **changes)


def test_an_evaluation_as_it_comes_has_the_short_name(tmp_path):
    assert differences() == {} and differences("model_step=last", "task=musiccaps", "paths.data=elsewhere") == {}
    assert result().path(tmp_path) == tmp_path / "m" / "t" / "retrieval-500-unique_tracks.json"


@pytest.mark.parametrize(
    ("overrides", "sampler", "expected"),
    [
        (["evaluation.seeds=[0,1]"], {}, {"seeds": "0+1"}),
        (["evaluation.samples=set", "evaluation.pooling=best_frame"], {}, {"pooling": "best_frame", "samples": "set"}),
        (["evaluation.allow_missing=true"], {}, {"allow_missing": "true"}),
        (["evaluation.baselines=[a,b]"], {}, {"baselines": "a+b"}),
        (["evaluation.retrieval.direction=audio_to_text"], {}, {"direction": "audio_to_text"}),
        (["evaluation.retrieval.hubness=[centring]"], {}, {"hubness": "centring"}),
        (["+task.where.vocal=true"], {}, {"vocal": "true"}),
        ([], {"guidance_scale": 1.5, "num_steps": 20}, {"guidance_scale": "1.5", "num_steps": "20"}),
        ([], {"solver": "UniPCMultistepScheduler"}, {"solver": "UniPCMultistepScheduler"}),
        ([], {"interval": [0.3, 0.9]}, {"interval": "0.3+0.9"}),
        (["evaluation.variant=mine", "evaluation.guidance=[1,2]", "evaluation.fidelity.num_splits=9"], {}, {}),
    ],
)
def test_what_differs_from_the_defaults_is_in_the_name_and_what_is_not_read_is_not(overrides, sampler, expected):
    assert differences(*overrides, **sampler) == expected


def test_a_fidelity_sweep_and_a_control_name_what_they_were_asked_for():
    assert differences("evaluation.guidance=[1,1.5]", kind="fidelity") == {"guidance": "1+1.5"}
    assert differences("control=negative", kind="control") == {}
    changed = differences(
        "control=negative", "control.max_captions=20", "control.methods.replace=[{guidance: 2}]", kind="control"
    )
    assert changed == {"max_captions": "20", "replace": "guidance_2"}
    without = differences("control=negative", "~control.methods.replace", kind="control")
    assert without == {"replace": "none"}
    edits = differences("control=inversion", "control.start=query", kind="control")
    assert edits == {"start": "query"}


def test_split_control_differences_and_variant_follow_each_other(tmp_path):
    shape = {"split": "validation", "control": "negative"}
    named = result({"num_steps": "20", "seeds": "0"}, shape, variant="my own/word")
    assert (
        named.path(tmp_path).stem == "retrieval-500-unique_tracks-validation-negative-num_steps=20-seeds=0-my_own_word"
    )


def test_many_differences_are_told_by_a_digest_of_them(tmp_path):
    one = result({"baselines": "+".join(f"demo_{n}" for n in range(40))}, variant="rivals")
    other = result({"baselines": "+".join(f"demo_{n}" for n in range(41))}, variant="rivals")
    stems = [each.path(tmp_path).stem for each in (one, other)]
    assert stems[0] != stems[1] and all(stem.endswith("-rivals") and len(stem) < MAX_LENGTH for stem in stems)
    assert one.path(tmp_path) == one.path(tmp_path)


def test_a_sweep_over_six_scales_leaves_six_files(tmp_path):
    for scale in (1, 1.5, 2, 3, 5, 8):
        found = differences(guidance_scale=scale)
        write_result(tmp_path, result(found, {"sampler": TRAINED | {"guidance_scale": scale}}))
    assert len(read_results(tmp_path)) == len(list(tmp_path.rglob("*.json"))) == 6
    assert (tmp_path / "m/t/retrieval-500-unique_tracks.json").is_file()  # the scale it was trained with


def test_the_same_evaluation_takes_its_own_place(tmp_path):
    first = write_result(tmp_path, result())
    again = write_result(tmp_path, result(rows={GDR: {"R@10": Summary.exact(2.0)}}))
    assert first == again and read_result(first).rows[GDR]["R@10"].mean == 2
    assert len(list(tmp_path.rglob("*.json"))) == 1


@pytest.mark.parametrize(
    "other",
    [
        {"protocol": {"pool": "another"}},
        {"protocol": {"seen_tracks": {"gdr": 4}}},
        {"config": {"backbone": {"width": 64}}},
    ],
)
def test_another_protocol_or_another_model_of_that_name_stands_beside_it(tmp_path, caplog, other):
    plain = result(config={"backbone": {"width": 32}, "paths": {"data": "here"}})
    changed = result(protocol=other.get("protocol"), config=other.get("config", plain.config))
    first = write_result(tmp_path, plain)
    before = first.read_bytes()
    second = write_result(tmp_path, changed)
    assert first.read_bytes() == before and second.stem == f"{first.stem}-2"
    assert f"{first} has another evaluation; this one is {second.name}" in caplog.text
    assert write_result(tmp_path, changed) == second and write_result(tmp_path, plain) == first
    moved = replace(plain, config={"backbone": {"width": 32}, "paths": {"data": "there"}, "control": None})
    assert write_result(tmp_path, moved) == first


def test_what_is_no_result_of_ours_is_not_overwritten(tmp_path):
    path = result().path(tmp_path)
    path.parent.mkdir(parents=True)
    path.write_text("{}")
    assert write_result(tmp_path, result()).stem == f"{path.stem}-2" and path.read_text() == "{}"


def test_a_result_says_as_what_its_step_was_asked_for(tmp_path):
    path = write_result(tmp_path, result(asked_step="best"))
    assert json.loads(path.read_text(encoding="utf-8"))["asked_step"] == "best"
    write_result(tmp_path, result(asked_step=500))  # one of all steps, later: it is the best all the same
    assert read_result(path).asked_step == "best"


def test_a_model_name_may_have_a_slash(tmp_path):
    write_result(tmp_path, result(model_name="exp/a"))
    write_result(tmp_path, result(model_name="20240101"))
    assert [each.model_name for each in read_results(tmp_path)] == ["20240101", "exp/a"]
