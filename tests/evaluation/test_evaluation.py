"""The retrieval evaluator: tasks, both protocols, rows and intervals, hubness, attributes, the listing."""

import pandas as pd
import pytest
import torch

from diffgar.evaluation.metrics.attributes import (
    attribute_codes,
    attribute_precision,
    chance_of_attributes,
    summarise_attributes,
)
from diffgar.evaluation.metrics.hubness import TEMPERATURE, QueryBankNorm
from diffgar.evaluation.metrics.ranks import top_k
from diffgar.evaluation.metrics.summary import Summary
from diffgar.evaluation.pooling import make_queries
from diffgar.evaluation.report import CHANCE, TEACHER, System
from diffgar.evaluation.reports.worst import worst_captions
from diffgar.evaluation.retrieval import RetrievalOptions, evaluate_retrieval
from diffgar.evaluation.tasks import RetrievalTask

GDR = System("gdr")
NUM_TRACKS, PER_TRACK, DIM = 60, 3, 16
QUICK = RetrievalOptions(num_resamples=50)


def tables(num_tracks=NUM_TRACKS, per_track=PER_TRACK):
    tracks = pd.DataFrame({"track_id": [f"t{n}" for n in range(num_tracks)], "split": "test"})
    owners = [f"t{n}" for n in range(num_tracks) for _ in range(per_track)]
    ids = [f"c{n}" for n in range(len(owners))]
    captions = pd.DataFrame({"caption_id": ids, "track_id": owners, "caption": [f"music {name}" for name in ids]})
    return tracks, captions


@pytest.fixture
def task():
    return RetrievalTask.from_tables("demo", *tables(), split="test")


@pytest.fixture
def index():
    return torch.randn(NUM_TRACKS, DIM, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def rows(task, index):
    noise = torch.randn(3, NUM_TRACKS * PER_TRACK, DIM, generator=torch.Generator().manual_seed(1))
    return {TEACHER: index[task.targets][None] + noise[:1], GDR: index[task.targets] + 1.5 * noise}


def test_a_task_takes_its_split_and_keeps_the_order_of_its_tables():
    tracks, captions = tables()
    tracks.loc[::2, "split"] = "train"
    task = RetrievalTask.from_tables("demo", tracks, captions, split="test")
    assert task.track_ids == tuple(f"t{n}" for n in range(1, NUM_TRACKS, 2))
    assert [task.track_ids[row] for row in task.targets] == list(task.captions["track_id"])
    assert len(task.captions) == NUM_TRACKS // 2 * PER_TRACK


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t, c: (t, c.drop(columns="caption")), "captions lacks column 'caption'"),
        (lambda t, c: (t.drop(columns="split"), c), "tracks lacks column 'split'"),
        (lambda t, c: (pd.concat([t, t[:1]]), c), "1 duplicate track_ids, first 't0'"),
        (lambda t, c: (t, pd.concat([c, c[4:5]])), "1 duplicate caption_ids, first 'c4'"),
        (
            lambda t, c: (t, c.assign(caption=c["caption"].where(c["caption_id"] != "c7", "  "))),
            "first caption_id 'c7'",
        ),
        (lambda t, c: (t.drop(index=5), c), "3 captions belong to tracks that the table lacks, first track_id 't5'"),
        (lambda t, c: (t.assign(split="train"), c), "no captions for the 0 tracks of split 'test'"),
    ],
)
def test_tables_that_make_no_task_are_refused_by_name(change, message):
    with pytest.raises(ValueError, match=message):
        RetrievalTask.from_tables("demo", *change(*tables()), split="test")


def test_missing_tracks_are_refused_unless_allowed_and_then_told(task):
    available = set(task.track_ids) - {"t3", "t9"}
    with pytest.raises(ValueError, match=r"2 of 60 tracks have no latents, first 't3'.*allow_missing=true"):
        task.with_tracks(available)
    rest = task.with_tracks(available, allow_missing=True)
    described = rest.describe()
    assert rest.missing == ("t3", "t9")
    assert (described["pool_size"], described["num_queries"], described["num_missing_tracks"]) == (58, 174, 2)
    assert described["pool"] != task.describe()["pool"]


