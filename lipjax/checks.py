"""Checks of hyper-parameters: a wrong one raises ValueError in the constructor that receives it.

Values that are being traced (a radius inside `jit`) pass unchecked: traced code never raises.
"""

import collections.abc
import inspect
import math
import os
import sys
import types
import typing
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import ArrayLike

_ROUNDING = 1e-6

MOST = 2**31 - 1
"""The largest whole number that JAX counts to."""


def _known(value: Any) -> bool:
    return not isinstance(value, jax.core.Tracer)


def numbers(**values: Any) -> None:
    """Raises ValueError unless every value is an array of real numbers, with at least one entry.

    Examples:
        >>> numbers(x=["a", "b"])
        Traceback (most recent call last):
        ValueError: x must be numbers, got ['a', 'b']
    """
    for name, value in values.items():
        if _known(value) and not _real(name, value).size:
            raise ValueError(f"{name} must have at least one entry, got shape {np.shape(value)}")


def array(name: str, value: Any) -> np.ndarray:
    """The value as an array.

    Raises:
        ValueError: If it is none, as keys of random numbers and rows of several lengths are not.

    Examples:
        >>> array("inputs", [[1, 2], [3]])
        Traceback (most recent call last):
        ValueError: inputs must be an array, got [[1, 2], [3]]
    """
    try:
        return np.asarray(value)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be an array, got {value!r:.100}") from None


def _real(name: str, value: Any) -> np.ndarray:
    found = array(name, value)
    is_real = jax.numpy.issubdtype(found.dtype, np.number) and not jax.numpy.issubdtype(found.dtype, np.complexfloating)
    if not is_real:
        raise ValueError(f"{name} must be numbers, got {value!r:.100}")
    if jax.numpy.issubdtype(found.dtype, np.integer) and found.size and np.abs(found.astype(float)).max() > MOST:
        raise ValueError(f"{name} must be whole numbers of at most {MOST:,}, got {value!r:.100}")
    return found


def path(given: str | os.PathLike) -> Path:
    """The path, which may begin in a home folder.

    Raises:
        ValueError: If there is no such home.

    Examples:
        >>> path("~nobody_of_this_name/runs")
        Traceback (most recent call last):
        ValueError: ~nobody_of_this_name/runs begins in a home folder that there is not
    """
    try:
        return Path(given).expanduser()
    except RuntimeError:
        raise ValueError(f"{given} begins in a home folder that there is not") from None


def shape(**values: Any) -> None:
    """Raises ValueError unless every value is a shape: several whole numbers of at least 1.

    Examples:
        >>> shape(input_shape=(28, 28.5))
        Traceback (most recent call last):
        ValueError: input_shape must be several whole numbers of at least 1, got (28, 28.5)
    """
    for name, value in values.items():
        sizes = tuple(value) if isinstance(value, tuple | list) else (None,)
        if not all(is_of(int, size) and size >= 1 for size in sizes):
            raise ValueError(f"{name} must be several whole numbers of at least 1, got {value!r:.100}")
        fits_memory(f"{name} = {value} takes", 4 * math.prod(map(int, sizes)))


def positive(**values: ArrayLike) -> None:
    """Raises ValueError unless every value is greater than 0, and finite.

    Examples:
        >>> positive(radius=-0.1)
        Traceback (most recent call last):
        ValueError: radius must be positive, got -0.1
    """
    for name, value in values.items():
        if _known(value) and not np.all(_real(name, value) > 0):
            raise ValueError(f"{name} must be positive, got {value}")
        finite(**{name: value})


def not_negative(**values: ArrayLike) -> None:
    """Raises ValueError unless every value is 0 or greater."""
    for name, value in values.items():
        if _known(value) and not np.all(_real(name, value) >= 0):
            raise ValueError(f"{name} must be 0 or greater, got {value}")


def finite(**values: ArrayLike) -> None:
    """Raises ValueError unless every number is finite."""
    for name, value in values.items():
        if _known(value) and not np.all(np.isfinite(_real(name, value).astype(float))):
            raise ValueError(f"{name} must be finite, got {value}")


