"""A trained model as mteb evaluates one; docs/mteb.md. The name of a task is mteb's, which downloads its data.

python -m examples.mteb_model checkpoints/demo ClothoT2ARetrieval
"""

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import mteb
import numpy as np
import soundfile
from mteb.models.abs_encoder import AbsEncoder
from mteb.models.model_meta import ModelMeta

from diffgar import Retriever, __version__


class MtebRetriever(AbsEncoder):
    """Captions are encoded as queries and audio as tracks, whichever of the two a task searches."""

    def __init__(self, retriever: Retriever):
        self.model, self.mteb_model_meta = retriever, meta_of(retriever)

    def encode(self, inputs: Any, *, prompt_type: Any = None, **_: Any) -> np.ndarray:
        """Unit vectors (N, D) of what a task gives: batches with the column `text` or `audio`, not both."""
        columns = inputs.dataset.column_names
        if ("text" in columns) == ("audio" in columns):
            raise ValueError(f"the task gives {', '.join(columns)}; this model encodes text or audio, one at a time")
        return self.get_text_embeddings(inputs) if "text" in columns else self.get_audio_embeddings(inputs)

    def get_text_embeddings(self, inputs: Iterable[Mapping[str, Any]], **_: Any) -> np.ndarray:
        """Queries (N, D) of batches of captions."""
        return np.concatenate([self.model.encode_query(list(batch["text"])).numpy() for batch in inputs])

    def get_audio_embeddings(self, inputs: Iterable[Mapping[str, Any]], **_: Any) -> np.ndarray:
        """Vectors (N, D) of batches of audio, each as {"array": (S,) or (channels, S), "sampling_rate": Hz}."""
        return np.concatenate([self.encode_batch(batch["audio"]) for batch in inputs])

    def encode_batch(self, several: list[Mapping[str, Any]]) -> np.ndarray:
        """Vectors (N, D) of audio in memory, by files in float32, which go the way of all files."""
        with TemporaryDirectory() as folder:
            paths = [Path(folder, f"{number}.wav") for number in range(len(several))]
            for path, audio in zip(paths, several, strict=True):
                samples = np.asarray(audio["array"], dtype=np.float32).T  # (S,) or (S, channels)
                soundfile.write(path, samples, int(audio["sampling_rate"]), subtype="FLOAT")
            return self.model.encode_document(paths).numpy()


def meta_of(retriever: Retriever) -> ModelMeta:
    """What mteb writes beside results. What is not known of a model's training data is left None, not guessed."""
    opened = retriever.opened
    unknown = ("loader", "release_date", "memory_usage_mb", "max_tokens", "license", "open_weights")
    unknown += ("public_training_code", "public_training_data", "training_datasets")
    return ModelMeta(
        **dict.fromkeys(unknown),
        name=f"diffgar/{opened.name}",
        revision=f"{__version__}-step-{opened.step}",
        languages=["eng-Latn"],
        n_parameters=sum(parameter.numel() for parameter in opened.model.parameters()),
        embed_dim=retriever.encode_query("music").shape[0],
        framework=["PyTorch"],
        similarity_fn_name="cosine",
        use_instructions=False,
        modalities=["text", "audio"],
    )


if __name__ == "__main__":
    model = MtebRetriever(Retriever.from_pretrained(sys.argv[1]))
    print(mteb.evaluate(model, mteb.get_tasks(tasks=sys.argv[2:])))
