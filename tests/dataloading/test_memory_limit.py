"""A job whose memory is smaller than the store trains through the map of the file."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from test_datamodule import make_stores

resource = pytest.importorskip("resource", reason="limits of a process's memory are Unix's")

FRAMES = 25_000_000  # of 6 dimensions: 300 MB
PROGRAM = """
import json, resource, sys
import numpy as np
import psutil, pytest, torch
import pytorch_lightning as pl
from pathlib import Path
from test_ldm import make_datamodule, make_model

datamodule = make_datamodule(Path(sys.argv[1]))
model = make_model(datamodule, max_steps=3)
taken = psutil.Process().memory_info().data
resource.setrlimit(resource.RLIMIT_DATA, (taken + 200 * 2**20, resource.RLIM_INFINITY))
trainer = pl.Trainer(max_steps=3, accelerator="cpu", logger=False, enable_checkpointing=False,
                     enable_progress_bar=False, enable_model_summary=False, limit_val_batches=0)
trainer.fit(model, datamodule=datamodule)
mapped = isinstance(datamodule.audio.frames, np.memmap)
finite = all(bool(torch.isfinite(weight).all()) for weight in model.parameters())
try:
    datamodule.audio.hold(memory="ram")
    held = True
except (MemoryError, RuntimeError):  # torch has no error of its own for it
    held = False
print(json.dumps({"step": trainer.global_step, "mapped": mapped, "finite": finite, "held": held}))
"""


def stretch(folder):
    """Let the tracks of a store have frames without end: zeros, which take no room on disk."""
    card = json.loads((folder / "card.json").read_text())
    offsets = np.linspace(0, FRAMES, card["num_rows"] + 1).astype(np.int64)
    np.save(folder / "offsets.npy", offsets)
    os.truncate(folder / "frames.f16", FRAMES * card["dim"] * 2)
    card |= {"num_frames": FRAMES, "checksums": None, "files": None}
    (folder / "card.json").write_text(json.dumps(card))


@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_DATA counts allocated memory on Linux alone")
def test_a_store_larger_than_the_memory_of_the_job_is_trained_on_through_the_map(tmp_path):
    make_stores(tmp_path)
    stretch(tmp_path / "audio")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", PROGRAM, str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert told == {"step": 3, "mapped": True, "finite": True, "held": False}  # RAM does not hold it
