"""`scores.csv` beside a model's checkpoints: the validation metrics of each step, which choose the best one."""

from pathlib import Path
from typing import TYPE_CHECKING

from diffgar.dataloading.store.card import write_atomically
from diffgar.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

SCORES = ("R@10", "MedR", "MRR")  # per cent; a step is chosen by the first, ties by the next


class ScoresError(InputError):
    """A scores.csv that cannot be read. The message has the remedy."""


def scores_of(folder: Path) -> "pd.DataFrame":
    """Validation metrics (%) by step, as training wrote them; an older file has R@10 alone. Raises ScoresError."""
    import pandas as pd  # here: a command line that is refused needs none of it

    path = Path(folder) / "scores.csv"
    if not path.is_file() or not path.stat().st_size:
        return pd.DataFrame(columns=SCORES, index=pd.Index([], name="step"), dtype=float)
    try:
        table = pd.read_csv(path).drop_duplicates("step", keep="last").set_index("step")
        return table.astype(float).reindex(columns=SCORES)
    except (ValueError, KeyError) as error:
        raise ScoresError(
            f"{path} is damaged ({error}); delete it, and the next start of its training scores the steps again"
        ) from error


def record_score(folder: Path, step: int, metrics: dict[str, float]) -> None:
    """Write a step's validation metrics (%) into scores.csv; they replace those that the step had."""
    table = scores_of(folder)
    table.loc[step] = [metrics.get(name, float("nan")) for name in SCORES]
    write_atomically(Path(folder) / "scores.csv", table.sort_index().to_csv(float_format="%.4f").encode())
