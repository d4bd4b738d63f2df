"""Sliders of a sparse autoencoder: features of the tracks' vectors, which a query has more or less of.

After Guinot et al. 2026 (arXiv 2608.08757), in small: a top-k autoencoder of the training tracks, a unit mask over the
features that tell a concept, and an edit of the query by the difference of two reconstructions. The index stays as it
is. Not the paper's is the choice of features: it inverts a text embedding and discounts frequent ones. The paper's text
was not at hand; its equations are as a public description of them has it.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from diffgar.evaluation.control.answers import Answer, Avoided

FEATURES, ACTIVE = 256, 32  # M, and how many of them a vector has
STEPS, BATCH, RATE = 600, 256, 3e-3
MOST = 20_000  # tracks that are learned from
NEAR = 0.05  # the share of the tracks that tell what a vector's features are


@dataclass(frozen=True, eq=False)
class SparseAutoencoder:
    """Vectors (..., D) to codes (..., M) that are zero but for `active` of them, and back.

    encoder (D, M), decoder (M, D), whose rows are unit vectors, and bias (D,), the vectors' mean at the start.
    """

    encoder: Tensor
    decoder: Tensor
    bias: Tensor
    active: int

    def codes(self, vectors: Tensor) -> Tensor:
        """The largest positive activations of each vector, (..., M)."""
        activations = ((vectors - self.bias) @ self.encoder).relu()
        top = activations.topk(self.active, dim=-1)
        return torch.zeros_like(activations).scatter(-1, top.indices, top.values)

    def decode(self, codes: Tensor) -> Tensor:
        """The vectors (..., D) that codes (..., M) stand for."""
        return codes @ self.decoder + self.bias


def learn(vectors: Tensor, features: int = FEATURES, active: int = ACTIVE, steps: int = STEPS) -> SparseAutoencoder:
    """A sparse autoencoder of unit vectors (N, D), trained by squared error in seconds; the seed is fixed.

    Features start as vectors of the data, about their mean, so that few of them are never used. Nothing is kept on
    disk: it is cheaper to train it again than to tell whether a kept one still fits.
    """
    random = torch.Generator().manual_seed(0)
    with torch.inference_mode(False), torch.enable_grad():
        data = vectors[torch.randperm(len(vectors), generator=random)[:MOST]].clone()
        bias = data.mean(dim=0).requires_grad_()
        starts = data[torch.randint(len(data), (features,), generator=random)] - bias.detach()
        starts = starts + 0.1 * starts.std() * torch.randn(starts.shape, generator=random)  # no two are the same
        decoder = F.normalize(starts, dim=1).requires_grad_()
        encoder = decoder.detach().T.clone().requires_grad_()
        optimizer = torch.optim.Adam([encoder, decoder, bias], lr=RATE)
        for _ in range(steps):
            batch = data[torch.randint(len(data), (BATCH,), generator=random)]
            learner = SparseAutoencoder(encoder, F.normalize(decoder, dim=1), bias, active)
            loss = (learner.decode(learner.codes(batch)) - batch).square().sum(dim=1).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return SparseAutoencoder(encoder.detach(), F.normalize(decoder.detach(), dim=1), bias.detach(), active)


def concept(codes: Tensor, tracks: Tensor, vectors: Tensor) -> Tensor:
    """The features of each vector's concept, as unit masks (..., M): those that the tracks near to it have more of.

    tracks: unit vectors (N, D); codes (N, M): their features; vectors: unit vectors (..., D). A feature's part is its
    mean over the NEAR tracks less its mean over all, where that is positive.
    """
    near = (vectors @ tracks.T).topk(max(1, round(NEAR * len(tracks))), dim=-1).indices  # (..., n)
    chosen = torch.zeros(*near.shape[:-1], len(tracks)).scatter(-1, near, 1 / near.shape[-1])
    return F.normalize((chosen @ codes - codes.mean(dim=0)).relu(), dim=-1)


def slid(
    autoencoder: SparseAutoencoder, tracks: Tensor, queries: Tensor, avoided: Avoided, suppress: float, amplify: float
) -> Answer:
    """Unit queries (S, P, D) with less of the features of what is to be avoided, and more of their own concept's.

    tracks: those that the autoencoder was trained on. suppress, amplify: how far along each unit mask. A query's codes
    are moved and decoded, and it changes by the difference of that reconstruction to the one before (eqs. 6 and 7), so
    its own codes cancel out. With several negatives each acts by its weight.
    """
    codes = autoencoder.codes(tracks)
    unwanted = torch.stack([concept(codes, tracks, vectors) for vectors in avoided.vectors])  # (M', S, P, M)
    moves = -suppress * torch.einsum("m,mspf->spf", avoided.weights.to(unwanted), unwanted)
    if amplify:
        moves = moves + amplify * concept(codes, tracks, queries)
    return Answer(F.normalize(queries + moves @ autoencoder.decoder, dim=-1))
