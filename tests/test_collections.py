"""Collections and encoders that a researcher brings, from extraction to a table, by the scripts."""

import numpy as np
import pandas as pd
import pytest
import soundfile
from layouts import WORDS, word_tokenizer
from pages import blocks
from scripts import COLLECTION, ROOT, composed, invoke, places, run

from diffgar.jobs import extract

LEAF = "extract_features/clap/extract_songdescriber"
TRAIN = ["--config", "config/train_ldm/model/encoder_pair/clap/unet/train_ldm_sample_pred_base.yaml"]
SHORT = ["trainer.max_steps=2", "trainer.val_check_interval=2", "lr_scheduler.warmup_steps=1", "batch_size=8"]
SHORT += ["backbone=unet_small", "num_frames=4"]
SMALL = [  # the networks of CLAP with few parameters
    "encoder_pair.latent_dim=24",
    "encoder_pair.text_dim=32",
    "+encoder_pair.audio_encoder.model_config={projection_dim:24,audio_config:{patch_embeds_hidden_size:16,"
    "hidden_size:128,depths:[1,1,2,1],num_attention_heads:[2,2,4,4]}}",
    "+encoder_pair.text_encoder.model_config={projection_dim:24,text_config:{hidden_size:32,num_hidden_layers:2,"
    "num_attention_heads:2,intermediate_size:64,max_position_embeddings:90,vocab_size:${vocab_size}}}",
]


@pytest.fixture(scope="module")
def song_describer(tmp_path_factory):
    """A dozen tracks of 12 s laid out as the published archive, and its table cut to match."""
    folder, rows, time = tmp_path_factory.mktemp("song_describer"), [], np.arange(12 * 44_100) / 44_100
    for number in range(12):
        path = f"{number % 3:02d}/{1000 + number}.mp3"
        for nth, word in enumerate(WORDS[1:3]):
            caption = f"a {word} song with {WORDS[number % len(WORDS)]}"
            rows.append({"caption_id": 10 * number + nth, "track_id": 1000 + number, "caption": caption})
            rows[-1] |= {"is_valid_subset": nth == 0, "familiarity": 0, "artist_id": number // 2, "album_id": number}
            rows[-1] |= {"path": path, "duration": 202.5}
        audio = folder / "audio" / path.replace(".mp3", ".2min.mp3")
        audio.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(audio, 0.3 * np.sin(2 * np.pi * 55 * (number + 2) * time), 44_100)
    pd.DataFrame(rows).to_csv(folder / "song_describer.csv", index=False)
    return folder


def test_song_describer_goes_from_audio_to_a_table_with_random_weights_when_told_so(
    song_describer, tmp_path, monkeypatch
):
    monkeypatch.setenv("SONG_DESCRIBER", str(song_describer))
    size = word_tokenizer(tmp_path / "tokenizer", "roberta")
    pair = [word.replace("${vocab_size}", str(size)) for word in SMALL]
    pair += ["encoder_pair.weights=random", f"encoder_pair.tokenizer={tmp_path / 'tokenizer'}"]
    here = [*places(tmp_path)[:1], "extraction.batch_size=8"]
    output = run("extract_dataset.py", "--config", f"config/{LEAF}.yaml", *pair, *here)
    store = tmp_path / "data/latents/song_describer/clap_htsat_base"
    assert "weights: random. These latents mean nothing" in output
    assert '"checkpoint_hash": "random"' in (store / "card.json").read_text()
    assert len(pd.read_parquet(store / "rows.parquet")) == 12

    mine = ["data=song_describer", "data.name=mine", "data.split.split=train"]
    extract.extract(composed(LEAF, *mine, *pair, *here))
    output = invoke("train_ldm.py", *TRAIN, *mine, *pair, *SHORT, *places(tmp_path))
    for row in ("chance", "teacher", "gdr"):
        assert f"\n{row} " in output
    assert "song_describer, text to audio, unique_tracks" in output


def test_an_encoder_from_a_folder_of_ones_own_works_with_every_script(tmp_path, monkeypatch):
    code, pair = (blocks(ROOT / "docs/your_encoder.md", kind)[0] for kind in ("python", "yaml"))
    (tmp_path / "my_encoders.py").write_text(code)
    (tmp_path / "encoder_pair").mkdir()
    (tmp_path / "encoder_pair/mine.yaml").write_text(pair)
    monkeypatch.syspath_prepend(tmp_path)
    mine = ["--config-dir", str(tmp_path), "encoder_pair=mine"]
    named = ["model_name=mine", *places(tmp_path)]
    output = invoke("train_ldm.py", *mine, *COLLECTION, *SHORT, *named)  # extracts first, and evaluates at the end
    assert "band_energies" in output and "\ngdr " in output
    assert "\nteacher " not in output  # the pair is not joint, though the captions have embeddings
    assert "frechet" in invoke("eval_fidelity.py", *named, "evaluation.seeds=[0,1]")


SHARED = ["extraction.shard_size=16", "extraction.num_workers=1", *COLLECTION]
WAYS = {
    "a sweep of jobs": ["hydra/launcher=submitit_local", "extraction.shard.count=2", "extraction.shard.index=range(2)"],
    "two devices": ["num_devices=2"],
}


@pytest.fixture(scope="module")
def single(tmp_path_factory):
    """The folder of a collection, and that of the stores that one process wrote of it."""
    folder = tmp_path_factory.mktemp("single")
    cfg = composed("extract_features/demo/extract_demo", *SHARED, *places(folder))
    extract.prepare(cfg)
    extract.extract(cfg)
    return folder, folder / "data/latents"


@pytest.mark.parametrize("way", WAYS)
def test_an_extraction_that_is_shared_writes_the_store_of_a_single_one(way, single, tmp_path):
    folder, store = single
    sweep = ["-m"] if way == "a sweep of jobs" else []
    paths = [f"paths.data={folder / 'data'}", f"paths.latents={tmp_path / 'shared'}", f"paths.logs={tmp_path}"]
    run("extract_dataset.py", *sweep, *WAYS[way], *SHARED, *paths)
    one, many = (sorted(p.relative_to(root) for p in root.rglob("*.*")) for root in (store, tmp_path / "shared"))
    assert one == many and len(one) >= 10
    for path in one:
        assert (store / path).read_bytes() == (tmp_path / "shared" / path).read_bytes(), path
