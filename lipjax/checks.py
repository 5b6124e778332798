"""Checks of hyper-parameters: a wrong one raises ValueError in the constructor that receives it.

Values that are being traced (a radius inside `jit`) pass unchecked: traced code never raises.
"""

from collections.abc import Sized

import jax
import numpy as np
from jaxtyping import ArrayLike

_ROUNDING = 1e-6


def _known(value: ArrayLike) -> bool:
    return not isinstance(value, jax.core.Tracer)


def positive(**values: ArrayLike) -> None:
    """Raises ValueError unless every value is greater than 0.

    Example:
        >>> positive(radius=-0.1)
        Traceback (most recent call last):
        ValueError: radius must be positive, got -0.1
    """
    for name, value in values.items():
        if _known(value) and not np.all(np.asarray(value) > 0):
            raise ValueError(f"{name} must be positive, got {value}")


def not_negative(**values: ArrayLike) -> None:
    """Raises ValueError unless every value is 0 or greater."""
    for name, value in values.items():
        if _known(value) and not np.all(np.asarray(value) >= 0):
            raise ValueError(f"{name} must be 0 or greater, got {value}")


def at_least(minimum: int, **values: int | np.integer) -> None:
    """Raises ValueError unless every value is a whole number that is at least `minimum`."""
    for name, value in values.items():
        if int(value) != value or value < minimum:
            raise ValueError(f"{name} must be a whole number of at least {minimum}, got {value}")


def fraction(**values: ArrayLike) -> None:
    """Raises ValueError unless every value is in [0, 1]."""
    for name, value in values.items():
        if _known(value) and not np.all((np.asarray(value) >= 0) & (np.asarray(value) <= 1)):
            raise ValueError(f"{name} must be between 0 and 1, got {value}")


def probability(**values: float) -> None:
    """Raises ValueError unless every value is strictly between 0 and 1."""
    for name, value in values.items():
        if not 0.0 < value < 1.0:
            raise ValueError(f"{name} must be above 0 and below 1, got {value}")


def inside(box: "tuple[float, float] | None", **values: ArrayLike) -> None:
    """Raises ValueError unless all numbers are finite and in the box, up to rounding; None is no limit.

    Example:
        >>> inside((0.0, 1.0), xs=np.array([0.0, 255.0]))
        Traceback (most recent call last):
        ValueError: xs must be within box = (0.0, 1.0), got numbers from 0 to 255; box=None lifts the limits
    """
    low, high = box or (-np.inf, np.inf)
    for name, value in values.items():
        if not _known(value):
            continue
        numbers = np.asarray(value)
        if not np.all(np.isfinite(numbers)):
            raise ValueError(f"{name} must be finite numbers")
        if np.any((numbers < low - _ROUNDING) | (numbers > high + _ROUNDING)):
            raise ValueError(
                f"{name} must be within box = {box}, got numbers from {numbers.min():g} to {numbers.max():g}; "
                "box=None lifts the limits"
            )


def examples(inputs: Sized, labels: Sized) -> None:
    """Raises ValueError unless there is one label, a whole number from 0, for every input, and at least one of them.

    Example:
        >>> examples([0.1, 0.2], [1])
        Traceback (most recent call last):
        ValueError: need one label for every input, and at least one input; got 2 inputs and 1 labels
    """
    if len(inputs) != len(labels) or not len(inputs):
        raise ValueError(
            f"need one label for every input, and at least one input; got {len(inputs)} inputs and {len(labels)} labels"
        )
    numbers = np.asarray(labels)
    if not np.issubdtype(numbers.dtype, np.integer) or numbers.min() < 0:
        raise ValueError(f"labels must be whole numbers from 0, got {numbers.dtype} from {numbers.min()}")


def classes(num_classes: int, labels: ArrayLike) -> None:
    """Raises ValueError unless every label is a class, from 0 to `num_classes - 1`.

    Example:
        >>> classes(10, np.array([3, 10]))
        Traceback (most recent call last):
        ValueError: labels must be from 0 to 9, got 3 to 10
    """
    lowest, highest = np.min(labels), np.max(labels)
    if lowest < 0 or highest >= num_classes:
        raise ValueError(f"labels must be from 0 to {num_classes - 1}, got {lowest} to {highest}")


def one_of(name: str, value: str, legal: "tuple[str, ...] | list[str]") -> None:
    """Raises ValueError unless the value is one of the legal ones, which the message lists.

    Example:
        >>> one_of("padding", "FULL", ["SAME", "VALID"])
        Traceback (most recent call last):
        ValueError: padding must be one of SAME, VALID; got 'FULL'
    """
    if value not in legal:
        raise ValueError(f"{name} must be one of {', '.join(legal)}; got {value!r}")
