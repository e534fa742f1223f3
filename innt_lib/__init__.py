"""Interpretable neighborhood noise training (INNT): an open reference implementation.

Electronics 2023, 12(23), 4751. A picture has neighbours; does a network say the same of them, and for
the same reason? The rooms, each built on those above it:

* :mod:`innt_lib.system`: paths, whole files, the machine, pixels
* :mod:`innt_lib.neighbors`: what stands near a picture
* :mod:`innt_lib.explain`: why a network says what it says: class activation maps, their measures
* :mod:`innt_lib.data`: from image files to arrays
* :mod:`innt_lib.learn`: how a network comes to say it: networks, losses, methods, training
* :mod:`innt_lib.results`: runs, evaluations, tables, verdicts, pictures

What one takes into a training of one's own:
"""

from innt_lib.learn.losses import activation_distance
from innt_lib.learn.methods import Objective
from innt_lib.learn.networks import build
from innt_lib.learn.split import SplitNetwork
from innt_lib.neighbors import Attack, GaussianNoise, NeighborhoodNoise
from innt_lib.system import VERSION as __version__

__all__ = [
    "Attack",
    "GaussianNoise",
    "NeighborhoodNoise",
    "Objective",
    "SplitNetwork",
    "__version__",
    "activation_distance",
    "build",
]
