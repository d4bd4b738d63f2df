"""The checklist of a paper's findings: held, partly held, not held and not measured, each by results made for it."""

import json

import pytest
import yaml

from diffgar.evaluation.metrics.summary import Summary
from diffgar.evaluation.report import CHANCE, PLAIN, TEACHER, System
from diffgar.evaluation.reports import miniature
from diffgar.evaluation.reports.findings import HELD, NOT_HELD, NOT_MEASURED, PARTLY, Gap, checklist, unpaired
from diffgar.evaluation.reports.paper import PUBLISHED
from diffgar.evaluation.reports.results import Result, write_result

GDR, MLP = System("gdr"), System("general_mlp", step=600)
SETTINGS = yaml.safe_load(miniature.MINIATURE.read_text())
NUMBERS = yaml.safe_load(PUBLISHED.read_text())
LABELS = NUMBERS["retrieval"] | NUMBERS["encoder_pairs"]


def summary(mean, half=2.0):
    return Summary(mean, 0.0, mean - half, mean + half)


def retrieval(model, task, recalls, half=2.0, gap_half=1.0, **fields):
    """A result whose rows have these R@10, and the paired differences between them."""
    metrics = {system: dict.fromkeys(miniature.METRICS, summary(mean, half)) for system, mean in recalls.items()}
    pairs = [(a, b) for i, a in enumerate(recalls) for b in list(recalls)[i + 1 :]]
    paired = {
        f"{a.label} - {b.label}": {
            "R@10": {
                "difference": recalls[a] - recalls[b],
                "low": recalls[a] - recalls[b] - gap_half,
                "high": recalls[a] - recalls[b] + gap_half,
            }
        }
        for a, b in pairs
    }
    protocol = {"name": "unique_tracks", "sampler": {"guidance_scale": fields.pop("scale", 3)}}
    return Result(
        "retrieval", model, task, 600, protocol, metrics, asked_step="best", extra={"paired": paired}, **fields
    )


def control(kind, curves):
    """A control result of the model `general_plain` on the demo: system → metric → mean."""
    rows = {system: {name: summary(mean) for name, mean in metrics.items()} for system, metrics in curves.items()}
    return Result("control", "general_plain", "demo", 600, {"name": "unique_tracks", "control": kind}, rows)


def verdicts(*results):
    return [finding.verdict for finding in checklist(results, SETTINGS["findings"], LABELS)]


def test_without_results_nothing_is_measured_and_the_published_numbers_stand():
    findings = checklist([], SETTINGS["findings"], LABELS)
    assert {finding.verdict for finding in findings} == {NOT_MEASURED} and len(findings) == 9
    assert findings[0].published == "22.9 against 12.3 (PC)"
    assert findings[4].published == "29.2 against 22.9 (PC)"


@pytest.mark.parametrize(("gdr", "verdict"), [(20.0, HELD), (12.5, NOT_HELD), (9.0, NOT_HELD)])
def test_above_asks_for_a_difference_outside_the_noise(gdr, verdict):
    assert verdicts(retrieval("general_plain", "demo", {TEACHER: 12.0, GDR: gdr}))[0] == verdict


@pytest.mark.parametrize(("gdr", "verdict"), [(57.0, HELD), (53.0, HELD), (50.0, NOT_HELD), (70.0, NOT_HELD)])
def test_level_is_within_a_tenth_of_the_other(gdr, verdict):
    assert verdicts(retrieval("demo_plain", "demo", {TEACHER: 57.0, GDR: gdr}))[1] == verdict


def test_two_places_of_which_one_is_as_claimed_hold_partly_and_one_alone_counts_as_it_is():
    below = retrieval("general_plain", "general", {TEACHER: 30.0, GDR: 20.0})
    above = retrieval("general_plain", "third", {TEACHER: 10.0, GDR: 20.0})
    assert verdicts(below)[2] == HELD
    assert verdicts(above)[2] == NOT_HELD
    assert verdicts(below, above)[2] == PARTLY


def test_as_well_is_not_below_but_for_the_noise():
    other = System("general_minilm", step=400)
    for minilm, verdict in ((30.0, HELD), (22.5, HELD), (20.0, NOT_HELD)):
        assert verdicts(retrieval("general_plain", "demo", {GDR: 23.0, other: minilm}))[4] == verdict


