"""Datasets: one embedded, one synthetic, any of TFDS (without TensorFlow), and the user's own images."""

from lipjax.datasets.arrays import from_arrays
from lipjax.datasets.loading import load
from lipjax.datasets.views import channel_statistics, subset

__all__ = ["channel_statistics", "from_arrays", "load", "subset"]
