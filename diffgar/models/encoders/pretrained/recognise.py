"""Recognising a checkpoint's network by the names of its tensors, to refuse another network's by name."""

from collections.abc import Iterable

from diffgar.models.encoders.pretrained.tensor_files import WeightsError

LAYOUTS = {  # a prefix that no other layout has: its network, and the pairs that use it
    "audio_branch.": ("CLAP", "clap or clap_t5"),
    "text_branch.": ("CLAP", "clap or clap_t5"),
    "audio_model.audio_encoder.": ("CLAP", "clap or clap_t5"),
    "text_model.embeddings.": ("CLAP", "clap or clap_t5"),
    "audio_encoder.base.htsat.": ("Microsoft's CLAP", "msclap"),
    "caption_encoder.base.h.": ("Microsoft's CLAP", "msclap"),
    "audio_backbone.": ("MusCALL", "muscall or muscall_t5"),
    "textual_head.": ("MusCALL", "muscall or muscall_t5"),
    "mulan.": ("MuQ-MuLan", "muq or muq_t5"),
    "encoder.slow_stem.": ("MuLOOC", "mulooc_t5"),
    "backbone.slow_stem.": ("MULE", "mule_t5"),
    "encoder.block.": ("T5", "clap_t5 or another with _t5, as encoder_pair.text_weights"),
    "embeddings.word_embeddings.": (
        "a sentence transformer",
        "demo_minilm or another with text/sentence_transformer, as encoder_pair.text_weights",
    ),
    "audio.tower.": ("the demo pair", "demo"),
}


def refuse_others(names: Iterable[str], own: str, source: str, strange: bool = False) -> None:
    """Raises WeightsError if the tensors' names are those of another network than `own`, or of none known here.

    strange: let pass those of none known here, for an encoder that takes networks of many layouts.
    """
    names = list(names)
    looks = {LAYOUTS[prefix] for prefix in LAYOUTS if any(name.startswith(prefix) for name in names)}
    if any(network == own for network, _ in looks):
        return
    if looks:
        network, pairs = sorted(looks)[0]
        raise WeightsError(
            f"{source} is no checkpoint of {own}: it looks like one of {network}, for encoder_pair={pairs}"
        )
    if not strange:
        first = ", ".join(sorted(names)[:3]) or "none"
        raise WeightsError(
            f"{source} is no checkpoint of {own}, nor of another encoder here; its first tensors: {first}"
        )
