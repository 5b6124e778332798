"""Planted zoos of networks, of which it is known what predicts the target, and mbe-eval's tables of them."""

from itertools import product
from typing import NamedTuple

import numpy as np
import pandas as pd

AXES = ["system", "rate", "width"]


class Zoo(NamedTuple):
    """Networks of a full grid with seeds: a target, a mere proxy of the design, and a measure of what is left.

    Attributes:
        design: Words for the system, numbers for the others.
        configurations: The configuration of each network.
        target: The design's effect and noise.
        proxy: The same effect and other noise.
        quality: The target's noise, and noise.
    """

    design: dict[str, np.ndarray]
    configurations: np.ndarray
    target: np.ndarray
    proxy: np.ndarray
    quality: np.ndarray


def zoo(seed: int = 0, *, noise: float = 0.35, num_seeds: int = 5) -> Zoo:
    """A zoo of 54 configurations, in which the system matters most and the width least."""
    generator = np.random.default_rng(seed)
    system, rate, width = np.array([*product(range(6), range(3), range(3))] * num_seeds).T
    own, other, measured = generator.normal(size=(3, len(system)))
    effect = 10.0 * system + 3.0 * rate + width
    design = {"system": np.array(list("abcdef"))[system], "rate": 10.0**-rate, "width": 16 * 2**width}
    configurations = np.tile(np.arange(54), num_seeds)
    return Zoo(design, configurations, effect + noise * own, effect + noise * other, noise * own + 0.1 * measured)


def table(measure: np.ndarray, target: np.ndarray, **columns: np.ndarray) -> pd.DataFrame:
    """The networks as mbe-eval reads them."""
    return pd.DataFrame({"measure": measure, "target": target, **columns})
