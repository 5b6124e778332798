"""Signs that an evaluation by attacks can't be trusted."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Bool, Float

_BLACK_BOX_SHARE = 0.002


class Health(NamedTuple):
    """What an evaluation showed besides accuracies.

    Attributes:
        zero_gradients: Share of the rightly classified examples at which the loss has no gradient at all.
        probabilities: Whether the classifier returns probabilities: after a softmax, logits have lost their scale.
        random: Whether the classifier returns different logits when it is asked twice.
        black_box: Share of all examples that only an attack without gradients fooled.
    """

    zero_gradients: float
    probabilities: bool
    random: bool
    black_box: float

    @property
    def flags(self) -> dict[str, str]:
        """The signs that are present, with what they mean; empty for a healthy evaluation.

        Examples:
            >>> list(Health(zero_gradients=0.5, probabilities=False, random=False, black_box=0.0).flags)
            ['zero_gradients']
        """
        return {name: text for name, (is_bad, text) in _MEANINGS.items() if is_bad(getattr(self, name))}


_MEANINGS: dict[str, tuple[Callable[[float], bool], str]] = {
    "zero_gradients": (
        lambda share: share > 0.0,
        "The loss has no gradient at some examples: gradient attacks can't see where to go there.",
    ),
    "probabilities": (
        lambda present: bool(present),
        "The classifier returns probabilities: give the logits before the softmax, or losses saturate.",
    ),
    "random": (
        lambda present: bool(present),
        "The classifier is random: attack the average over its randomness, or robustness is overestimated.",
    ),
    "black_box": (
        lambda share: share > _BLACK_BOX_SHARE,
        "An attack without gradients fooled what gradient attacks did not: gradients are masked.",
    ),
}


def look_like_probabilities(logits: Float[Array | np.ndarray, "batch classes"]) -> bool:
    """Whether every row is a probability distribution.

    Examples:
        >>> look_like_probabilities(np.array([[0.25, 0.75], [1.0, 0.0]]))
        True
    """
    logits = np.asarray(logits)
    return bool(np.all(logits >= 0.0) and np.allclose(logits.sum(axis=1), 1.0, atol=1e-3))


def is_random(f: Callable[[Array], Array], inputs: Float[Array | np.ndarray, "batch ..."]) -> bool:
    """Whether the function differs between two calls, each traced anew, since a program freezes what Python draws.

    Examples:
        >>> is_random(lambda x: x + np.random.default_rng().normal(), np.zeros((2, 3)))
        True
    """
    first, second = (np.asarray(jax.jit(lambda x: jax.vmap(f)(x))(inputs)) for _ in range(2))
    return not np.allclose(first, second, rtol=1e-3, atol=1e-5, equal_nan=True)


def zero_gradient_share(is_zero: Bool[np.ndarray, " batch"], correct: Bool[np.ndarray, " batch"]) -> float:
    """Share of the rightly classified examples whose gradient is zero; 0 if there are none.

    Examples:
        >>> zero_gradient_share(np.array([True, False, True]), np.array([True, True, False]))
        0.5
    """
    return float(np.sum(is_zero & correct) / max(np.sum(correct), 1))
