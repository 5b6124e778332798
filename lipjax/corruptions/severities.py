"""The published strengths: for each table, every corruption at severities 1 to 5.

`cifar` is the table of CIFAR-10-C (32 pixels), `tiny` that of Tiny-ImageNet-C (64), `imagenet` that of ImageNet-C
(224).

References:
    Hendrycks and Dietterich 2019, "Benchmarking neural network robustness to common corruptions and perturbations"
    (arXiv 1903.12261), and its authors' scripts that made the published sets.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TypeAlias

from lipjax.corruptions.blur import defocus_blur, gaussian_blur, glass_blur, motion_blur, zoom_blur
from lipjax.corruptions.corruption import Corruption
from lipjax.corruptions.digital import contrast, elastic_transform, jpeg_compression, pixelate, saturate
from lipjax.corruptions.noise import gaussian_noise, impulse_noise, shot_noise, speckle_noise
from lipjax.corruptions.weather import brightness, fog, frost, snow, spatter

Table: TypeAlias = Mapping[str, tuple[Corruption, ...]]

NATIVE_SIZE: Mapping[str, int] = MappingProxyType({"cifar": 32, "tiny": 64, "imagenet": 224})
"""Side in pixels of the images that each table was made for; strengths in pixels are absolute."""


def _rows(corruption: Callable[..., Corruption], **columns: tuple[float, ...]) -> tuple[Corruption, ...]:
    return tuple(corruption(**dict(zip(columns, row, strict=True))) for row in zip(*columns.values(), strict=True))


def _table(*rows: tuple[Corruption, ...]) -> Table:
    return MappingProxyType({type(row[0]).__name__: row for row in rows})


def _of_224(*fractions: float) -> tuple[float, ...]:
    # The authors' script for 224 pixels multiplies by 244.
    return tuple(fraction * 244 / 224 for fraction in fractions)


_CIFAR = _table(
    _rows(gaussian_noise, sd=(0.04, 0.06, 0.08, 0.09, 0.10)),
    _rows(shot_noise, photons=(500, 250, 100, 75, 50)),
    _rows(impulse_noise, amount=(0.01, 0.02, 0.03, 0.05, 0.07)),
    _rows(defocus_blur, radius=(0.3, 0.4, 0.5, 1.0, 1.5), alias=(0.4, 0.5, 0.6, 0.2, 0.1)),
    _rows(glass_blur, sd=(0.05, 0.25, 0.4, 0.25, 0.4), reach=(1, 1, 1, 1, 1), iterations=(1, 1, 1, 2, 2)),
    _rows(motion_blur, radius=(6, 6, 6, 8, 9), sd=(1.0, 1.5, 2.0, 2.0, 2.5)),
    _rows(zoom_blur, stop=(1.06, 1.11, 1.16, 1.21, 1.26), step=(0.01,) * 5),
    _rows(
        snow,
        mean=(0.1, 0.1, 0.15, 0.25, 0.3),
        sd=(0.2, 0.2, 0.3, 0.3, 0.3),
        enlargement=(1.0, 1.0, 1.75, 2.25, 1.25),
        threshold=(0.6, 0.5, 0.55, 0.6, 0.65),
        radius=(8, 10, 10, 12, 14),
        blur=(3.0, 4.0, 4.0, 6.0, 12.0),
        mix=(0.95, 0.9, 0.9, 0.85, 0.8),
    ),
    _rows(frost, image_weight=(1.0, 1.0, 0.9, 0.85, 0.75), frost_weight=(0.2, 0.3, 0.4, 0.4, 0.45), scale=(0.2,) * 5),
    _rows(fog, amount=(0.2, 0.5, 0.75, 1.0, 1.5), decay=(3.0, 3.0, 2.5, 2.0, 1.75)),
    _rows(brightness, shift=(0.05, 0.1, 0.15, 0.2, 0.3)),
    _rows(contrast, factor=(0.75, 0.5, 0.4, 0.3, 0.15)),
    _rows(
        elastic_transform,
        amplitude=(0.0, 0.05, 0.08, 0.1, 0.1),
        smoothness=(0.0, 0.2, 0.06, 0.04, 0.03),
        jitter=(0.08, 0.07, 0.06, 0.05, 0.03),
    ),
    _rows(pixelate, factor=(0.95, 0.9, 0.85, 0.75, 0.65)),
    _rows(jpeg_compression, quality=(80, 65, 58, 50, 40)),
    _rows(speckle_noise, sd=(0.06, 0.1, 0.12, 0.16, 0.2)),
    _rows(gaussian_blur, sd=(0.4, 0.6, 0.7, 0.8, 1.0)),
    _rows(
        spatter,
        mean=(0.62, 0.65, 0.65, 0.65, 0.65),
        sd=(0.1, 0.1, 0.3, 0.1, 0.1),
        blur=(0.7, 0.8, 1.0, 0.7, 0.5),
        threshold=(0.7, 0.7, 0.69, 0.69, 0.68),
        strength=(0.5, 0.5, 0.5, 0.6, 0.6),
        mud=(False, False, False, True, True),
    ),
    _rows(saturate, factor=(0.3, 0.1, 1.5, 2.0, 2.5), shift=(0.0, 0.0, 0.0, 0.1, 0.2)),
)

_TINY = _table(
    _rows(gaussian_noise, sd=(0.04, 0.08, 0.12, 0.15, 0.18)),
    _rows(shot_noise, photons=(250, 100, 50, 30, 15)),
    _rows(impulse_noise, amount=(0.01, 0.02, 0.05, 0.08, 0.14)),
    _rows(defocus_blur, radius=(0.5, 1.0, 1.5, 2.5, 3.0), alias=(0.6, 0.1, 0.1, 0.01, 0.1)),
    _rows(glass_blur, sd=(0.1, 0.5, 0.6, 0.7, 0.9), reach=(1, 1, 1, 2, 2), iterations=(1, 1, 2, 1, 2)),
    _rows(motion_blur, radius=(10, 10, 10, 10, 12), sd=(1.0, 1.5, 2.0, 2.5, 3.0)),
    _rows(zoom_blur, stop=(1.06, 1.11, 1.16, 1.21, 1.26), step=(0.01,) * 5),
    _rows(
        snow,
        mean=(0.1, 0.1, 0.15, 0.25, 0.3),
        sd=(0.2, 0.2, 0.3, 0.3, 0.3),
        enlargement=(1.0, 1.0, 1.75, 2.25, 1.25),
        threshold=(0.6, 0.5, 0.55, 0.6, 0.65),
        radius=(8, 10, 10, 12, 14),
        blur=(3.0, 4.0, 4.0, 6.0, 12.0),
        mix=(0.8, 0.8, 0.7, 0.65, 0.6),
    ),
    _rows(frost, image_weight=(1.0, 0.9, 0.8, 0.75, 0.7), frost_weight=(0.3, 0.4, 0.45, 0.5, 0.55), scale=(0.3,) * 5),
    _rows(fog, amount=(0.4, 0.7, 1.0, 1.5, 2.0), decay=(3.0, 3.0, 2.5, 2.0, 1.75)),
    _rows(brightness, shift=(0.1, 0.2, 0.3, 0.4, 0.5)),
    _rows(contrast, factor=(0.4, 0.3, 0.2, 0.1, 0.05)),
    _rows(
        elastic_transform,
        amplitude=(0.0, 0.05, 0.1, 0.1, 0.16),
        smoothness=(0.0, 0.3, 0.08, 0.03, 0.03),
        jitter=(0.08, 0.06, 0.06, 0.03, 0.02),
    ),
    _rows(pixelate, factor=(0.9, 0.8, 0.7, 0.6, 0.5)),
    _rows(jpeg_compression, quality=(65, 58, 50, 40, 25)),
    _rows(speckle_noise, sd=(0.15, 0.2, 0.25, 0.3, 0.35)),
    _rows(gaussian_blur, sd=(0.5, 0.75, 1.0, 1.25, 1.5)),
    _rows(
        spatter,
        mean=(0.62, 0.65, 0.65, 0.65, 0.65),
        sd=(0.1, 0.1, 0.3, 0.1, 0.1),
        blur=(0.7, 0.8, 1.0, 0.7, 0.5),
        threshold=(0.7, 0.7, 0.69, 0.68, 0.67),
        strength=(0.6,) * 5,
        mud=(False, False, False, True, True),
    ),
    _rows(saturate, factor=(0.3, 0.1, 2.0, 5.0, 30.0), shift=(0.0, 0.0, 0.0, 0.1, 0.2)),
)

_IMAGENET = _table(
    _rows(gaussian_noise, sd=(0.08, 0.12, 0.18, 0.26, 0.38)),
    _rows(shot_noise, photons=(60, 25, 12, 5, 3)),
    _rows(impulse_noise, amount=(0.03, 0.06, 0.09, 0.17, 0.27)),
    _rows(defocus_blur, radius=(3.0, 4.0, 6.0, 8.0, 10.0), alias=(0.1, 0.5, 0.5, 0.5, 0.5)),
    _rows(glass_blur, sd=(0.7, 0.9, 1.0, 1.1, 1.5), reach=(1, 2, 2, 3, 4), iterations=(2, 1, 3, 2, 2)),
    _rows(motion_blur, radius=(10, 15, 15, 15, 20), sd=(3.0, 5.0, 8.0, 12.0, 15.0)),
    _rows(zoom_blur, stop=(1.11, 1.16, 1.21, 1.26, 1.31), step=(0.01, 0.01, 0.02, 0.02, 0.03)),
    _rows(
        snow,
        mean=(0.1, 0.2, 0.55, 0.55, 0.55),
        sd=(0.3,) * 5,
        enlargement=(3.0, 2.0, 4.0, 4.5, 2.5),
        threshold=(0.5, 0.5, 0.9, 0.85, 0.85),
        radius=(10, 12, 12, 12, 12),
        blur=(4.0, 4.0, 8.0, 8.0, 12.0),
        mix=(0.8, 0.7, 0.7, 0.65, 0.55),
    ),
    _rows(frost, image_weight=(1.0, 0.8, 0.7, 0.65, 0.6), frost_weight=(0.4, 0.6, 0.7, 0.7, 0.75), scale=(1.0,) * 5),
    _rows(fog, amount=(1.5, 2.0, 2.5, 2.5, 3.0), decay=(2.0, 2.0, 1.7, 1.5, 1.4)),
    _rows(brightness, shift=(0.1, 0.2, 0.3, 0.4, 0.5)),
    _rows(contrast, factor=(0.4, 0.3, 0.2, 0.1, 0.05)),
    _rows(
        elastic_transform,
        amplitude=_of_224(2.0, 2.0, 0.05, 0.07, 0.12),
        smoothness=_of_224(0.7, 0.08, 0.01, 0.01, 0.01),
        jitter=_of_224(0.1, 0.2, 0.02, 0.02, 0.02),
    ),
    _rows(pixelate, factor=(0.6, 0.5, 0.4, 0.3, 0.25)),
    _rows(jpeg_compression, quality=(25, 18, 15, 10, 7)),
    _rows(speckle_noise, sd=(0.15, 0.2, 0.35, 0.45, 0.6)),
    _rows(gaussian_blur, sd=(1.0, 2.0, 3.0, 4.0, 6.0)),
    _rows(
        spatter,
        mean=(0.65, 0.65, 0.65, 0.65, 0.67),
        sd=(0.3, 0.3, 0.3, 0.3, 0.4),
        blur=(4.0, 3.0, 2.0, 1.0, 1.0),
        threshold=(0.69, 0.68, 0.68, 0.65, 0.65),
        strength=(0.6, 0.6, 0.5, 1.5, 1.5),
        mud=(False, False, False, True, True),
    ),
    _rows(saturate, factor=(0.3, 0.1, 2.0, 5.0, 20.0), shift=(0.0, 0.0, 0.0, 0.1, 0.2)),
)

SEVERITIES: Mapping[str, Table] = MappingProxyType({"cifar": _CIFAR, "tiny": _TINY, "imagenet": _IMAGENET})
"""`SEVERITIES[table][name][severity - 1]` is a corruption; names are in the benchmark's order."""
