"""What stands near a picture: noisy, corrupted, attacked copies, and those of a latent space."""

from innt_lib.neighbors.attacks import Attack
from innt_lib.neighbors.corruptions import CORRUPTIONS, Corruption
from innt_lib.neighbors.latent import LVAT
from innt_lib.neighbors.near import (
    NEIGHBORS,
    Neighbor,
    NeighborKind,
    at_severity,
    kind_of,
    make_neighbor,
    near,
    near_fixed,
)
from innt_lib.neighbors.noise import GaussianNoise, NeighborhoodNoise
from innt_lib.neighbors.vat import VAT

__all__ = [
    "CORRUPTIONS",
    "LVAT",
    "NEIGHBORS",
    "VAT",
    "Attack",
    "Corruption",
    "GaussianNoise",
    "Neighbor",
    "NeighborKind",
    "NeighborhoodNoise",
    "at_severity",
    "kind_of",
    "make_neighbor",
    "near",
    "near_fixed",
]
