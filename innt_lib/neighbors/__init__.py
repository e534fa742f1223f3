"""What stands near a picture: noisy, corrupted and attacked copies, by name, drawn anew or once."""

from innt_lib.neighbors.attacks import Attack
from innt_lib.neighbors.corruptions import CORRUPTIONS, Corruption
from innt_lib.neighbors.near import (
    NEIGHBORS,
    Neighbor,
    at_severity,
    make_neighbor,
    near,
    near_fixed,
)
from innt_lib.neighbors.noise import GaussianNoise, NeighborhoodNoise

__all__ = [
    "CORRUPTIONS",
    "NEIGHBORS",
    "Attack",
    "Corruption",
    "GaussianNoise",
    "Neighbor",
    "NeighborhoodNoise",
    "at_severity",
    "make_neighbor",
    "near",
    "near_fixed",
]
