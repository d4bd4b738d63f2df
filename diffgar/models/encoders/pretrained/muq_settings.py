"""MuQ-MuLan's settings, in three published files: its own config.json, MuQ's, and XLM-RoBERTa's.

Random weights need none of them: then the sizes are the defaults of the original's code, with a conformer as MusicFM's,
on which MuQ is built.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from transformers import Wav2Vec2ConformerConfig, XLMRobertaConfig

from diffgar.models.encoders.networks.muq_transformer import TransformerSizes
from diffgar.models.encoders.pretrained.config_files import find_config
from diffgar.models.encoders.pretrained.downloads import Published, command, remedy
from diffgar.models.encoders.pretrained.tensor_files import WeightsError
from diffgar.models.encoders.pretrained.weights import Checkpoint

MULAN = Published("OpenMuQ/MuQ-MuLan-large", ("config.json", "model.safetensors"))
MUQ = Published("OpenMuQ/MuQ-large-msd-iter", ("config.json",))
ROBERTA = Published("xlm-roberta-base", ("config.json", "*token*"))
LICENCE = "their licence is CC BY-NC 4.0"

Settings = dict[str, Any]
RANDOM_MULAN: dict[str, Settings] = {
    "mulan": {"sr": 24_000, "clip_secs": 10, "dim_latent": 512},
    "audio_model": {"use_layer_idx": -1},
    "text_model": {"model_dim": None},
    "audio_transformer": {},
    "text_transformer": {},
}
RANDOM_MUQ: Settings = {
    "conv_dim": 512,
    "encoder_dim": 1024,
    "encoder_depth": 12,
    "stat": {"melspec_2048_mean": 6.768444971712967, "melspec_2048_std": 18.417922652295623},
    "w2v2_config": {
        "hidden_act": "swish",
        "num_attention_heads": 16,
        "intermediate_size": 4096,
        "conv_depthwise_kernel_size": 31,
        "position_embeddings_type": "rotary",
        "layer_norm_eps": 1e-5,
    },
}
FIXED = {"sr": 24_000, "clip_secs": 10, "use_layer_idx": -1, "hop_length": 240, "n_mels": 128, "label_rate": 25}


class AudioSettings(NamedTuple):
    """What MuQ-MuLan's audio tower is built of. mean, std: of the training data's mel spectrograms, in dB."""

    conformer: Wav2Vec2ConformerConfig
    conv_dim: int
    transformer: TransformerSizes
    latent_dim: int
    mean: float
    std: float


class TextSettings(NamedTuple):
    """What MuQ-MuLan's text tower is built of. projected: see `MuqText`."""

    roberta: XLMRobertaConfig
    transformer: TransformerSizes
    projected: bool
    latent_dim: int


def audio_settings(checkpoint: Checkpoint | None, muq: str, changes: Mapping[str, Any]) -> AudioSettings:
    """The audio tower's settings. muq: the hub name or folder with MuQ's config.json.

    changes: what differs from the files, as {"mulan": {…}, "muq": {…}}. Raises WeightsError for a file that is absent,
    lacks a setting, or describes another front end or layer.
    """
    mulan = mulan_settings(checkpoint, changes)
    _refuse_others(mulan["mulan"] | mulan["audio_model"], f"the config.json beside {checkpoint}")
    published = find_config(muq, remedy(muq, MUQ, key="encoder_pair.audio_config")) if checkpoint else RANDOM_MUQ
    source = f"the config.json of {muq}"
    _require(published, RANDOM_MUQ, source)
    settings = {**published, **changes.get("muq", {})}
    _refuse_others(settings, source)
    for part in ("stat", "w2v2_config"):
        _require(settings[part], RANDOM_MUQ[part], f"{part} in {source}")
    sizes = {"num_hidden_layers": settings["encoder_depth"], "hidden_size": settings["encoder_dim"]}
    conformer = Wav2Vec2ConformerConfig.from_dict({**settings["w2v2_config"], **sizes}, attn_implementation="eager")
    mean, std = (float(settings["stat"][f"melspec_2048_{each}"]) for each in ("mean", "std"))
    latent_dim = mulan["mulan"]["dim_latent"]
    return AudioSettings(
        conformer, settings["conv_dim"], transformer_sizes(mulan["audio_transformer"]), latent_dim, mean, std
    )


def text_settings(checkpoint: Checkpoint | None, roberta: str, changes: Mapping[str, Any]) -> TextSettings:
    """The text tower's settings. roberta: the hub name or folder with XLM-RoBERTa's config.json.

    changes: what differs from the files, as {"mulan": {…}, "roberta": {…}}. Raises WeightsError for a file that is
    absent, or of another network.
    """
    mulan = mulan_settings(checkpoint, changes)
    how = f"Download it: {command(ROBERTA.repo, ROBERTA.files)}, or name its folder with encoder_pair.tokenizer"
    published = find_config(roberta, how) if checkpoint else {"vocab_size": 250_002, "max_position_embeddings": 514}
    kind = published.get("model_type", "xlm-roberta")
    if kind != "xlm-roberta":
        raise WeightsError(
            f"the config.json of {roberta} is of a {kind}; MuQ-MuLan needs that of an xlm-roberta. {how}"
        )
    settings = {"type_vocab_size": 1, "layer_norm_eps": 1e-5, **published, **changes.get("roberta", {})}
    transformer, width = transformer_sizes(mulan["text_transformer"]), mulan["text_model"].get("model_dim")
    return TextSettings(
        XLMRobertaConfig.from_dict(settings),
        transformer,
        projected=width is not None and width != transformer.dim,
        latent_dim=mulan["mulan"]["dim_latent"],
    )


def mulan_settings(checkpoint: Checkpoint | None, changes: Mapping[str, Any]) -> dict[str, Settings]:
    """The five parts of the config.json beside the weights, with changes by part."""
    published = checkpoint.config() if checkpoint else RANDOM_MULAN
    _require(published, RANDOM_MULAN, f"the config.json beside {checkpoint}")
    _require(published["mulan"], ["dim_latent"], f"mulan in the config.json beside {checkpoint}")
    return {part: {**published[part], **changes.get(part, {})} for part in RANDOM_MULAN}


def transformer_sizes(settings: Settings) -> TransformerSizes:
    """The sizes among the settings of one of MuQ-MuLan's two transformers; the rest of these only training uses."""
    return TransformerSizes(**{key: settings[key] for key in TransformerSizes.__annotations__ if key in settings})


def _require(settings: Mapping[str, Any], keys: Iterable[str], source: str) -> None:
    missing = [key for key in keys if key not in settings]
    if missing:
        raise WeightsError(f"{source} lacks {', '.join(missing)}; is it MuQ-MuLan's? Download it again")


def _refuse_others(settings: Mapping[str, Any], source: str) -> None:
    """Raises WeightsError where settings differ from those that the front end and the network here are written for."""
    others = [
        f"{key} {settings[key]} (here {value})" for key, value in FIXED.items() if settings.get(key, value) != value
    ]
    if others:
        raise WeightsError(f"{source} describes a different MuQ-MuLan: {', '.join(others)}")
