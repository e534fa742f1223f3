"""From image files to plain arrays."""

from innt_lib.data.catalogue import DATASETS
from innt_lib.data.images import ImageSet
from innt_lib.data.loading import OnBad, Split, Splits, load
from innt_lib.system.tensors import MEAN, STD, standardise

__all__ = ["DATASETS", "MEAN", "STD", "ImageSet", "OnBad", "Split", "Splits", "load", "standardise"]
