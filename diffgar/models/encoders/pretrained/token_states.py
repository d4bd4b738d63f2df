"""What frozen text encoders of text alone share: captions to the last hidden states of a transformer."""

import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from diffgar.models.encoders.base import TextEncoder
from diffgar.models.encoders.pretrained.frozen import Frozen
from diffgar.models.encoders.pretrained.tokens import tokenize
from diffgar.text_states import TextStates


class TokenStates(Frozen, TextEncoder):
    """Captions to the last hidden states (B, L, C) of `network`, without an embedding unless `embed` gives one.

    Subclasses set `network`, one of transformers' encoders, and `tokenizer`, beside what a `TextEncoder` has.
    """

    network: nn.Module
    tokenizer: PreTrainedTokenizerBase

    @torch.no_grad()
    def encode(self, captions: list[str]) -> TextStates:
        """See `TextEncoder.encode`."""
        ids, mask, num_truncated = tokenize(self.tokenizer, captions, self.max_tokens)  # (B, L)
        ids, mask = ids.to(self.device), mask.to(self.device)
        with self.precision():
            hidden_states = self.network(input_ids=ids, attention_mask=mask.long()).last_hidden_state  # (B, L, C)
        hidden_states = hidden_states.float() * mask.unsqueeze(-1)
        return TextStates(hidden_states, mask, self.embed(hidden_states, mask), num_truncated)

    def embed(self, hidden_states: Tensor, mask: Tensor) -> Tensor | None:
        """The unit-norm vectors (B, P) of states (B, L, C), zero where the mask (B, L) is False; None without any."""
        return None
