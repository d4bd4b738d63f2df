"""The training objective: `Objective.loss`, the one place that forms the loss, and the functions that it uses.

The notation is that of `formulas.py`.
"""

from dataclasses import dataclass, replace

from torch import Tensor

from diffgar.batch import Batch
from diffgar.errors import InputError
from diffgar.models.backbones.base import Backbone
from diffgar.models.contrastive import against_reverse, info_nce, nt_xent
from diffgar.models.diffusion.formulas import PREDICTION_TYPES, NoiseScheduler, clean_latents
from diffgar.models.diffusion.loss_parts import Draws, LossParts
from diffgar.models.distributed import gather_rows
from diffgar.models.encoders.base import pool
from diffgar.models.encoders.segments import segment_means, side_by_side
from diffgar.values import number, whole

CONTRASTIVE_LOSSES = {"nt_xent": nt_xent, "info_nce": info_nce}


@dataclass(frozen=True, eq=False)
class Losses:
    """The losses (B,) of a batch's samples: the total, which is minimised, and its two parts.

    mse: the squared error, times the weight of its noise level. contrastive: the contrastive loss, not yet weighted, or
    None without such a term.
    """

    total: Tensor
    mse: Tensor
    contrastive: Tensor | None = None

    def means(self) -> dict[str, Tensor]:
        """The means over the batch by logged name: `loss`, and with a contrastive term `mse` and `contrastive`."""
        total = {"loss": self.total.mean()}
        if self.contrastive is None:
            return total
        return total | {"mse": self.mse.mean(), "contrastive": self.contrastive.mean()}


def loss_weights(
    prediction_type: str, signal: Tensor, sigma: Tensor, min_snr_gamma: float | None = None, p2_gamma: float = 0.0
) -> Tensor:
    """Weights (B,) of the prediction's squared error; by default all are 1.

    min_snr_gamma: min-SNR-γ of Hang et al. 2023 (arXiv 2303.09556, section 3.4), which weights the error of the clean
    latents by min(SNR, γ). For the error of the prediction itself that is min(SNR, γ) with `sample`, min(SNR, γ) / SNR
    with `epsilon` and min(SNR, γ) / (SNR + 1) with `v_prediction`.
    p2_gamma: a factor (1 + SNR)^−γ that emphasises high noise, where the caption matters most (Choi et al. 2022,
    arXiv 2204.00227, eq. 8 with k = 1).
    """
    snr = (signal / sigma).square().flatten()  # (B,)
    weights = (1 + snr) ** -p2_gamma
    if min_snr_gamma is None:
        return weights
    if prediction_type == "epsilon":
        return weights * (min_snr_gamma / snr).clamp(max=1)
    capped = snr.clamp(max=min_snr_gamma)
    return weights * (capped if prediction_type == "sample" else capped / (snr + 1))


def masked_mse(prediction: Tensor, target: Tensor, mask: Tensor | None = None) -> Tensor:
    """The mean squared error (B,) of each sample over its valid frames, in float32."""
    error = (prediction.float() - target.float()).square().mean(dim=-1)  # (B, T)
    return error.mean(dim=1) if mask is None else (error * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)