def at_least(minimum: int, **values: float | np.integer) -> None:
    """Raises ValueError unless every value is a whole number that is at least `minimum`, and counted by 32 bits."""
    for name, value in values.items():
        if np.ndim(value) or not is_of(float, value) or not _is_whole(value) or value < minimum:
            raise ValueError(f"{name} must be a whole number of at least {minimum}, got {value!r}")
        if value > MOST:
            raise ValueError(f"{name} must be at most {MOST:,}, got {value:,}")


def _is_whole(value: Any) -> bool:
    return isinstance(value, int | np.integer) or (math.isfinite(value) and int(value) == value)


def fraction(**values: ArrayLike) -> None:
    """Raises ValueError unless every value is in [0, 1]."""
    for name, value in values.items():
        if _known(value) and not np.all((_real(name, value) >= 0) & (_real(name, value) <= 1)):
            raise ValueError(f"{name} must be between 0 and 1, got {value}")


def probability(**values: float) -> None:
    """Raises ValueError unless every value is strictly between 0 and 1."""
    for name, value in values.items():
        if not 0.0 < value < 1.0:
            raise ValueError(f"{name} must be above 0 and below 1, got {value}")


def interval(**named: tuple[float, float]) -> None:
    """Raises ValueError unless every pair is the lowest and the highest number of an interval that has a width.

    Examples:
        >>> interval(box=(1.0, 0.0))
        Traceback (most recent call last):
        ValueError: box must be (lowest, highest) in rising order, got (1.0, 0.0)
    """
    for name, (low, high) in named.items():
        if not low < high:
            raise ValueError(f"{name} must be (lowest, highest) in rising order, got {(low, high)}")


def inside(box: "tuple[float, float] | None", **values: ArrayLike) -> None:
    """Raises ValueError unless all numbers are finite and in the box, up to rounding; None is no limit.

    Examples:
        >>> inside((0.0, 1.0), xs=np.array([0.0, 255.0]))
        Traceback (most recent call last):
        ValueError: xs must be within box = (0.0, 1.0), got numbers from 0 to 255; box=None lifts the limits
    """
    low, high = box or (-np.inf, np.inf)
    for name, value in values.items():
        if not _known(value):
            continue
        found = _real(name, value)
        if not np.all(np.isfinite(found)):
            raise ValueError(f"{name} must be finite numbers")
        if np.any((found < low - _ROUNDING) | (found > high + _ROUNDING)):
            raise ValueError(
                f"{name} must be within box = {box}, got numbers from {found.min():g} to {found.max():g}; "
                "box=None lifts the limits"
            )


def fits_memory(what: str, num_bytes: int) -> None:
    """Raises ValueError where something is larger than all memory of this machine, before it is made."""
    if num_bytes > memory():
        raise ValueError(f"{what} {num_bytes:,} bytes, and this machine has {memory():,} bytes of memory")


