"""Interpretable neighborhood noise training (INNT): an open reference implementation.

Electronics 2023, 12(23), 4751. The public names, by file:

* :mod:`innt_lib.noise`: ``GaussianNoise``, ``NeighborhoodNoise``
* :mod:`innt_lib.losses`: ``activation_distance`` (Reg_na), ``Objective``
* :mod:`innt_lib.models`: ``SplitNetwork``, ``build``
* :mod:`innt_lib.cam`: Grad-CAM, Grad-CAM++, Score-CAM, LayerCAM
* :mod:`innt_lib.metrics`: Average Drop and Increase, energy-based pointing game, AEPE
* :mod:`innt_lib.data`, :mod:`innt_lib.training`, :mod:`innt_lib.evaluation`, :mod:`innt_lib.runs`:
  from image folders to tables
"""

from innt_lib.losses import Objective, activation_distance
from innt_lib.models import SplitNetwork, build
from innt_lib.noise import GaussianNoise, NeighborhoodNoise

__version__ = "0.1.0"
__all__ = [
    "GaussianNoise",
    "NeighborhoodNoise",
    "Objective",
    "SplitNetwork",
    "activation_distance",
    "build",
]
