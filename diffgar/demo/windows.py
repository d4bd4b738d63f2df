"""Windows of audio and captions, for training the demo's encoder pair."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import torch
from pytorch_lightning import LightningDataModule
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset
from torch.utils.data import Dataset as TorchDataset
from tqdm import tqdm

from diffgar.dataloading.audio import load
from diffgar.dataloading.datamodule import trainer_of
from diffgar.dataloading.datasets.tracks import Dataset
from diffgar.demo.course_captions import medley_caption
from diffgar.demo.recipes import RECIPES
from diffgar.demo.towers import LogMel

THREADS = 2  # that decode


class WindowsDataModule(LightningDataModule):
    """Decodes the collection once, keeps its features in RAM, and yields windows with captions.

    frontend: waveforms (1, S) at `sample_rate` → features (1, F, M), one frame every `frontend.hop` samples.
    num_frames: frames of a window. Training batches {"features" (B, K, num_frames, M), "captions": B strings,
    "tells_course" (B,) bool} have K = `num_windows` random windows per track, one in each Kth of it and in their order,
    and one of its captions, or, at `phrase_share` of them, one attribute of it alone ("rock drums"), as the
    collection's `recipe` phrases it. The recipe's `medley_share` of them go on with another track's windows from the
    middle on, and are captioned by what comes first and what then. Validation and test have one batch: the tracks of
    the split, each with all its windows and all its captions.
    """

    def __init__(
        self,
        dataset: Dataset,
        frontend: LogMel,
        num_frames: int,
        batch_size: int = 128,
        num_windows: int = 4,
        phrase_share: float = 0.1,
        seed: int = 0,
        recipe: str = "demo",
    ):
        super().__init__()
        self.dataset, self.frontend, self.num_frames = dataset, frontend, num_frames
        self.batch_size, self.num_windows, self.phrase_share = batch_size, num_windows, phrase_share
        self.seed, self.phrases, self.medley_share = seed, RECIPES[recipe].phrases, RECIPES[recipe].medley_share
        self.features: dict[str, list[Tensor]] = {}

    def setup(self, stage: str) -> None:
        """Decode the splits that are not in RAM yet."""
        for split in ("train", "validation", "test"):
            if split not in self.features:
                self.features[split] = self._decode(split)

    def _decode(self, split: str) -> list[Tensor]:
        def features(path: str) -> Tensor:
            waveform = torch.from_numpy(load(path, self.frontend.sample_rate))
            with torch.inference_mode():
                return self.frontend(waveform[None])[0].half()  # (F, M)

        paths = self.dataset.split(split).tracks["path"]
        pool = ThreadPoolExecutor(THREADS)
        try:
            return list(tqdm(pool.map(features, paths), f"decoding {split}", len(paths)))
        finally:
            pool.shutdown(cancel_futures=True)  # on Ctrl-C the tracks in hand are finished, no others begun

    def constants(self) -> dict:
        """What the module is built with: all captions of the train split, and the attributes' phrases."""
        phrases = [words for values in self.phrases.values() for words in values.values()]
        return {"captions": [*self.dataset.split("train").captions["caption"], *phrases]}

    def train_dataloader(self) -> DataLoader:
        """Batches of random windows with captions."""
        return DataLoader(TrainBatches(self), batch_size=None)

    def val_dataloader(self) -> DataLoader:
        """The validation split as one batch."""
        return self._whole("validation")

    def test_dataloader(self) -> DataLoader:
        """The test split as one batch."""
        return self._whole("test")

    def _whole(self, split: str) -> DataLoader:
        tracks = Tracks(self, split)
        return DataLoader(tracks, batch_size=len(tracks), collate_fn=list)


class Tracks(TorchDataset):
    """The tracks of a split, each with all its windows, a second apart, and all its captions."""

    def __init__(self, data: WindowsDataModule, split: str):
        self.features, self.num_frames = data.features[split], data.num_frames
        self.hop = data.frontend.sample_rate // data.frontend.hop
        part = data.dataset.split(split)
        captions = part.captions.groupby("track_id")["caption"].apply(list)
        told = part.captions.get("tells_course", pd.Series("False", part.captions.index))  # not there: of none
        tells_course = (told == "True").groupby(part.captions["track_id"]).apply(list)
        self.attributes = part.tracks[list(data.phrases)].to_dict("records")
        self.captions = [captions[track_id] for track_id in part.tracks["track_id"]]
        self.tells_course = [tells_course[track_id] for track_id in part.tracks["track_id"]]

    def __len__(self) -> int:
        return len(self.features)

    def __getitem__(self, i: int) -> dict:
        windows = self.features[i].unfold(0, self.num_frames, self.hop).transpose(1, 2)  # (T, F, M)
        return {"features": windows.float(), "captions": self.captions[i]}


class TrainBatches(IterableDataset):
    """Batches of the train tracks, in another order every epoch, the last partial batch left out."""

    def __init__(self, data: WindowsDataModule):
        self.tracks, self.data = Tracks(data, "train"), data

    def __len__(self) -> int:
        return len(self.tracks) // self.data.batch_size

    def __iter__(self) -> Iterator[dict]:
        self.random = np.random.default_rng([self.data.seed, trainer_of(self.data).current_epoch])
        order = self.random.permutation(len(self.tracks))
        for batch in order[: len(self) * self.data.batch_size].reshape(len(self), -1):
            features = torch.stack([self._windows(i) for i in batch])  # (B, K, F, M)
            drawn = [self._caption(i) for i in batch] if not self.data.medley_share else self._medleys(batch, features)
            captions, tells_course = zip(*drawn, strict=True)
            yield {"features": features, "captions": list(captions), "tells_course": torch.tensor(tells_course)}

    def _windows(self, i: int) -> Tensor:
        features, count = self.tracks.features[i], self.data.num_windows
        places = (np.arange(count) + self.random.random(count)) / count  # in order, 0 to 1
        starts = (places * (len(features) - self.data.num_frames + 1)).astype(int)
        return torch.stack([features[start : start + self.data.num_frames] for start in starts]).float()

    def _medleys(self, batch: np.ndarray, features: Tensor) -> list[tuple[str, bool]]:
        """Let some tracks go on with another's windows from the middle on; returns all captions, see `_caption`."""
        others = self.random.permutation(batch)
        medley = self.random.random(len(batch)) < self.data.medley_share
        half, attributes = self.data.num_windows // 2, self.tracks.attributes
        features[medley, half:] = torch.stack([self._windows(i) for i in others])[medley, half:]
        return [
            (medley_caption(attributes[i], attributes[other], self.random), True) if joined else self._caption(i)
            for i, other, joined in zip(batch, others, medley, strict=True)
        ]

    def _caption(self, i: int) -> tuple[str, bool]:
        """A caption of a track, and whether it tells its course."""
        if self.random.random() < self.data.phrase_share:
            name = self.random.choice(list(self.data.phrases))
            return self.data.phrases[name][self.tracks.attributes[i][name]], False
        which = self.random.integers(len(self.tracks.captions[i]))
        return self.tracks.captions[i][which], self.tracks.tells_course[i][which]
