"""What the tests of searching share: a few rendered tracks with captions, and models of every kind that search them."""

from functools import partial

import pandas as pd
import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler
from omegaconf import OmegaConf

from diffgar import Retriever
from diffgar.commandline import CONFIG_ROOT
from diffgar.dataloading.datasets.splits import by_column
from diffgar.dataloading.datasets.tracks import read_dataset
from diffgar.dataloading.store.card import Card
from diffgar.demo.collection import write_collection
from diffgar.demo.encoder import DemoAudioEncoder, DemoTextEncoder
from diffgar.extraction.batches import Options
from diffgar.extraction.stores import extract_audio, extract_text
from diffgar.jobs.opened import Opened
from diffgar.models.backbones.mlp import MLP
from diffgar.models.baselines import ContrastiveHeads
from diffgar.models.diffusion.objective import Objective
from diffgar.models.diffusion.sampling import Sampler
from diffgar.models.ldm import LatentDiffusion

DIM = 128
SCHEDULE = {"beta_schedule": "scaled_linear", "beta_start": 0.0015, "beta_end": 0.0195, "clip_sample": False}
SOLVER = partial(DDIMScheduler.from_config, timestep_spacing="trailing", set_alpha_to_one=True)


@pytest.fixture(scope="session")
def collection(tmp_path_factory):
    """A folder of 40 tracks with captions.csv, their dataset, and its two stores."""
    root = tmp_path_factory.mktemp("collection")
    write_collection(root / "demo", num_train=20, num_validation=4, num_test=16, num_workers=1)
    columns = {"track_id": "track_id", "path": "path", "caption": "caption"}
    dataset = read_dataset("demo", str(root / "demo/captions.csv"), str(root / "demo"), columns, by_column("split"))
    options = Options(num_workers=0)
    assert extract_audio(dataset, DemoAudioEncoder(), root / "demo_audio", 1, options)
    assert extract_text(dataset, DemoTextEncoder(), root / "demo_text", options)
    return root


def scrambled(model):
    """Weights that make a query depend on its caption, as a fresh backbone's hardly do."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return model.eval().requires_grad_(False)


def model_of(kind, collection, joint=True):
    """An untrained model of a kind, with the constants of the collection's stores."""
    card = Card.load(collection / "demo_audio")
    parts = {
        "latent_mean": torch.tensor(card.mean),
        "latent_std": torch.tensor(card.std),
        "null_text": DemoTextEncoder().encode([""]).hidden_states[0].detach(),
        "num_frames": 4,
    }
    torch.manual_seed(0)
    if kind is ContrastiveHeads:
        return scrambled(ContrastiveHeads(DIM, width=16, dim=8, **parts))
    backbone = MLP(DIM, DIM, width=32, depth=1)
    diffusion = {
        "noise_scheduler": DDPMScheduler(prediction_type="sample", **SCHEDULE),
        "objective": Objective("sample"),
    }
    return scrambled(kind(backbone, joint=joint, **diffusion, **parts))


@pytest.fixture(scope="session")
def retriever_of(collection):
    """Makes the retriever of a kind of model on the collection, whose pair is said to be joint or not."""

    def make(kind=LatentDiffusion, joint=True, name="toy"):
        pair = OmegaConf.load(CONFIG_ROOT / "encoder_pair" / "demo.yaml")
        config = OmegaConf.create({"encoder_pair": pair})
        config.encoder_pair.joint = joint
        stores = {side: collection / f"demo_{side}" for side in ("audio", "text")}
        latents = {side: Card.load(store).encoding() for side, store in stores.items()}
        sampler = Sampler(SOLVER, num_steps=2, num_samples=2, guidance_scale=2.0)
        return Retriever(Opened(name, 1, model_of(kind, collection, joint), sampler, latents, stores, config))

    return make


@pytest.fixture(scope="session")
def retriever(retriever_of):
    return retriever_of()


@pytest.fixture(scope="session")
def library(retriever):
    return retriever.trained_library()


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Where libraries are kept in a test."""
    monkeypatch.setenv("GDR_LIBRARIES", str(tmp_path / "libraries"))
    return tmp_path / "libraries"


@pytest.fixture
def captions(collection):
    """The table of the collection's captions."""
    return pd.read_csv(collection / "demo" / "captions.csv")
