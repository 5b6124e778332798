"""The one-dimensional example with which the talk introduces local Lipschitz constants."""

import numpy as np
from jaxtyping import Float, Int

from lipjax.datasets.arrays import from_arrays
from lipjax.types import Dataset

BOX = (-2.0, 1.0)
SPACING = 0.025


def toy() -> Dataset:
    """Two classes on the segment [-2, 1] of the real line, 0.5 apart: slope 1 is impossible globally, easy locally.

    Class 0 fills [-2, -0.75] and class 1 fills [-0.25, 1]. Training inputs are the 51 + 51 points

        x_i = -2 + 0.025 i   (class 0),      x_i = -0.25 + 0.025 i   (class 1),      i = 0, ..., 50,

    and test inputs the 50 + 50 points halfway between neighbours. Nothing is random.

    A function with f(x_i) = label_i has to rise by 1 between -0.75 and -0.25, so its global Lipschitz constant is at
    least 2 and alpha = 1 is incompatible with the data. The condition |f(x + e) - f(x)| <= alpha |e| for x in the data
    and |e| <= 0.1 is met with alpha = 1 (even with alpha = 0): f may rise where no such ball reaches, in
    (-0.65, -0.35). It stays possible with any alpha for every radius below 0.25, half the distance of the classes.

    Returns:
        A dataset with inputs `[batch, 1]` in the box [-2, 1].

    References:
        Lassance, Gripon, Tang and Ortega 2019, "Structural robustness for deep learning architectures" (arXiv
        1909.05095), toy figure of the talk. The figure's interval, classes and radius are theirs; where the points
        lie is ours.

    Examples:
        >>> dataset = toy()
        >>> dataset.train.inputs.shape, dataset.test.inputs.shape
        ((102, 1), (100, 1))
    """
    train_steps, test_steps = np.arange(51), np.arange(50) + 0.5
    return from_arrays("toy", _both_classes(train_steps), _both_classes(test_steps), box=BOX)


def _both_classes(
    steps: Float[np.ndarray, " n"] | Int[np.ndarray, " n"],
) -> tuple[Float[np.ndarray, "twice 1"], Int[np.ndarray, " twice"]]:
    starts = np.array([BOX[0], -0.25])
    inputs = starts[:, None] + SPACING * steps
    return inputs.reshape(-1, 1), np.repeat([0, 1], len(steps))