def memory() -> int:
    """Bytes of memory of this machine."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def examples(inputs: Any, labels: Any) -> None:
    """Raises ValueError unless there is one label, a whole number from 0, for every input, and at least one of them.

    Examples:
        >>> examples([0.1, 0.2], [1])
        Traceback (most recent call last):
        ValueError: need one label for every input, and at least one input; got 2 inputs and 1 labels
    """
    for name, value in {"inputs": inputs, "labels": labels}.items():
        if not np.ndim(value):  # type: ignore[arg-type]
            raise ValueError(f"{name} must have an axis of examples, got {value!r:.100}")
    if len(inputs) != len(labels) or not len(inputs):
        raise ValueError(
            f"need one label for every input, and at least one input; got {len(inputs)} inputs and {len(labels)} labels"
        )
    found = array("labels", labels)
    is_whole = np.issubdtype(found.dtype, np.integer)
    if not is_whole or found.min() < 0:
        got = f"{found.dtype} from {found.min()}" if is_whole else found.dtype
        raise ValueError(f"labels must be whole numbers from 0, got {got}")


def classes(num_classes: int, labels: ArrayLike) -> None:
    """Raises ValueError unless every label is a class, from 0 to `num_classes - 1`.

    Examples:
        >>> classes(10, np.array([3, 10]))
        Traceback (most recent call last):
        ValueError: labels must be from 0 to 9, got 3 to 10
    """
    lowest, highest = np.min(labels), np.max(labels)
    if lowest < 0 or highest >= num_classes:
        raise ValueError(f"labels must be from 0 to {num_classes - 1}, got {lowest} to {highest}")


def one_of(name: str, value: str, legal: "tuple[str, ...] | list[str]") -> None:
    """Raises ValueError unless the value is one of the legal ones, which the message lists.

    Examples:
        >>> one_of("padding", "FULL", ["SAME", "VALID"])
        Traceback (most recent call last):
        ValueError: padding must be one of SAME, VALID; got 'FULL'
    """
    if value not in legal:
        raise ValueError(f"{name} must be one of {', '.join(legal)}; got {value!r}")


def of_type(hint: Any, **values: Any) -> None:
    """Raises ValueError unless every value is of an annotated type; NaN is no number, and a truth value is none.

    Examples:
        >>> of_type(tuple[int, ...], widths=(64, 0.5))
        Traceback (most recent call last):
        ValueError: widths must be several whole numbers, got (64, 0.5)
    """
    for name, value in values.items():
        if not is_of(hint, value):
            raise ValueError(f"{name} must be {_words(hint)}, got {value!r:.200}")


def is_of(hint: Any, value: Any) -> bool:
    """Whether a value is of an annotated type, as far as the annotation can be checked at all.

    Examples:
        >>> is_of(float, 1), is_of(float, True), is_of(int | None, None), is_of(tuple[int, int], (1,))
        (True, False, True, False)
        >>> class Uncheckable(typing.Protocol): ...
        >>> is_of(Any, "x"), is_of(Uncheckable, "x")
        (True, True)
    """
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return any(is_of(one, value) for one in inner)
    if origin is tuple:
        parts = inner[:1] * len(value) if isinstance(value, tuple) and inner[-1] is ... else inner
        return isinstance(value, tuple) and len(parts) == len(value) and all(map(is_of, parts, value))
    if hint in (None, type(None)):
        return value is None
    if hint is int:
        return isinstance(value, int | np.integer) and not isinstance(value, bool)
    if hint is float:
        if isinstance(value, np.generic | np.ndarray | jax.Array):
            return bool(jax.numpy.issubdtype(value.dtype, np.number))
        if isinstance(value, int):
            return not isinstance(value, bool) and abs(value) <= sys.float_info.max
        return isinstance(value, float) and not math.isnan(value)
    if collections.abc.Callable in (hint, origin):
        return callable(value)
    is_checkable = inspect.isclass(hint) and hint is not Any and origin is None
    try:
        return isinstance(value, hint) if is_checkable and not hint.__module__.startswith("jaxtyping") else True
    except TypeError:  # a protocol that can't be checked
        return True


_KINDS = {int: "a whole number", float: "a number", bool: "True or False", str: "a word", None: "None"}


def _words(hint: Any) -> str:
    inner = [one for one in typing.get_args(hint) if one is not ...]
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        kinds = [_words(one) for one in inner if one not in (jax.Array, np.ndarray)]
        return " or ".join(dict.fromkeys(kinds))
    if typing.get_origin(hint) is tuple:
        return (
            f"several {_words(inner[0]).removeprefix('a ')}s"
            if len(inner) == 1
            else f"({', '.join(map(_words, inner))})"
        )
    if collections.abc.Callable in (hint, typing.get_origin(hint)):
        return "a function"
    hint = None if hint is type(None) else hint
    return _KINDS.get(hint) or f"a {getattr(hint, '__name__', hint)}"
