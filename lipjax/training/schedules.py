"""Schedules of the learning rate as values: `(step) -> rate`, with the rate as a number that may be traced."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from lipjax import checks
from lipjax.types import Scalar
from lipjax.values import REQUIRED, Number, Value, count, number, setting

Step = Int[Array, ""] | int


class Schedule(Value):
    """A learning rate that changes. A new one is one more subclass.

    Examples:
        >>> class linear(Schedule):
        ...     peak: float = number()
        ...     def __call__(self, step):
        ...         return self.peak * (1 - step / 100)
        >>> [linear(0.5)(step) for step in (0, 50, 100)]
        [0.5, 0.25, 0.0]
    """

    def __call__(self, step: Step) -> Scalar:
        """The rate of an update, counted from 0."""
        raise NotImplementedError


def _are_shares(**named: tuple[float, ...]) -> None:
    for name, shares in named.items():
        checks.fraction(**{f"each of {name}": np.asarray(shares)})


class constant(Schedule):
    """The same rate at every step.

    Attributes:
        peak: The rate.

    Examples:
        >>> constant(0.5)(10_000)
        Array(0.5, dtype=float32)
    """

    peak: Number = number(REQUIRED, checks.positive)

    def __call__(self, step: Step) -> Scalar:
        """The rate of an update, counted from 0."""
        return jnp.asarray(self.peak, jnp.float32)


class cosine(Schedule):
    """Half a cosine down to 0, `rate (1 + cos(pi t)) / 2`, after a linear rise from 0.

    Attributes:
        peak: The rate at its highest.
        num_steps: Length of the training.
        warmup: Share of the training over which the rate rises.

    References:
        Loshchilov and Hutter 2017, "SGDR: Stochastic Gradient Descent with Warm Restarts" (arXiv 1608.03983).

    Examples:
        >>> [float(cosine(0.5, 4)(step)) for step in (0, 2, 4)]
        [0.5, 0.25, 0.0]
    """

    peak: Number = number(REQUIRED, checks.positive)
    num_steps: int = count()
    warmup: float = setting(0.0, checks.fraction)

    def __call__(self, step: Step) -> Scalar:
        """The rate of an update, counted from 0."""
        rise = int(self.warmup * self.num_steps)
        fall = self.num_steps - rise
        angle = jnp.pi * jnp.clip(step - rise, 0, fall) / max(fall, 1)
        falling = self.peak * (0.5 * (1.0 + jnp.cos(angle)))
        return jnp.where(step < rise, self.peak * (step / max(rise, 1)), falling)


class drops(Schedule):
    """A rate that is multiplied by a factor at some points of the training.

    Attributes:
        peak: The rate at the start.
        num_steps: Length of the training.
        at: When it drops, as shares of the training.
        factor: What it is multiplied by.

    Examples:
        >>> [round(float(drops(1.0, 10, at=(0.5, 0.8), factor=0.1)(step)), 2) for step in (4, 5, 9)]
        [1.0, 0.1, 0.01]
    """

    peak: Number = number(REQUIRED, checks.positive)
    num_steps: int = count()
    at: tuple[float, ...] = setting((0.5,), _are_shares)
    factor: Number = number(0.01, checks.not_negative)

    def __call__(self, step: Step) -> Scalar:
        """The rate of an update, counted from 0."""
        rate = jnp.asarray(self.peak, jnp.float32)
        for drop in {int(share * self.num_steps) for share in self.at}:
            rate = jnp.where(step >= drop, rate * self.factor, rate)
        return rate
