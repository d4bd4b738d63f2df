"""Which tracks answer what a caption asks, where its request has several kinds of answers: ground truth from stores."""

from collections.abc import Mapping

import pandas as pd
import torch

from diffgar.dataloading.datasets.cells import blank
from diffgar.dataloading.store.reader import Store
from diffgar.dataloading.store.text import TextStore
from diffgar.errors import InputError
from diffgar.evaluation.experiment import Experiment
from diffgar.evaluation.metrics.coverage import chance_of_answers, summarise_answers
from diffgar.evaluation.report import CHANCE, Metrics, System
from diffgar.evaluation.systems import Systems


def answer_metrics(
    experiment: Experiment, systems: Systems, answers: Mapping[str, str], mmr: float | None = None
) -> dict[System, Metrics]:
    """`precision@10` and `coverage@10` of every system and of chance, on the captions that ask for something.

    answers: `asked`, the column of what captions ask for, and `by`, the tracks' column of the kind of answer that each
    is: {asked: purpose, by: lead}. mmr: as for `nearest`. Raises InputError as `refuse_no_answers` does.
    """
    requests, table = requests_and_table(experiment.audio, experiment.text, answers)
    asked = requests.iloc[experiment.caption_positions].reset_index(drop=True).dropna()
    captions = torch.tensor(asked.index.to_numpy())
    if not len(captions):
        return {}
    fits = torch.tensor(table.loc[asked].to_numpy())  # (Q', A)
    own = experiment.audio.rows[answers["by"]].iloc[experiment.track_positions]
    kinds = torch.tensor(table.columns.get_indexer(own.astype(str)))  # (N,)
    targets = experiment.task.targets[captions]
    found = {CHANCE: chance_of_answers(kinds, fits)}
    for system, queries in systems.queries.items():
        found[system] = summarise_answers(queries[:, captions], systems.index[system], targets, kinds, fits, mmr)
    return found


def requests_and_table(
    audio: Store, text: TextStore, answers: Mapping[str, str]
) -> tuple["pd.Series[str]", pd.DataFrame]:
    """What each caption of the text store asks for, NaN for nothing, and which kinds (columns) answer it (rows), bool.

    A kind answers a request if a track of that kind has a caption with that request, in any split.
    """
    refuse_no_answers(audio, text, answers)
    tracks, captions = audio.rows.set_index("row_id"), text.rows
    own = captions["track_id"]
    requests = captions[answers["asked"]] if answers["asked"] in captions else own.map(tracks[answers["asked"]])
    requests = requests.mask(requests.map(blank)).astype("string")
    kinds = tracks[answers["by"]].astype(str)
    table = pd.crosstab(requests, own.map(kinds)) > 0
    return requests, table.reindex(columns=sorted(set(kinds)), fill_value=False)


def refuse_no_answers(audio: Store, text: TextStore, answers: object) -> None:
    """Raises InputError where `task.answers` is not two columns that the stores have."""
    if not isinstance(answers, Mapping) or set(answers) != {"asked", "by"}:
        raise InputError(f"task.answers is {answers!r}; give it two columns: task.answers={{asked: purpose, by: lead}}")
    for name, there in (("asked", {*text.rows, *audio.rows}), ("by", set(audio.rows))):
        if answers[name] not in there:
            raise InputError(
                f"task.answers.{name}: the stores have no column {answers[name]!r}; there are "
                f"{', '.join(sorted(there))}; give it in the dataset's table and extract again, or set "
                "task.answers=null"
            )
