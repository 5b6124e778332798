"""Optimisers as values: optax's, with the learning rate and the decay as numbers that may be traced."""

import dataclasses

import jax
import numpy as np
import optax
from jaxtyping import PyTree

from lipjax import checks
from lipjax.training.schedules import Schedule, constant
from lipjax.types import Params
from lipjax.values import Number, Value, number, setting


def _decays(**named: Number) -> None:
    for name, share in named.items():
        if not isinstance(share, jax.core.Tracer) and not np.all((np.asarray(share) >= 0) & (np.asarray(share) < 1)):
            raise ValueError(f"{name} must be at least 0 and below 1, got {share}")


class Optimizer(Value):
    """An optimiser. A new one is one more subclass, with its optax transformation.

    Examples:
        >>> class descent(Optimizer):
        ...     def transformation(self):
        ...         return optax.sgd(0.5)
        >>> gradients, params = jax.numpy.array([3.0, -1.0]), jax.numpy.ones(2)
        >>> descent().update(gradients, descent().init(params), params)[0]
        Array([-1.5,  0.5], dtype=float32)
    """

    def transformation(self) -> optax.GradientTransformation:
        """What optax calls it."""
        raise NotImplementedError

    def init(self, params: Params) -> PyTree:
        """What it remembers before the first update."""
        return self.transformation().init(params)

    def update(self, gradients: Params, state: PyTree, params: Params) -> tuple[Params, PyTree]:
        """What is added to the parameters, and what it remembers."""
        return self.transformation().update(gradients, state, params)


class given(Optimizer):
    """Any optax transformation, as a part of the compiled program.

    Attributes:
        rule: The transformation.
    """

    rule: optax.GradientTransformation = setting()

    def transformation(self) -> optax.GradientTransformation:
        """The given one."""
        return self.rule


def as_optimizer(optimizer: Optimizer | optax.GradientTransformation) -> Optimizer:
    """The optimiser itself, or the value of an optax transformation."""
    return optimizer if isinstance(optimizer, Optimizer) else given(optimizer)


class Paced(Optimizer):
    """Base of the optimisers with a learning rate.

    Attributes:
        learning_rate: A schedule, such as `cosine(1e-3, 500)`; a number stands for `constant(number)`.
    """

    learning_rate: Schedule | Number = setting(constant(1e-3))

    def __post_init__(self) -> None:
        if not isinstance(self.learning_rate, Schedule):
            object.__setattr__(self, "learning_rate", constant(self.learning_rate))
        super().__post_init__()


class adam(Paced):
    """Adam.

    Attributes:
        b1: Decay of the mean of the gradients; static, as the next two, since `1 - b1` in 32 bit is not what optax has.
        b2: Decay of the mean of their squares.
        eps: What is added to the root of that mean.

    References:
        Kingma and Ba 2015, "Adam: A Method for Stochastic Optimization" (arXiv 1412.6980).

    Examples:
        >>> optimizer = adam(1e-3)
    """

    _: dataclasses.KW_ONLY
    b1: float = setting(0.9, _decays)
    b2: float = setting(0.999, _decays)
    eps: float = setting(1e-8, checks.positive)

    def transformation(self) -> optax.GradientTransformation:
        """`optax.adam`."""
        return optax.adam(self.learning_rate, self.b1, self.b2, self.eps)


class adamw(adam):
    """Adam with a weight decay of its own.

    Attributes:
        weight_decay: Share of the parameters that is taken from them, per update and learning rate.

    Examples:
        >>> optimizer, params = adamw(0.5, weight_decay=0.1), jax.numpy.array([2.0])
        >>> optimizer.update(jax.numpy.zeros(1), optimizer.init(params), params)[0]  # -0.5 * 0.1 * 2
        Array([-0.1], dtype=float32)

    References:
        Loshchilov and Hutter 2019, "Decoupled Weight Decay Regularization" (arXiv 1711.05101).
    """

    _: dataclasses.KW_ONLY
    weight_decay: Number = number(1e-4, checks.not_negative)

    def transformation(self) -> optax.GradientTransformation:
        """`optax.adamw`."""
        return optax.adamw(self.learning_rate, self.b1, self.b2, self.eps, weight_decay=self.weight_decay)


class sgd(Paced):
    """Stochastic gradient descent with momentum and weight decay.

    Attributes:
        momentum: Share of the last update that is made again.
        nesterov: Whether the gradient is taken ahead, as by Nesterov.
        weight_decay: Weight of half the squared length of the parameters in the loss.

    Examples:
        >>> optimizer, params = sgd(0.5, weight_decay=0.1), jax.numpy.array([2.0])
        >>> optimizer.update(jax.numpy.ones(1), optimizer.init(params), params)[0]  # -0.5 (1 + 0.1 * 2)
        Array([-0.6], dtype=float32)
    """

    _: dataclasses.KW_ONLY
    momentum: Number = number(0.9, _decays)
    nesterov: bool = setting(False)
    weight_decay: Number = number(5e-4, checks.not_negative)

    def transformation(self) -> optax.GradientTransformation:
        """`optax.sgd` after `optax.add_decayed_weights`."""
        decay = optax.add_decayed_weights(self.weight_decay)
        return optax.chain(decay, optax.sgd(self.learning_rate, self.momentum, self.nesterov))
