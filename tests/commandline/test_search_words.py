"""The words after search.py become a question, or a sentence that says what is wrong with them."""

import subprocess
import sys
from pathlib import Path

import pytest
from pages import ROOT

from diffgar.commandline import CommandError
from diffgar.commandline.search_words import read
from diffgar.search.question import Question


def test_the_command_of_the_issue_is_read(tmp_path):
    words = read("", ["a calm piano piece", "--not", "drums", "--in", str(tmp_path), "-k", "10"])
    assert (words.caption, words.place, words.k, words.form) == ("a calm piano piece", tmp_path, 10, "table")
    assert words.question["negative"] == {"drums": 1}
    assert words.question["expand"] and words.question["like"] is None


def test_what_is_not_typed_is_the_questions_own_default():
    assert Question(**read("", ["piano"]).question) == Question()


def test_negatives_are_repeated_and_weighed():
    words = read("", ["piano", "--not", "drums=0.5", "--not", "a = b=2", "--not=choir", "--literal"])
    assert words.question["negative"] == {"drums": 0.5, "a = b": 2, "choir": 1}
    assert not words.question["expand"]


def test_the_number_of_parts_is_read_and_where_a_negative_counts_is_left_to_the_question():
    words = read("", ["piano", "--not", "drums at the start=0.5", "--segments", "3"])
    assert words.question["segments"] == 3 and words.question["negative"] == {"drums at the start": 0.5}


def test_a_caption_needs_no_quotes_and_may_stand_anywhere():
    assert read("", ["a", "calm", "--seed", "3", "piano"]).caption == "a calm piano"


def test_an_edit_of_a_track_is_read():
    words = read("", ["--like", "song.mp3", "--edit", "with strings", "--strength", "0.7", "--editing", "inversion"])
    asked = {name: words.question[name] for name in ("like", "edit", "edit_strength", "editing")}
    assert asked == {"like": "song.mp3", "edit": "with strings", "edit_strength": 0.7, "editing": "inversion"}


def test_a_model_and_its_step_are_named():
    words = read("", ["piano", "--model", "checkpoints/other", "--step", "200"])
    assert (words.model, words.step) == (Path("checkpoints/other"), 200)
    assert read("", ["piano", "--step", "last"]).step == "last"


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ([], "say what the music is like"),
        ([""], "the caption is empty"),
        ([" "], "the caption is empty"),
        (["piano", "--like", "song.mp3"], "and not both"),
        (["piano", "--no", "drums"], "no flag --no; did you mean --not?"),
        (["piano", "--not"], "--not: expected one argument"),
        (["piano", "--not", "=2"], "--not drums"),
        (["piano", "--not", "drums=loud"], "'drums' weighs 'loud'; give a number above 0"),
        (["piano", "--not", "drums=-1"], "give a number above 0"),
        (["piano", "--not", "drums=inf"], "give a number above 0"),
        (["piano", "--in", "/no/such/folder"], "/no/such/folder is not there; name a folder of audio"),
        (["piano", "-k", "0"], "give a whole number from 1 on"),
        (["piano", "--edit", "loud", "--strength", "1.1"], "give a number from 0 to 1"),
        (["piano", "--step", "first"], "give a number, best or last"),
        (["piano", "--json", "--csv"], "not allowed with argument --json"),
        (["piano", "--m3u", "/no/such/folder/list.m3u"], "name a file in a folder that is there"),
        (["piano", "--m3u", "/"], "name a file"),
    ],
)
def test_a_slip_is_told_in_one_sentence(typed, told):
    with pytest.raises(CommandError) as refused:
        read("", typed)
    assert told in str(refused.value) and "\n" not in str(refused.value)


def test_help_shows_the_commands_and_every_flag(capsys):
    with pytest.raises(SystemExit) as stopped:
        read("    python search.py WORDS", ["--help"])
    out = capsys.readouterr().out
    assert stopped.value.code == 0 and "    python search.py WORDS" in out
    assert all(flag in out for flag in ("--not WORDS", "--in PLACE", "--like TRACK", "--m3u FILE", "-k N"))


def test_a_slip_is_told_before_torch_is_imported():
    program = "import sys, search; sys.argv = ['search.py', 'piano', '--bars']\ntry: search.main()\n"
    program += "finally: print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "False\n")
    assert done.stderr.startswith("CommandError: no flag --bars; ") and done.stderr.count("\n") == 1
