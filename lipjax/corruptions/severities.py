"""The published strengths: for each table and corruption, the constructor's arguments at severities 1 to 5.

`cifar` is the table of CIFAR-10-C (32 pixels), `tiny` that of Tiny-ImageNet-C (64), `imagenet` that of ImageNet-C
(224).

References:
    Hendrycks and Dietterich 2019, "Benchmarking neural network robustness to common corruptions and perturbations"
    (arXiv 1903.12261), and its authors' scripts that made the published sets.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import TypeAlias

Row: TypeAlias = Mapping[str, float | int]
Table: TypeAlias = Mapping[str, tuple[Row, ...]]

NATIVE_SIZE: Mapping[str, int] = MappingProxyType({"cifar": 32, "tiny": 64, "imagenet": 224})
"""Side in pixels of the images that each table was made for; strengths in pixels are absolute."""


def _rows(**columns: tuple[float | int, ...]) -> tuple[Row, ...]:
    return tuple(MappingProxyType(dict(zip(columns, row, strict=True))) for row in zip(*columns.values(), strict=True))


_CIFAR: Table = {
    "gaussian_noise": _rows(sd=(0.04, 0.06, 0.08, 0.09, 0.10)),
    "shot_noise": _rows(photons=(500, 250, 100, 75, 50)),
    "impulse_noise": _rows(amount=(0.01, 0.02, 0.03, 0.05, 0.07)),
    "defocus_blur": _rows(radius=(0.3, 0.4, 0.5, 1.0, 1.5), alias=(0.4, 0.5, 0.6, 0.2, 0.1)),
    "brightness": _rows(shift=(0.05, 0.1, 0.15, 0.2, 0.3)),
    "contrast": _rows(factor=(0.75, 0.5, 0.4, 0.3, 0.15)),
    "pixelate": _rows(factor=(0.95, 0.9, 0.85, 0.75, 0.65)),
    "speckle_noise": _rows(sd=(0.06, 0.1, 0.12, 0.16, 0.2)),
    "gaussian_blur": _rows(sd=(0.4, 0.6, 0.7, 0.8, 1.0)),
}

_TINY: Table = {
    "gaussian_noise": _rows(sd=(0.04, 0.08, 0.12, 0.15, 0.18)),
    "shot_noise": _rows(photons=(250, 100, 50, 30, 15)),
    "impulse_noise": _rows(amount=(0.01, 0.02, 0.05, 0.08, 0.14)),
    "defocus_blur": _rows(radius=(0.5, 1.0, 1.5, 2.5, 3.0), alias=(0.6, 0.1, 0.1, 0.01, 0.1)),
    "brightness": _rows(shift=(0.1, 0.2, 0.3, 0.4, 0.5)),
    "contrast": _rows(factor=(0.4, 0.3, 0.2, 0.1, 0.05)),
    "pixelate": _rows(factor=(0.9, 0.8, 0.7, 0.6, 0.5)),
    "speckle_noise": _rows(sd=(0.15, 0.2, 0.25, 0.3, 0.35)),
    "gaussian_blur": _rows(sd=(0.5, 0.75, 1.0, 1.25, 1.5)),
}

_IMAGENET: Table = {
    "gaussian_noise": _rows(sd=(0.08, 0.12, 0.18, 0.26, 0.38)),
    "shot_noise": _rows(photons=(60, 25, 12, 5, 3)),
    "impulse_noise": _rows(amount=(0.03, 0.06, 0.09, 0.17, 0.27)),
    "defocus_blur": _rows(radius=(3.0, 4.0, 6.0, 8.0, 10.0), alias=(0.1, 0.5, 0.5, 0.5, 0.5)),
    "brightness": _rows(shift=(0.1, 0.2, 0.3, 0.4, 0.5)),
    "contrast": _rows(factor=(0.4, 0.3, 0.2, 0.1, 0.05)),
    "pixelate": _rows(factor=(0.6, 0.5, 0.4, 0.3, 0.25)),
    "speckle_noise": _rows(sd=(0.15, 0.2, 0.35, 0.45, 0.6)),
    "gaussian_blur": _rows(sd=(1.0, 2.0, 3.0, 4.0, 6.0)),
}

SEVERITIES: Mapping[str, Table] = MappingProxyType(
    {
        "cifar": MappingProxyType(_CIFAR),
        "tiny": MappingProxyType(_TINY),
        "imagenet": MappingProxyType(_IMAGENET),
    }
)
"""`SEVERITIES[table][name][severity - 1]` is a mapping from argument to value."""
