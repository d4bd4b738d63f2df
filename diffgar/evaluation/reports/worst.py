"""A listing to read: the captions with the worst ranks, and what was retrieved instead of their track."""

import pandas as pd
from torch import Tensor

from diffgar.evaluation.tasks import RetrievalTask


def worst_captions(
    queries: pd.DataFrame, task: RetrievalTask, nearest: Tensor, row: str = "gdr", count: int = 20
) -> pd.DataFrame:
    """The `count` captions of the highest rank, in the mean over sampling seeds, worst first.

    queries: the per-query ranks of `evaluate_retrieval`, text → audio. nearest (Q, k): what `top_k` of one seed's
    queries found in the index. row: the system's label. Returns a table of caption_id, caption, track_id, rank,
    `retrieved` (k track ids, nearest first) and `retrieved_caption` (a caption of the nearest track).
    """
    own = queries[queries["row"] == row]
    if own.empty:
        known = ", ".join(queries["row"].unique())
        raise ValueError(f"no ranks of row {row!r}; there are {known}")
    ranks = own.groupby("query_id")["rank"].mean()
    table = task.captions[["caption_id", "caption", "track_id"]].copy()
    table["rank"] = ranks.reindex(table["caption_id"]).to_numpy()
    table["retrieved"] = [[task.track_ids[track] for track in tracks] for tracks in nearest.tolist()]
    first_caption = task.captions.drop_duplicates("track_id").set_index("track_id")["caption"]
    table["retrieved_caption"] = [first_caption.get(tracks[0], "") for tracks in table["retrieved"]]
    order = table.sort_values(["rank", "caption_id"], ascending=[False, True], kind="stable")
    return order.head(count).reset_index(drop=True)
