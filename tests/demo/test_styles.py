"""Styled collections: their orchestras sound, styles give structure, captions are true and keep to their own words."""

import numpy as np
import pytest
from test_demo_encoder import index_and_queries
from test_soundfont import cents_off

from diffgar.demo.attributes import DEMO
from diffgar.demo.captions import SYNONYMS, THINGS
from diffgar.demo.collection import read_collection
from diffgar.demo.encoder import DemoAudioEncoder, DemoTextEncoder
from diffgar.demo.general import GeneralAudioEncoder, GeneralTextEncoder
from diffgar.demo.music import compose
from diffgar.demo.orchestras import FAMILY_OF, GENERAL, THIRD
from diffgar.demo.recipes import RECIPES
from diffgar.demo.sound import SAMPLE_RATE, soundfont
from diffgar.demo.style_captions import GENERAL_WORDING, THIRD_WORDING
from diffgar.demo.styles import STYLES, USES, draw_styled
from diffgar.demo.tracks import track_rows
from diffgar.demo.training import recalls
from diffgar.models.encoders.pretrained.tensor_files import WeightsError

STYLED = {"general": GENERAL_WORDING, "third": THIRD_WORDING}


@pytest.mark.parametrize("name", [name for name in GENERAL.leads if name != "steel drums"])
def test_a_lead_of_the_general_orchestra_sounds_at_its_pitch(name):
    for key in (57, 66, 76):
        samples = soundfont().tone(0, GENERAL.leads[name], key, 0.4).samples[SAMPLE_RATE // 10 :]
        assert abs(cents_off(samples, key)) < 30


@pytest.mark.parametrize("orchestra", [GENERAL, THIRD], ids=["general", "third"])
def test_every_key_of_a_styled_song_has_a_sample(orchestra):
    for number in range(60):
        random = np.random.default_rng(number)
        for part in compose(draw_styled(random, orchestra), random, orchestra=orchestra).parts:
            for key in {key for _, _, key, _ in part.notes}:
                assert soundfont().zones(part.bank, part.program, key, 100), (part.program, key)


def test_the_general_orchestra_plays_other_programs_than_the_demos():
    programs = [{*each.leads.values(), *each.backings.values(), *each.basses.values()} for each in (DEMO, GENERAL)]
    assert not programs[0] & programs[1]
    assert {FAMILY_OF[lead] for lead in DEMO.leads} & {FAMILY_OF[lead] for lead in GENERAL.leads}


@pytest.mark.parametrize("orchestra", [GENERAL, THIRD], ids=["general", "third"])
def test_an_orchestra_has_instruments_for_every_style(orchestra):
    values = orchestra.attributes()
    for typical in STYLES.values():
        for name, wanted in typical.items():
            available = {*values[name], *(FAMILY_OF.get(value) for value in values[name])}
            assert set(wanted) <= available


def test_a_style_keeps_mostly_to_what_is_usual_in_it_with_exceptions():
    drawn = [draw_styled(np.random.default_rng(i), GENERAL) for i in range(400)]
    drums = [track["drums"] for track in drawn if track["style"] == "techno"]
    assert 0.75 < np.mean([each == "electronic" for each in drums]) < 1
    assert {track["style"] for track in drawn} == set(STYLES)


def test_a_use_is_served_by_unlike_styles_and_every_style_serves_one():
    assert {style for styles in USES.values() for style in styles} == set(STYLES)
    for styles in USES.values():
        assert len(styles) >= 3
        assert len({STYLES[style]["drums"] for style in styles} | {STYLES[style]["lead"] for style in styles}) >= 3


@pytest.mark.parametrize("recipe", STYLED)
def test_a_caption_says_what_is_true_in_the_recipes_words_and_tells_no_course(recipe):
    for number in range(100):
        for row in track_rows(0, "test", number, RECIPES[recipe]):
            assert row["course"] == "" and not row["tells_course"]
            for name in row["named"].split("|"):
                words = STYLED[recipe].words[name][row[name]]
                assert any(each.lower() in row["caption"].lower() for each in words), row
            if row["use"] in USES:
                assert row["style"] in USES[row["use"]]


def test_the_general_captions_name_neither_the_demos_instruments_nor_its_textures():
    captions = [row["caption"].lower() for n in range(300) for row in track_rows(0, "test", n, RECIPES["general"])]
    told = [
        *DEMO.backings,
        *(words for name in ("texture", "register", "density") for v in THINGS[name].values() for words in v),
    ]
    told += [words for name in DEMO.leads for words in SYNONYMS.get(name, [name]) if " " in words]
    assert not [words for words in set(told) - {"brass", "strings"} for caption in captions if words in caption]


def test_an_attribute_that_is_named_has_a_phrase_for_each_of_its_values():
    for recipe, wording in STYLED.items():
        values = RECIPES[recipe].orchestra.attributes()
        for name in wording.salience:
            assert set(wording.words[name]) >= set(values.get(name, []))
        assert RECIPES[recipe].phrases.keys() == wording.salience.keys()


@pytest.fixture(scope="module")
def general(tmp_path_factory):
    """Forty test tracks of the general collection."""
    return read_collection(
        tmp_path_factory.mktemp("data") / "general", "general", num_train=0, num_validation=0, num_test=40
    )


@pytest.mark.parametrize(
    ("audio", "text", "least", "most"),
    [(GeneralAudioEncoder, GeneralTextEncoder, 60, 100), (DemoAudioEncoder, DemoTextEncoder, 0, 55)],
)
def test_the_general_pair_knows_the_general_collection_and_the_demos_does_not(general, audio, text, least, most):
    assert least <= recalls(index_and_queries(general, audio(), text()))["R@10"] <= most  # chance: 25


def test_missing_weights_of_the_general_pair_are_refused_with_its_own_command(tmp_path):
    with pytest.raises(WeightsError, match=r"gone.safetensors: no weights of the general pair.*train_general_encoder"):
        GeneralTextEncoder(tmp_path / "gone.safetensors")
