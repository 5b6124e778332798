"""Datasets: one embedded, one synthetic, any of TFDS (without TensorFlow), and the user's own images."""

from lipjax.datasets.arrays import from_arrays
from lipjax.datasets.loading import load, load_test
from lipjax.datasets.on_disk import OnDisk
from lipjax.datasets.views import balanced, channel_statistics, subset

__all__ = ["OnDisk", "balanced", "channel_statistics", "from_arrays", "load", "load_test", "subset"]
