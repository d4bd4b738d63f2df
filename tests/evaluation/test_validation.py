"""What training watches: retrieval on the validation tracks that can be retrieved."""

from functools import partial

import pytest
import torch
import torch.distributed as dist
from diffusers import DDIMScheduler
from test_datamodule import make_stores
from test_ldm import make_datamodule, make_model

from diffgar.errors import InputError
from diffgar.evaluation.validation import ValidationRetrieval
from diffgar.models.diffusion.sampling import Sampler


class Oracle:
    """A model whose caption vectors are the track means, but for `wrong` of them, which are those of the next track."""

    row, sampled = "oracle", False

    def __init__(self, audio, text, wrong=0):
        self.rows = list(audio.rows["row_id"])
        self.means, self.text, self.wrong = audio.means(range(len(audio))), text, wrong

    def embed_audio(self, means):
        return means

    def embed_text(self, text):
        return self.vectors


def retrieve(tmp_path, change=lambda audio, text: None, num_tracks=20, wrong=0):
    audio, text = make_stores(tmp_path, num_tracks)
    change(audio, text)
    retrieval = ValidationRetrieval(audio, text, sampler=None)
    model = Oracle(audio, text)
    own = [model.rows.index(track) for track in text.rows["track_id"].iloc[retrieval.positions]]
    model.vectors = model.means[own]
    model.vectors[:wrong] = model.vectors[:wrong].roll(1, 0)
    return retrieval, retrieval(model)


def test_a_model_that_knows_every_track_is_perfect(tmp_path):
    retrieval, metrics = retrieve(tmp_path)
    assert metrics == {"R@10": 100, "MedR": pytest.approx(100 / 7), "MRR": 100}
    assert len(retrieval.positions) == 7  # one caption per track


def test_a_model_that_mistakes_some_tracks_is_told_from_a_perfect_one_also_where_r10_cannot(tmp_path):
    metrics = retrieve(tmp_path, wrong=3)[1]
    assert metrics["R@10"] == 100 and metrics["MRR"] < 100


def test_tracks_without_latents_are_left_out_and_counted(tmp_path):
    def lose(audio, text):
        audio.rows.loc[[0, 3], "split"] = "lost"
        audio.rows.loc[[0, 3], "row_id"] = ["gone 0", "gone 3"]

    retrieval, metrics = retrieve(tmp_path, lose)
    assert len(retrieval.positions) == 5 and metrics["R@10"] == 100
    assert "validation: 2 tracks have captions but no latents, the first 't0'; they are left out" in retrieval.notes[0]


@pytest.mark.parametrize(("num_tracks", "warned"), [(3, True), (147, True), (150, False)])
def test_a_validation_of_few_tracks_is_said_to_tell_little(tmp_path, num_tracks, warned):
    notes = retrieve(tmp_path, num_tracks=num_tracks)[0].notes
    assert [f"validation: {-(-num_tracks // 3)} tracks" in note for note in notes] == [True] * warned


def test_one_track_with_one_caption_validates(tmp_path):
    def one(audio, text):
        text.rows.drop(index=text.rows.index[text.rows["caption"].isin(["t0 1", "t0 2"])], inplace=True)

    assert retrieve(tmp_path, one, num_tracks=2)[1] == {"R@10": 100, "MedR": 100, "MRR": 100}


def test_queries_are_ranked_about_the_models_centre(tmp_path):
    """Latents with a mean of ten times their spread rank as without it."""
    audio, text = make_stores(tmp_path)

    class Model:
        num_frames = 2

        def __init__(self, offset):
            self.centre = offset * torch.ones(6)

        def generate(self, sampler, text, generators, num_frames):
            return torch.stack([torch.randn(num_frames, 6, generator=g) for g in generators]) + self.centre

    class Sampler:
        num_samples, batch_size = 1, 8

    plain, shifted = (ValidationRetrieval(audio, text, Sampler()) for _ in range(2))
    shifted.means = shifted.means + 10
    assert plain(Model(0)) == pytest.approx(shifted(Model(10)))


def test_a_model_that_has_diverged_is_told_and_not_called_an_unreadable_track(tmp_path):
    retrieval, _ = retrieve(tmp_path)
    model = Oracle(*make_stores(tmp_path / "other", 20))
    model.vectors = torch.full((len(retrieval.positions), 6), torch.nan)
    with pytest.raises(InputError, match="the training has diverged: .* with a lower optimizer.lr"):
        retrieval(model)


def measured(folder, rank=0, world_size=1):
    """The ranks' metrics and the queries of an untrained model, and how many captions this process sampled."""
    datamodule = make_datamodule(folder)
    model, sampled = make_model(datamodule).eval(), []
    generate = model.generate
    model.generate = lambda sampler, text, *args: sampled.append(len(text.mask)) or generate(sampler, text, *args)
    sampler = Sampler(partial(DDIMScheduler.from_config, timestep_spacing="trailing"), num_steps=2, batch_size=8)
    retrieval = ValidationRetrieval(datamodule.audio, datamodule.text, sampler)
    queries = retrieval.shared_queries(model, model.centre, rank, world_size)
    return {"metrics": retrieval(model, rank, world_size), "queries": queries, "sampled": sampled}


def measure_in_one_of_two(rank, folder):
    dist.init_process_group("gloo", init_method=f"file://{folder / 'meeting'}", rank=rank, world_size=2)
    torch.set_num_threads(1)
    torch.save(measured(folder, rank, 2), folder / f"{rank}.pt")
    dist.destroy_process_group()


def test_two_processes_sample_half_the_captions_each_and_have_the_ranks_of_one_to_the_last_digit(tmp_path):
    make_stores(tmp_path, num_tracks=150)
    torch.multiprocessing.spawn(measure_in_one_of_two, args=(tmp_path,), nprocs=2)
    one, halves = measured(tmp_path), [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)]
    assert one["metrics"]["MRR"] > 0 and one["sampled"] == 2 * [8, 8, 8, 8, 8, 8, 2]
    assert [half["sampled"] for half in halves] == [2 * [8, 8, 8, 2], 2 * [8, 8, 8]]
    for half in halves:
        assert half["metrics"] == one["metrics"] and torch.equal(half["queries"], one["queries"])
