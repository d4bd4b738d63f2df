"""A model card says what a stranger must know: what it is, what it needs, how well it works, and what it cannot do."""

import json
from dataclasses import replace

import pytest
from huggingface_hub import ModelCard
from test_configs import CONFIG
from untrained import write_training

from diffgar import Retriever
from diffgar.evaluation.metrics.summary import Summary
from diffgar.evaluation.report import CHANCE, System
from diffgar.evaluation.reports.results import Result, write_result
from diffgar.jobs.building import as_it_resolves
from diffgar.models.encoders.minilm import PACKAGE, VERSION
from diffgar.publishing.encoders import ENCODERS, encoder_of, licence_of

CLAP = encoder_of("diffgar.models.encoders.clap.ClapAudioEncoder", "/w/music_audioset_epoch_15_esc_90.14.pt")
MULE = encoder_of("diffgar.models.encoders.mule.MuleAudioEncoder", "matteospanio/mule")
T5 = encoder_of("diffgar.models.encoders.t5.T5TextEncoder", "google/flan-t5-base")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return Retriever.from_pretrained(write_training(tmp_path_factory.mktemp("card") / "small"))


def card(model, folder, **options):
    return ModelCard.load(model.save_pretrained(folder, **options) / "README.md")


def a_result(model, **parts):
    metric = Summary(51.234, 0.5, 48.0, 54.0)
    metrics = dict.fromkeys(("R@1", "R@5", "R@10", "MedR", "MRR"), metric)
    protocol = {"name": "unique_tracks", "task": "demo", "dataset": "demo", "split": "test", "num_queries": 90}
    protocol |= {"direction": "text_to_audio", "pool_size": 30, "num_missing_tracks": 0, "seeds": {"gdr": 3}}
    config = as_it_resolves(model.opened.config)
    result = Result("retrieval", "small", "demo", 5, protocol, {CHANCE: metrics, System("gdr"): metrics}, config=config)
    return replace(result, **parts)


def test_the_card_of_a_demo_model_says_what_it_is_and_is_not(model, tmp_path):
    found = card(model, tmp_path / "saved")
    data, text = found.data.to_dict(), " ".join(found.text.split())
    assert (data["license"], data["library_name"], data["datasets"], data["language"]) == (
        "mit",
        "diffgar",
        ["demo"],
        "en",
    )
    assert "the training split of `demo`, 5 captions. It is a collection composed and rendered by a program" in text
    assert "at most 4 frames, 4 seconds of music" in text
    assert "Of recorded music it knows nothing." in text
    assert "It was not evaluated at this step" in text
    assert "publisher to fill in" not in text and "{" not in text.replace("{hit", "") and "None" not in text


def test_the_card_has_the_results_of_this_model_and_step_alone(model, tmp_path):
    other = as_it_resolves(model.opened.config) | {"seed": 7}
    mine = a_result(model)
    for result in (mine, a_result(model, step=4), a_result(model, task="other", config=other)):
        write_result(tmp_path / "results", result)
    (tmp_path / "results/small/demo/retrieval-5-old.json").write_text("{}")
    found = card(model, tmp_path / "saved", results=tmp_path / "results")
    assert found.text.count("| gdr | 51.2 ± 0.5") == 1
    assert "**demo, text to audio, unique" in found.text and "90 queries, pool of 30" in found.text
    (first, *_), names = found.data.eval_results, [each.metric_type for each in found.data.eval_results]
    assert names == ["recall_at_1", "recall_at_10", "mean_reciprocal_rank"]
    assert (first.metric_value, first.dataset_name, first.dataset_split) == (51.23, "demo", "test")


@pytest.mark.parametrize(
    ("encoders", "licence"),
    [
        ([CLAP, T5], "mit"),
        ([MULE, T5], "cc-by-nc-4.0"),
        ([MULE, encoder_of("mine.Text", "mine.pt")], "unknown"),
        ([encoder_of("diffgar.models.encoders.clap.ClapAudioEncoder", "weights/finetuned.pt"), T5], "unknown"),
    ],
)
def test_the_licence_is_ours_unless_an_encoders_asks_for_more(encoders, licence):
    assert licence_of(encoders) == licence


def test_an_encoder_is_known_by_its_class_and_its_weights():
    assert (CLAP.title, CLAP.weights, CLAP.licence) == (
        "LAION's CLAP",
        "music_audioset_epoch_15_esc_90.14.pt",
        "cc0-1.0",
    )
    assert (MULE.title, MULE.licence, T5.licence) == ("MULE", "cc-by-nc-4.0", "apache-2.0")
    minilm = encoder_of("diffgar.models.encoders.minilm.MiniLMTextEncoder", None)
    assert (minilm.title, minilm.licence) == ("all-MiniLM-L6-v2", "apache-2.0")
    assert f"{PACKAGE}=={VERSION}" in minilm.whence
    other = encoder_of("mine.encoders.Audio", "C:\\weights\\a.pt")
    assert (other.title, other.licence) == ("Audio with `a.pt`", "unknown")


def test_every_encoder_of_the_configs_is_known():
    text = "\n".join(path.read_text() for path in sorted((CONFIG / "encoder_pair").rglob("*.yaml")))
    named = {line.rpartition(".")[2] for line in text.splitlines() if "_target_" in line}
    assert named == {name for encoder in ENCODERS for name in encoder.classes}


def test_a_card_of_mule_forbids_commerce_and_says_where_the_weights_are(tmp_path):
    folder = write_training(tmp_path / "trained")
    model = Retriever.from_pretrained(folder)
    model.opened.config.encoder_pair.audio_encoder = {
        "_target_": "diffgar.models.encoders.mule.MuleAudioEncoder",
        "weights": "matteospanio/mule",
    }
    model.opened.config.data.name = "my_songs"
    found = card(model, tmp_path / "saved")
    assert found.data.license == "cc-by-nc-4.0"
    assert "These weights: cc-by-nc-4.0, which allows no commercial use." in found.text
    assert (
        "| audio | MULE | matteospanio/mule | cc-by-nc-4.0 | fetched from the hub when it is first used |" in found.text
    )
    assert "GDR_WEIGHTS" in found.text and "For the publisher to fill in" in found.text
    assert "recorded music" not in found.text.lower()
    assert card(model, tmp_path / "mine", license="other").data.license == "other"


def test_the_lines_of_how_to_use_it_are_those_of_the_door(model, tmp_path):
    text = card(model, tmp_path / "saved").text
    code = text.split("```python")[1].split("```")[0]
    compile(code, "card", "exec")
    assert json.dumps("USER/MODEL") in code


def test_what_does_not_apply_to_a_kind_of_model_is_not_said(tmp_path):
    heads = Retriever.from_pretrained(write_training(tmp_path / "heads", "contrastive"))
    text = card(heads, tmp_path / "saved").text
    assert "it generates" not in text and "Sampling" not in text and "A query describes at most" not in text
    assert "the sampling is not guided" in text
