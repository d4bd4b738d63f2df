"""Direct embedding optimisation (DEO): a query is moved by a few gradient steps, and nothing is trained.

Lee et al. 2026 (arXiv 2603.09185), eq. 4.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from diffgar.evaluation.control.answers import Answer, Avoided

ATTRACTION, CONSISTENCY = 1.0, 0.2  # of the paper's text experiments
RATE = 0.01  # of Adam; the paper does not state its own


def optimised(queries: Tensor, avoided: Avoided, repulsion: float, steps: float) -> Answer:
    """Unit queries (S, P, D), moved so that they stay near to where they were and go away from what is to be avoided.

    The loss is λp |e − p|² − λn mean |e − n|² + λo |e − o|², with λn = repulsion, and Adam takes a fixed number of
    steps from the original query o. Here the caption comes apart from its negative, so p, its positive part, is o too.

    Two things are not the paper's text: after each step e is put back on the unit sphere, because the loss has no lower
    bound where λn > λp + λo; and a negative's weight counts in the mean. On the sphere the loss is linear, and its
    minimum is the subtraction `subtracted` with the weight λn / (λp + λo): what few steps add is that they stop early.
    """
    origin = F.normalize(queries, dim=-1)
    pull = (ATTRACTION + CONSISTENCY) * origin - repulsion * avoided.summed() / len(avoided.weights)
    moved = origin.clone()
    optimizer = torch.optim.Adam([moved], lr=RATE)
    for _ in range(round(steps)):
        moved.grad = -2 * (pull - (pull * moved).sum(dim=-1, keepdim=True) * moved)  # along the sphere
        optimizer.step()
        moved.copy_(F.normalize(moved, dim=-1))
    return Answer(moved)
