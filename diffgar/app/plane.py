"""The library in two dimensions: its first two principal components, in which queries are seen too."""

import numpy as np
import torch
from torch import Tensor

from diffgar.evaluation.reports.maps import project_pca


class Plane:
    """The plane of an index (N, D), computed once; `points` (N, 2) are its tracks."""

    def __init__(self, index: Tensor):
        dim = index.shape[1]
        self.points, units, self.origin = project_pca(index, torch.eye(dim), torch.zeros(1, dim))
        self.axes = units - self.origin  # (D, 2)

    def see(self, vector: Tensor) -> np.ndarray:
        """Where a vector (D,) of any length lies, (2,): as a unit vector, as the tracks are."""
        unit = torch.nn.functional.normalize(vector.double(), dim=-1).numpy()
        return (unit @ self.axes + self.origin)[0]
