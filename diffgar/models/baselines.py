"""Other ways to a query than diffusion, as thin Lightning modules."""

from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from pytorch_lightning import LightningModule
from torch import Tensor, nn

from diffgar.models.encoders.demo import DemoAudioEncoder, DemoTextEncoder, contrastive_loss, save_pair, split_words


class ContrastiveTowers(LightningModule):
    """Trains the demo's encoder pair: a track's pooled windows against one of its captions.

    Batches are those of `WindowsDataModule`. The state with the best validation R@10 is kept for `publish`.
    """

    def __init__(self, optimizer: Callable, lr_scheduler: Callable, word_dropout: float = 0.1, max_mask: int = 10):
        super().__init__()
        self.audio_encoder, self.text_encoder = DemoAudioEncoder("random"), DemoTextEncoder("random")
        self.text_encoder.word_dropout, self.max_mask = word_dropout, max_mask
        self.log_scale = nn.Parameter(torch.tensor(14.0).log())
        self.make_optimizer, self.make_lr_scheduler = optimizer, lr_scheduler
        self.train()  # encoders come in evaluation mode
        self.pairs: list[tuple[Tensor, Tensor]] = []
        self.best: tuple[float, dict] = (-1.0, {})

    def setup(self, stage: str) -> None:
        if not self.text_encoder.vocabulary:
            captions = self.trainer.datamodule.captions("train")
            self.text_encoder.set_vocabulary(sorted({word for text in captions for word in split_words(text)}))

    def training_step(self, batch: dict, batch_idx: int) -> Tensor:
        features = batch["features"]  # (B, K, F, M)
        features = masked_bands(features.flatten(0, 1), self.max_mask)  # (B·K, F, M)
        latents = self.audio_encoder.tower(features).unflatten(0, batch["features"].shape[:2])  # (B, K, D)
        audio = F.normalize(latents.mean(dim=1), dim=-1)  # (B, D)
        text = self.text_encoder.encode(batch["captions"]).embedding  # (B, D)
        loss = contrastive_loss(audio, text, self.log_scale.exp().clamp(max=100))
        self.log("train/loss", loss, prog_bar=True)
        return loss

    def validation_step(self, batch: dict, batch_idx: int) -> None:
        """One track: all its windows (T, F, M), all its captions."""
        index = F.normalize(self.audio_encoder.tower(batch["features"]).mean(dim=0), dim=-1)  # (D,)
        self.pairs.append((index, self.text_encoder.encode(batch["captions"]).embedding))

    def on_validation_epoch_end(self) -> None:
        metrics = recalls(self.pairs)
        self.pairs.clear()
        self.log_dict({f"val/{name}": value for name, value in metrics.items()}, prog_bar=True)
        if metrics["R@10"] > self.best[0] and not self.trainer.sanity_checking:
            state = {key: value.detach().clone() for key, value in self.state_dict().items()}
            self.best = metrics["R@10"], state

    def configure_optimizers(self) -> dict:
        optimizer = self.make_optimizer(self.parameters())
        lr_scheduler = {"scheduler": self.make_lr_scheduler(optimizer), "interval": "step"}
        return {"optimizer": optimizer, "lr_scheduler": lr_scheduler}

    def publish(self, path: str | Path) -> dict[str, float]:
        """Write the best state to `path` and return the file's own retrieval figures on the test split."""
        self.load_state_dict(self.best[1])
        save_pair(path, self.audio_encoder, self.text_encoder)
        audio_encoder, text_encoder = DemoAudioEncoder(path), DemoTextEncoder(path)
        with torch.inference_mode():
            pairs = [
                (
                    F.normalize(audio_encoder.tower(batch["features"]).mean(dim=0), dim=-1),
                    text_encoder.encode(batch["captions"]).embedding,
                )
                for batch in self.trainer.datamodule.test_dataloader()
            ]
        return {"validation R@10": self.best[0], **recalls(pairs), "num_tracks": len(pairs)}


def masked_bands(features: Tensor, max_mask: int) -> Tensor:
    """Features (N, F, M) with a random run of at most `max_mask` bands of each set to its mean (SpecAugment)."""
    width = torch.randint(max_mask + 1, (len(features), 1), device=features.device)
    start = (torch.rand(len(features), 1, device=features.device) * (features.shape[2] - width)).long()
    bands = torch.arange(features.shape[2], device=features.device)
    hidden = (bands >= start) & (bands < start + width)  # (N, M)
    return torch.where(hidden.unsqueeze(1), features.mean(dim=(1, 2), keepdim=True), features)


def recalls(pairs: list[tuple[Tensor, Tensor]]) -> dict[str, float]:
    """R@1, R@5, R@10 in per cent, of (index (D,), queries (Q_i, D)) for each track; mid-rank among ties."""
    index = torch.stack([vector for vector, _ in pairs])  # (N, D)
    own = torch.cat([torch.full((len(queries),), i) for i, (_, queries) in enumerate(pairs)])  # (Q,)
    similarity = torch.cat([queries for _, queries in pairs]) @ index.T  # (Q, N)
    score = similarity.gather(1, own.to(similarity.device)[:, None])  # (Q, 1)
    ranks = 0.5 + (similarity > score).sum(dim=1) + (similarity == score).sum(dim=1) / 2
    return {f"R@{k}": 100 * float((ranks <= k).float().mean()) for k in (1, 5, 10)}