def test_a_perfect_model_finds_every_track_and_chance_stays_chance(task, index):
    report = evaluate_retrieval({GDR: index[task.targets][None]}, index, task, QUICK)
    assert report.rows[GDR]["R@1"] == Summary.exact(100.0)
    assert report.rows[GDR]["MedR_abs"].mean == 1
    assert report.rows[CHANCE]["R@10"].mean == pytest.approx(100 * 10 / NUM_TRACKS)
    assert list(report.rows) == [CHANCE, GDR]
    assert set(report.rows[CHANCE]) == set(report.rows[GDR])


def test_rows_carry_seeds_intervals_and_paired_differences(task, index, rows):
    report = evaluate_retrieval(rows, index, task, QUICK)
    teacher, gdr = report.rows[TEACHER]["R@10"], report.rows[GDR]["R@10"]
    assert teacher.std == 0 < gdr.std
    assert gdr.low < gdr.mean < gdr.high < teacher.mean
    paired = report.paired[TEACHER, GDR]["R@10"]
    assert paired.difference == pytest.approx(teacher.mean - gdr.mean)
    assert paired.outside_noise and paired.low > 0
    assert report.protocol["seeds"] == {"teacher": 1, "gdr": 3}


def test_per_query_ranks_give_the_table_again(task, index, rows):
    report = evaluate_retrieval(rows, index, task, QUICK)
    queries = report.queries
    assert len(queries) == 4 * len(task.captions)
    again = queries[queries["row"] == "gdr"].groupby("seed")["rank"].agg(lambda ranks: 100 * (ranks <= 10).mean())
    assert again.mean() == pytest.approx(report.rows[GDR]["R@10"].mean)


def test_caption_rows_repeat_the_tracks_and_count_only_the_diagonal(task, index, rows):
    """Other captions' rows of the same track tie with the right one: mid-rank, the bounds beside it."""
    report = evaluate_retrieval({GDR: index[task.targets][None]}, index, task.with_protocol("caption_rows"), QUICK)
    metrics = {name: value.mean for name, value in report.rows[GDR].items()}
    assert report.protocol["pool_size"] == NUM_TRACKS * PER_TRACK
    assert (metrics["R@1"], metrics["R@1_optimistic"], metrics["R@1_pessimistic"]) == (0, 100, 0)
    assert (metrics["R@5"], metrics["MedR_abs"], metrics["ties"]) == (100, 2, 100)
    assert metrics["MedR"] == 100  # of the worst rank seen, which is 2 as well
    unique = evaluate_retrieval(rows, index, task, QUICK).rows[GDR]["R@10"].mean
    repeated = evaluate_retrieval(rows, index, task.with_protocol("caption_rows"), QUICK).rows[GDR]["R@10"]
    assert repeated.mean < unique


def test_audio_to_text_counts_every_caption_of_a_track(task, index, rows):
    options = RetrievalOptions(direction="audio_to_text", num_resamples=50)
    captions = rows[TEACHER][0]
    report = evaluate_retrieval({TEACHER: index[None]}, captions, task, options)
    similarity = torch.nn.functional.cosine_similarity(index[:, None], captions, dim=-1)
    best = torch.stack([similarity[track, task.targets == track].max() for track in range(NUM_TRACKS)])
    expected = 1 + ((similarity > best[:, None]).sum(dim=1))
    assert report.queries["rank"].tolist() == expected.tolist()
    assert report.protocol["pool_size"] == len(task.captions)
    assert report.protocol["num_queries"] == NUM_TRACKS
    with pytest.raises(ValueError, match="audio_to_text is evaluated by unique_tracks only"):
        evaluate_retrieval({TEACHER: index[None]}, captions, task.with_protocol("caption_rows"), options)