@dataclass(frozen=True)
class Objective:
    """How a backbone is trained.

    prediction_type: that of the noise scheduler. caption_dropout: the probability of training on the empty caption.
    min_snr_gamma (5 is usual), p2_gamma: see `loss_weights`. contrastive_weight: the weight of a contrastive term
    between the time means of predicted and true latents, or with contrastive_segments P above 1 between the means of P
    parts, side by side (`segments.side_by_side`). contrastive_loss: `nt_xent` on the normalised latents, or `info_nce`
    on latents in the encoder's own scale, relative to the model's centre, as retrieval compares them. reverse_weight:
    of a further term inside the contrastive one, which asks for the order of the parts (`contrastive.against_reverse`).
    """

    prediction_type: str = "sample"
    caption_dropout: float = 0.1
    min_snr_gamma: float | None = None
    p2_gamma: float = 0.0
    contrastive_weight: float = 0.0
    contrastive_temperature: float = 0.1
    contrastive_loss: str = "nt_xent"
    contrastive_segments: int = 1
    reverse_weight: float = 0.0

    def __post_init__(self) -> None:
        for name, choices in (("prediction_type", PREDICTION_TYPES), ("contrastive_loss", CONTRASTIVE_LOSSES)):
            if getattr(self, name) not in choices:
                raise InputError(f"{name} {getattr(self, name)!r}; choose one of {', '.join(choices)}")
        number("caption_dropout", self.caption_dropout, 0, 1)
        number("p2_gamma", self.p2_gamma)
        number("contrastive_weight", self.contrastive_weight, 0)
        whole("contrastive_segments", self.contrastive_segments, 1)
        number("reverse_weight", self.reverse_weight, 0)
        if self.reverse_weight and self.contrastive_segments == 1:
            raise InputError("reverse_weight needs parts that have an order; use objective.contrastive_segments=2")
        number("contrastive_temperature", self.contrastive_temperature, 1e-6)
        if self.min_snr_gamma is not None:
            number("min_snr_gamma", self.min_snr_gamma, 1e-6)

    def loss(
        self,
        backbone: Backbone,
        noise_scheduler: NoiseScheduler,
        batch: Batch,
        draws: Draws,
        parts: LossParts = LossParts(),  # noqa: B008 (has no state)
    ) -> Losses:
        """The losses (B,): the weighted squared error, and the contrastive term if its weight is above 0.

        batch: with normalised latents, zero at padding frames. parts: the steps that a model may change.
        """
        text = parts.text(batch, draws)
        noisy = parts.noisy(noise_scheduler, batch, draws)
        prediction = backbone(noisy.latents, noisy.timesteps, text, batch.mask).float()  # (B, T, D)
        clean = clean_latents(self.prediction_type, prediction, noisy.latents, *noisy.level)
        compared, error_type = (clean, "sample") if parts.on_clean else (prediction, self.prediction_type)
        target = parts.target(error_type, batch, draws, noisy, text)
        weights = loss_weights(error_type, *noisy.level, self.min_snr_gamma, self.p2_gamma)  # (B,)
        mse = weights * masked_mse(compared, target, batch.mask)
        ranked = parts.ranked(clean, batch, draws) if self.contrastive_weight else None
        if ranked is None:
            return Losses(mse, mse)
        contrastive = self.contrastive_term(ranked, batch, parts)
        return Losses(mse + self.contrastive_weight * contrastive, mse, contrastive)

    def contrastive_term(self, ranked: Tensor, batch: Batch, parts: LossParts) -> Tensor:
        """The contrastive loss (B,) between the time means of normalised `ranked` (B, T, D) and of the true latents."""
        views = [ranked.float(), batch.latents.float()]
        if self.contrastive_loss == "info_nce":
            views = [parts.as_ranked(view) for view in views]
        options = (self.contrastive_temperature, gather_rows, batch.track)
        loss = CONTRASTIVE_LOSSES[self.contrastive_loss]
        if self.contrastive_segments == 1:
            query, index = (pool(view, batch.mask) for view in views)  # (B, D)
            return loss(query, index, *options)
        means = [segment_means(view, self.contrastive_segments, batch.mask) for view in views]  # (B, P, D)
        query, index = (side_by_side(each) for each in means)  # (B, P · D)
        found = loss(query, index, *options)
        if not self.reverse_weight:
            return found
        reverse = against_reverse(query, index, side_by_side(means[1].flip(1)), self.contrastive_temperature)
        return found + self.reverse_weight * reverse

    def unweighted(self) -> "Objective":
        """The same objective, with equal weights for all noise levels."""
        return replace(self, min_snr_gamma=None, p2_gamma=0.0)


def check_schedule(noise_scheduler: NoiseScheduler) -> None:
    """Raises InputError for a schedule with which a perfect prediction does not lead back to the clean latents."""
    config = noise_scheduler.config
    if config.prediction_type == "epsilon" and noise_scheduler.alphas_cumprod[-1] < 1e-6:
        raise InputError(
            "epsilon prediction with (nearly) zero-terminal SNR divides by zero at the first step (Lin et al. 2024, "
            "arXiv 2305.08891); use objective=v_prediction or objective=sample, or noise_scheduler=scaled_linear"
        )
    if config.get("clip_sample") or config.get("thresholding"):
        raise InputError(
            f"{type(noise_scheduler).__name__} clips predictions, as if latents were pixels; "
            "set clip_sample: false and thresholding: false"
        )
    if config.get("set_alpha_to_one", True) is False:
        raise InputError("set_alpha_to_one: false leaves noise in the last step's latents; set it to true")
