"""What the page is told, as JSON: the library once, and every answer."""

from typing import Any

import numpy as np

from diffgar.app.engine import COUNT, Answer, Engine
from diffgar.app.trail import Trail
from diffgar.app.uploads import LARGEST, TOO_LARGE
from diffgar.search.hits import Hit, Hits
from diffgar.search.negatives import tags_of

MOST_POINTS = 20_000  # tracks on the map; of more, as many spread evenly over the library
MOST_VALUES = 12  # of a tag that colours the map

Told = dict[str, Any]


def told_library(engine: Engine) -> Told:
    """The library: its size, its map, the tags that may colour it, and captions to begin with."""
    library, points = engine.library, engine.plane.points
    shown = np.unique(np.linspace(0, len(points) - 1, min(len(points), MOST_POINTS)).round().astype(int))
    opened = library.retriever.opened
    return {
        "kind": "library",
        "model": opened.name,
        "collection": library.store.card.dataset,
        "tracks": len(library),
        "left_out": len(library.skipped),
        "map": {"positions": shown.tolist(), "points": points[shown].round(4).tolist(), "tags": tags(engine, shown)},
        "largest": LARGEST,
        "too_large": TOO_LARGE,
    }


def tags(engine: Engine, shown: np.ndarray) -> list[Told]:
    """The tags that may colour the map, the one that it tells apart best first: the values of each, and which of them
    every shown track has; -1 is none.
    """
    table, points = engine.library.tracks.iloc[shown], engine.plane.points[shown]
    found = []
    for name, values in tags_of(engine.library.tracks, MOST_VALUES).items():
        numbers = {value: number for number, value in enumerate(values)}
        found.append({"name": name, "values": values, "of": [numbers.get(value, -1) for value in table[name]]})
    return sorted(found, key=lambda tag: -told_apart(points, np.array(tag["of"])))


def told_apart(points: np.ndarray, values: np.ndarray) -> float:
    """How much of the spread of points (N, 2) lies between the groups that values (N,) make of them, from 0 to 1."""
    centre = points.mean(axis=0)
    groups = [points[values == value] for value in np.unique(values)]
    between = sum(len(group) * ((group.mean(axis=0) - centre) ** 2).sum() for group in groups)
    return float(between / max(((points - centre) ** 2).sum(), 1e-12))


def told_answer(engine: Engine, trail: Trail) -> Told:
    """The answer that a trail shows, and the trail."""
    answer = trail.shown
    told = {
        "kind": "answer",
        "query": answer.query.to_page(),
        "title": answer.title,
        "hits": told_hits(engine, answer.hits, list(answer.before)),
        "plain": None if answer.plain is None else told_hits(engine, answer.plain, list(answer.after)),
        "count": COUNT,
        "point": engine.point(answer.hits).round(4).tolist(),
        "avoided": answer.hits.asked["negatives"],
        "csv": answer.hits.to_pandas().to_csv(index=False),
        "m3u": answer.hits.to_m3u(),
    }
    return told | {"trail": [told_step(each) for each in trail.answers], "current": trail.current}


def told_step(answer: Answer) -> Told:
    """A step of the trail, in words."""
    query = answer.query
    kind = "file" if query.upload else "like" if query.like else "caption"
    return {"kind": kind, "title": answer.title, "edit": query.edit, "avoided": list(query.avoided)}


def told_hits(engine: Engine, hits: Hits, others: list[int | None] | list[int]) -> list[Told]:
    """Hits as the page shows them. others: the rank of each in the other list, if there is one."""
    moved = others or [None] * len(hits)
    return [told_hit(engine, hit, hits) | {"other": other} for hit, other in zip(hits, moved, strict=True)]


def told_hit(engine: Engine, hit: Hit, hits: Hits) -> Told:
    """A hit: the track, when in it, and how the query fits along it."""
    timeline = engine.library.timeline(hit, hits)
    return told_track(engine, hit.position) | {
        "rank": hit.rank,
        "percentile": round(hit.percentile, 2),
        "score": round(hit.score, 4),
        "seconds": hit.seconds,
        "timeline": timeline.round(4).tolist(),
    }


def told_track(engine: Engine, position: int) -> Told:
    """A track: what it is called, where its part of the file begins, and where it lies on the map."""
    library = engine.library
    track = library.tracks.iloc[position]
    start = track.get("start_s")
    return {
        "position": position,
        "track_id": str(track["row_id"]),
        "name": engine.name(position),
        "start": 0.0 if start is None or np.isnan(start) else float(start),
        "hop": library.seconds_per_frame,
        "point": engine.plane.points[position].round(4).tolist(),
    }