def test_tracks_without_captions_stay_in_the_pool_and_are_not_asked():
    tracks, captions = tables()
    task = RetrievalTask.from_tables("demo", tracks, captions[captions["track_id"] != "t0"], split="test")
    index = torch.randn(NUM_TRACKS, DIM)
    options = RetrievalOptions(direction="audio_to_text", num_resamples=5)
    report = evaluate_retrieval({TEACHER: index[None]}, index[task.targets], task, options)
    assert task.describe()["pool_size"] == NUM_TRACKS
    assert report.queries["query_id"].tolist() == list(task.track_ids[1:])
    assert report.rows[TEACHER]["mAP@10"].mean == pytest.approx(100)


def test_rows_of_another_shape_are_refused_by_row(task, index, rows):
    with pytest.raises(ValueError, match=r"system 'gdr': expected queries \(seeds, 180, D\)"):
        evaluate_retrieval({GDR: rows[GDR][0]}, index, task)
    with pytest.raises(ValueError, match="the index has 59 rows, task demo has 60"):
        evaluate_retrieval(rows, index[1:], task)
    with pytest.raises(ValueError, match="'chance' is taken"):
        evaluate_retrieval({CHANCE: rows[GDR]}, index, task)
    with pytest.raises(ValueError, match="give the queries of at least one system"):
        evaluate_retrieval({}, index, task)


def test_samples_are_averaged_or_kept_as_a_set():
    latents = torch.randn(5, 3, 7, DIM)  # (Q, K, T, D)
    mean = make_queries(latents)
    vectors = torch.nn.functional.normalize(latents.mean(dim=2), dim=-1)
    assert torch.allclose(mean, torch.nn.functional.normalize(vectors.mean(dim=1), dim=-1), atol=1e-6)
    assert torch.allclose(make_queries(latents, samples="set"), vectors, atol=1e-6)
    frames = make_queries(latents, samples="set", pooling="best_frame")
    assert frames.shape == (5, 21, DIM)
    assert torch.allclose(frames.norm(dim=-1), torch.ones(5, 21))
    assert make_queries(latents, pooling="best_frame").shape == (5, 7, DIM)


def test_query_bank_norm_ranks_as_the_papers_formula(index):
    generator = torch.Generator().manual_seed(2)
    queries, bank = torch.randn(40, DIM, generator=generator), torch.randn(25, DIM, generator=generator)

    def cosine(a, b):
        return torch.nn.functional.cosine_similarity(a[:, None], b, dim=-1).double()

    similarity, activated = cosine(queries, index), set(cosine(bank, index).argmax(dim=1).tolist())
    normaliser = (TEMPERATURE * cosine(bank, index)).exp().sum(dim=0)
    expected = similarity.clone()
    for query, row in enumerate(similarity):
        if int(row.argmax()) in activated:
            expected[query] = (TEMPERATURE * row).exp() / normaliser
    found = QueryBankNorm.fit(bank, index)(similarity.float())
    assert 0 < sum(int(row.argmax()) in activated for row in similarity) < 40
    assert torch.equal(found.argsort(dim=1), expected.argsort(dim=1))


def test_hubness_rows_stand_beside_the_plain_ones_and_mend_a_hub(task, index):
    hub = index.clone()
    hub[0] = 30 * index.mean(dim=0) + 0.1 * index[0]
    shift = 4 * torch.nn.functional.normalize(hub[0], dim=0)  # every query leans towards track 0
    noise = torch.randn(len(task.captions), DIM, generator=torch.Generator().manual_seed(3))
    queries = {GDR: (hub[task.targets] + noise + shift)[None]}
    bank = {GDR: torch.randn(400, DIM, generator=torch.Generator().manual_seed(4)) + shift}
    options = RetrievalOptions(num_resamples=5, hubness=("qb_norm", "centring"))
    for protocol in ("unique_tracks", "caption_rows"):
        rows = evaluate_retrieval(queries, hub, task.with_protocol(protocol), options, bank).rows
        assert rows[System("gdr", correction="qb_norm")]["MRR"].mean > rows[GDR]["MRR"].mean
        assert rows[System("gdr", correction="centring")]["MRR"].mean > rows[GDR]["MRR"].mean
    with pytest.raises(ValueError, match="needs training queries of 'gdr': give its queries in `bank`"):
        evaluate_retrieval(queries, hub, task, options)


