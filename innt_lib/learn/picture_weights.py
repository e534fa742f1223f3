"""The weights of the training pictures while a network learns: kept by number, made anew between epochs."""

from __future__ import annotations

import math
import warnings

import torch
from torch import Tensor

from innt_lib.data import ImageSet
from innt_lib.learn.consistency import LOGGED, Scorer
from innt_lib.learn.split import SplitNetwork
from innt_lib.learn.weighing import Weighing, effective

COLLAPSED = 0.1  # effective share of the pictures below which hardly any is trained on


class PictureWeights:
    """One weight a training picture, 1 until the first scoring.

    Args:
        network: on its device; scored with as it is when weights are due.
        images: the training images.
        weighing: how and when.
        seed: of the training; controls that shuffle depend on it and on the epoch alone.
        pixels: the images as a uint8 tensor, where they are kept.

    Raises:
        ValueError: a mask whose boxes or segmentations the images do not have.
    """

    def __init__(
        self,
        network: SplitNetwork,
        images: ImageSet,
        weighing: Weighing,
        seed: int,
        pixels: Tensor,
    ) -> None:
        self.network, self.weighing, self.seed = network, weighing, seed
        self.scorer = Scorer(images, weighing, pixels)
        device = next(network.parameters()).device
        self.values = torch.ones(
            len(images), device=device
        )  # stays where it is: steps are recorded
        # Of a training that begins anew; a resumed one, too, is given the network it began with.
        state = network.state_dict() if weighing.anew else {}
        self.start = {name: tensor.clone() for name, tensor in state.items()}
        self.warned = False

    def of_batch(self, positions: Tensor) -> Tensor:
        """The weights ``(B,)`` of the pictures at these positions of the training set."""
        weights = self.values[positions]
        if self.weighing.normalise == "batch":
            return weights / weights.mean().clamp(min=torch.finfo(weights.dtype).tiny)
        return weights

    def renew(self, epochs: int, optimizer: torch.optim.Optimizer) -> dict[str, float]:
        """Score the pictures, if that is due after so many epochs, and weigh them by that.

        Returns:
            For the history: ``flip_rate``, mean ``distance`` and ``v``, the shares of ``degenerate``
            maps and of ``unmoved`` pictures (see :class:`innt_lib.learn.consistency.Probe`),
            ``effective`` (see :func:`innt_lib.learn.weighing.effective`); NaN if none was due.

        Warns:
            UserWarning: once, when the effective share falls below ``COLLAPSED``.
        """
        if not self.weighing.due(epochs):
            return dict.fromkeys((*LOGGED, "effective"), math.nan)
        scores = self.scorer(self.network)
        self.values.copy_(self.weighing.weights(scores.v, 1_000_003 * (self.seed + 1) + epochs))
        share = effective(self.values)
        if share < COLLAPSED and not self.warned:
            self.warned = True
            warnings.warn(
                f"the weights have collapsed: after {epochs} epochs {share:.1%} of the pictures carry "
                f"them (flip rate {float(scores.flipped.mean()):.3f}, mean D "
                f"{float(scores.distance.mean()):.3f}); try floor=0.5, distance='cosine' or another radius",
                stacklevel=2,
            )
        if self.weighing.anew:
            self.network.load_state_dict(self.start)
            for state in optimizer.state.values():  # in place: steps are recorded
                for tensor in state.values():
                    tensor.zero_()
        return scores.log() | {"effective": share}
