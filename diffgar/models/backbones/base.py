"""What a backbone promises, and what those that are modulated by timestep and pooled text have in common."""

import inspect
from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor, nn

from diffgar.errors import InputError
from diffgar.models.backbones.layers import Attention, PreparedText, TextPooling, TimestepFeatures, pad_frames
from diffgar.text_states import TextStates


class Backbone(nn.Module, ABC):
    """The contract: noisy latents of a caption go in, the noise scheduler's prediction type comes out.

    It knows where a frame stands. Padding tokens and frames change nothing (to 1e-5).
    """

    @abstractmethod
    def prepare_text(self, text: TextStates) -> PreparedText:
        """What `forward` needs of captions, made once for every denoising step."""

    @abstractmethod
    def forward(
        self,
        noisy_latents: Tensor,
        timesteps: Tensor,
        text: TextStates | PreparedText,
        mask: Tensor | None = None,
    ) -> Tensor:
        """The prediction (B, T, D) from noisy latents (B, T, D) at timesteps (B,); mask (B, T): True at valid frames.

        text: the captions (B), or what `prepare_text` made of them.
        """


class ModulatedBackbone(Backbone):
    """A backbone whose layers are told features (B, F), the timestep's plus the pooled text's.

    Subclasses define `predict` and, where they attend to tokens, `cross_attentions`. frames_multiple: what a length is
    padded to a multiple of.
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

    def cross_attentions(self) -> Sequence[Attention]:
        """Those to the tokens, in the order in which `predict` takes their keys and values."""
        return ()

    def prepare_text(self, text: TextStates) -> PreparedText:
        """The captions' pooled text, and the keys and values of each cross-attention."""
        normed = self.text_norm(text.hidden_states)  # (B, L, C)
        keys_values = tuple(layer.keys_values(normed) for layer in self.cross_attentions())
        return PreparedText(self.text_pooling(normed, text.mask), keys_values, text.mask)

    def forward(
        self,
        noisy_latents: Tensor,
        timesteps: Tensor,
        text: TextStates | PreparedText,
        mask: Tensor | None = None,
    ) -> Tensor:
        """See `Backbone.forward`: pads the frames, sums the features, and cuts the prediction to length."""
        if not isinstance(text, PreparedText):
            text = self.prepare_text(text)
        length = noisy_latents.shape[1]
        noisy_latents, mask = pad_frames(noisy_latents, mask, self.frames_multiple)
        features = self.timestep_features(timesteps) + text.features  # (B, F)
        return self.predict(noisy_latents, features, text, mask)[:, :length]


def check_backbone(backbone: object) -> None:
    """Refuse what cannot be called as `Backbone` is. Raises InputError naming the class and the method."""
    for method in ("prepare_text", "forward"):
        names = [name for name in inspect.signature(getattr(Backbone, method)).parameters if name != "self"]
        if not takes(getattr(backbone, method, None), names):
            raise InputError(
                f"the backbone {type(backbone).__name__} has no {method}({', '.join(names)}); define it as "
                "diffgar.models.backbones.base.Backbone does"
            )


def takes(method, names: Sequence[str]) -> bool:
    """Whether a method can be called with arguments of these names, in this order."""
    try:
        return list(inspect.signature(method).bind(*names).arguments) == list(names)
    except TypeError:  # no method, or another signature
        return False