def test_attribute_precision_by_hand():
    attributes = torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]])  # (N, A)
    named = torch.tensor([[0, -1], [0, 0]])
    nearest = torch.tensor([[0, 1, 2], [0, 1, 2]])
    # tracks 0 and 1 have the first attribute asked for, tracks 0 and 2 the second
    assert attribute_precision(nearest, named, attributes).tolist() == pytest.approx([200 / 3, 200 / 3])
    assert attribute_precision(nearest[:, :1], named, attributes).tolist() == [100, 100]


def test_attributes_count_right_what_one_right_track_hides(task):
    attributes = pd.DataFrame({"bass": ["slap", "none"] * 30, "mood": ["calm"] * 30 + ["tense"] * 30})
    named, codes = attribute_codes([["bass"], ["bass", "mood"], []] * NUM_TRACKS, task.targets, attributes)
    assert named[:3].tolist() == [[1, -1], [1, 0], [-1, -1]]  # of track 0: slap, calm
    index = torch.nn.functional.one_hot(codes[:, 0] * 2 + codes[:, 1]).float()  # equal attributes, equal tracks
    found = summarise_attributes(index[task.targets][None], index, task.targets, named, codes, num_resamples=5)
    assert (found.mean, found.n) == (100, 2 * NUM_TRACKS)
    assert chance_of_attributes(named, codes) == Summary.exact(pytest.approx(50), 2 * NUM_TRACKS)
    ranks = evaluate_retrieval({GDR: index[task.targets][None]}, index, task, QUICK).rows
    assert ranks[GDR]["R@1"].mean == 0
    with pytest.raises(ValueError, match="caption 0 names 'tempo', but tracks have only bass, mood"):
        attribute_codes([["tempo"]], task.targets[:1], attributes)


@pytest.mark.parametrize("num_attributes", [1, 3, 7, 11])
def test_the_chance_of_attributes_is_that_of_a_list_of_the_whole_pool_to_the_bit(num_attributes):
    """Values are counted once, and not by a list of the pool for each caption."""
    random = torch.Generator().manual_seed(num_attributes)
    codes = torch.randint(-1, 6, (91, num_attributes), generator=random)  # −1: a track without a value
    named = codes[torch.randint(91, (400,), generator=random)]
    named = torch.where(torch.rand(named.shape, generator=random) < 0.4, named, -1)
    asked = named[(named != -1).any(dim=1)]
    pool = torch.arange(91).expand(1, -1)
    brute = torch.cat([attribute_precision(pool, values.unsqueeze(0), codes) for values in asked])
    assert chance_of_attributes(named, codes) == Summary.exact(float(brute.mean()), len(asked))


def test_the_listing_starts_with_the_worst_caption_and_tells_what_came_instead(task, index):
    queries = index[task.targets].clone()
    queries[7] = -index[task.targets[7]] + 0.01 * index[11]  # away from its track, last of all
    report = evaluate_retrieval({GDR: queries[None]}, index, task, QUICK)
    listing = worst_captions(report.queries, task, top_k(queries, index)[1], count=5)
    assert len(listing) == 5
    assert listing.loc[0, ["caption_id", "track_id", "rank"]].tolist() == ["c7", "t2", NUM_TRACKS]
    nearest = torch.nn.functional.cosine_similarity(queries[7:8], index).argmax()
    assert listing.loc[0, "retrieved"][0] == f"t{int(nearest)}"
    assert listing.loc[0, "retrieved_caption"] == f"music c{int(nearest) * PER_TRACK}"
    with pytest.raises(ValueError, match="no ranks of row 'teacher'; there are gdr"):
        worst_captions(report.queries, task, top_k(queries, index)[1], row="teacher")