def test_a_baseline_of_the_same_result_is_compared_with_its_model_either_way_round():
    for rows in ({GDR: 25.0, MLP: 20.0}, {MLP: 20.0, GDR: 25.0}):
        assert verdicts(retrieval("general_plain", "demo", rows))[5] == HELD
    assert verdicts(retrieval("general_plain", "demo", {GDR: 20.4, MLP: 20.0}))[5] == NOT_HELD


def test_guidance_needs_a_scale_of_1_and_one_above():
    one = retrieval("general_plain", "demo", {GDR: 15.0}, scale=1, differences={"guidance_scale": "1"})
    five = retrieval("general_plain", "demo", {GDR: 16.0}, scale=5, differences={"guidance_scale": "5"})
    three = retrieval("general_plain", "demo", {GDR: 22.0})
    assert verdicts(one)[6] == verdicts(three, five)[6] == NOT_MEASURED
    assert verdicts(one, five)[6] == NOT_HELD
    assert verdicts(one, three, five)[6] == HELD
    assert (
        checklist([one, three, five], SETTINGS["findings"], LABELS)[6].found == "R@10 15.0 at 1, 22.0 at 3, 16.0 at 5"
    )


def test_a_result_at_another_guidance_stands_in_no_table():
    other = retrieval("demo_plain", "demo", {TEACHER: 57.0, GDR: 10.0}, differences={"guidance_scale": "1"})
    assert verdicts(other)[1] == NOT_MEASURED


def test_a_curve_holds_where_its_end_is_outside_the_noise_of_its_start():
    def edits(gained, kept):
        ends = {PLAIN: {"gained@10": 10.0, "kept@10": 60.0}}
        shares = [System("inversion", strength={"share": share}) for share in (0.4, 1.0)]
        middle, last = ({"gained@10": g, "kept@10": k} for g, k in ((15.0, 55.0), (gained, kept)))
        return control("inversion", ends | dict(zip(shares, (middle, last), strict=True)))

    assert verdicts(edits(50.0, 40.0))[7] == HELD
    assert verdicts(edits(50.0, 59.0))[7] == NOT_HELD
    negative = {PLAIN: {"share@10": 52.0}, System("replace", strength={"guidance": 2.0}): {"share@10": 20.0}}
    assert verdicts(control("negative", negative))[7:] == [NOT_MEASURED, HELD]


def test_independent_halves_add_as_squares():
    assert unpaired(summary(10.0, 3.0), summary(4.0, 4.0)) == Gap(6.0, 1.0, 11.0, 4.0)


def test_the_report_prints_both_tables_and_the_checklist_and_writes_them_where_no_result_is_looked_for(
    tmp_path, capsys
):
    result = retrieval("general_plain", "demo", {TEACHER: 12.0, GDR: 20.0})
    write_result(tmp_path, Result(**{**vars(result), "rows": {CHANCE: result.rows[GDR]} | dict(result.rows)}))
    for _ in range(2):  # what it wrote is in its way no more than a result is
        miniature.report(str(tmp_path))
    printed = capsys.readouterr().out
    assert "In domain, generated queries" in printed and "not measured" in printed
    content = json.loads((tmp_path / "tables/paper_in_miniature.json").read_text())
    assert [finding["verdict"] for finding in content["findings"]][:2] == [HELD, NOT_MEASURED]
    retrieval_rows = content["tables"][0]["rows"]
    assert retrieval_rows[3][:5] == ["", "general_plain, gdr", "20.0", "20.0", "20.0 [18.0, 22.0]"]
    assert "22.9" in retrieval_rows[2]
    markdown = (tmp_path / "tables/paper_in_miniature.md").read_text()
    assert markdown.count("**") == 6 and "no miniature" in markdown


def test_what_stands_beside_the_paper_names_rows_and_tasks_that_it_has():
    assert set(SETTINGS["ours"]) <= set(LABELS)
    assert set(SETTINGS["tasks"]) == set(next(iter(NUMBERS["retrieval"].values())))
