"""The contract of a backbone, and the base of those that are modulated by timestep and pooled text."""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from diffgar.errors import InputError
from diffgar.models.backbones.attention import CrossAttention, KeysValues
from diffgar.models.backbones.layers import TextPooling, TimestepFeatures, pad_frames
from diffgar.text_states import TextStates


@dataclass(frozen=True)
class PreparedText:
    """Captions as a backbone uses them: `prepare_text` makes this once, and every denoising step uses it.

    features (B, F): the pooled text, as wide as the timestep's features.
    keys_values: keys and values (B, H, L, head_dim) of each cross-attention, in the order of `cross_attentions`.
    mask (B, L) bool: True at tokens.
    """

    features: Tensor
    keys_values: tuple[KeysValues, ...]
    mask: Tensor

    def first(self, count: int) -> "PreparedText":
        """The first `count` captions."""
        keys_values = tuple((keys[:count], values[:count]) for keys, values in self.keys_values)
        return PreparedText(self.features[:count], keys_values, self.mask[:count])


Text = TextStates | PreparedText


class Backbone(nn.Module, ABC):
    """The contract: noisy latents, timesteps and captions go in; the noise scheduler's prediction type comes out.

    A prediction depends on a frame's position among the valid frames. Padding tokens and padding frames change nothing
    (to 1e-5).
    """

    @abstractmethod
    def prepare_text(self, text: TextStates) -> PreparedText:
        """Captions (B) in the form that `forward` needs; computed once for all denoising steps."""

    @abstractmethod
    def forward(self, noisy_latents: Tensor, timesteps: Tensor, text: Text, mask: Tensor | None = None) -> Tensor:
        """The prediction (B, T, D) from noisy latents (B, T, D) at timesteps (B,); mask (B, T): True at valid frames.

        text: the captions (B), or what `prepare_text` made of them.
        """


class ModulatedBackbone(Backbone):
    """A backbone whose layers are modulated by features (B, F): the timestep's plus the pooled text's.

    Subclasses define `predict`. frames_multiple: the number of frames is padded to a multiple of this.
    """

    frames_multiple = 1

    def __init__(self, text_dim: int, features: int, num_heads: int):
        super().__init__()
        if features % num_heads:
            raise InputError(
                f"a {type(self).__name__}'s num_heads {num_heads} must divide its features (U-Net) or width, {features}"
            )
        self.timestep_features = TimestepFeatures(features)
        self.text_norm = nn.LayerNorm(text_dim)
        self.text_pooling = TextPooling(text_dim, features, num_heads)

    @abstractmethod
    def predict(self, noisy_latents: Tensor, features: Tensor, text: PreparedText, mask: Tensor | None) -> Tensor:
        """The prediction (B, T, D), T a multiple of `frames_multiple`; noisy latents are zero where masked."""

    def cross_attentions(self) -> list[CrossAttention]:
        """All attentions to tokens, in the order of construction; `PreparedText.keys_values` has the same order."""
        return [module for module in self.modules() if isinstance(module, CrossAttention)]

    def prepare_text(self, text: TextStates) -> PreparedText:
        """The pooled text of the captions (B), and their keys and values for each cross-attention."""
        normed = self.text_norm(text.hidden_states)  # (B, L, C)
        keys_values = tuple(layer.keys_values(normed) for layer in self.cross_attentions())
        return PreparedText(self.text_pooling(normed, text.mask), keys_values, text.mask)

    def forward(self, noisy_latents: Tensor, timesteps: Tensor, text: Text, mask: Tensor | None = None) -> Tensor:
        """See `Backbone.forward`. Pads the frames, sums the features, and cuts the prediction (B, T, D) to length."""
        if not isinstance(text, PreparedText):
            text = self.prepare_text(text)
        length = noisy_latents.shape[1]
        noisy_latents, mask = pad_frames(noisy_latents, mask, self.frames_multiple)
        features = self.timestep_features(timesteps) + text.features  # (B, F)
        return self.predict(noisy_latents, features, text, mask)[:, :length]


def check_backbone(backbone: object) -> None:
    """Raises InputError, naming the class and the method, for an object that cannot be called as a `Backbone` is."""
    for method in ("prepare_text", "forward"):
        names = [name for name in inspect.signature(getattr(Backbone, method)).parameters if name != "self"]
        if not takes(getattr(backbone, method, None), names):
            raise InputError(
                f"the backbone {type(backbone).__name__} has no {method}({', '.join(names)}); define it as "
                "diffgar.models.backbones.base.Backbone does"
            )


def takes(method: object, names: Sequence[str]) -> bool:
    """Whether a method can be called with arguments of these names, in this order."""
    if not callable(method):
        return False
    try:
        return list(inspect.signature(method).bind(*names).arguments) == list(names)
    except TypeError:  # another signature
        return False
