"""What attacks climb when they attack a classifier: functions of one input made from its logits."""

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from lipjax import losses
from lipjax.types import AttackFn, BoundaryAttack, Objective, Point, Scalar, VectorFn

Logits = Float[Array, " classes"]


def evasion(
    f: VectorFn, label: ArrayLike, loss: Callable[[Logits, ArrayLike], Scalar] = losses.cross_entropy
) -> Objective:
    """The loss while the classifier is right, and infinity, with gradient 0, where it is wrong.

    An attack that keeps its best iterate thus returns a misclassified point if it has met one, though another point
    may have a larger loss; and gradient ascent stays there.

    Args:
        f: The classifier, one input to its logits.
        label: The right class.
        loss: Loss `(logits, label) -> scalar` of one example.

    Returns:
        A scalar function of one input.

    Examples:
        >>> objective = evasion(lambda x: jnp.array([x[0], 0.5]), 0)
        >>> objective(jnp.array([0.6])), objective(jnp.array([0.4]))
        (Array(0.6443967, dtype=float32), Array(inf, dtype=float32))
    """

    def objective(point: Point) -> Scalar:
        logits = f(point)
        return jnp.where(losses.is_correct(logits, label), loss(logits, label), jnp.inf)

    return objective


def margins(f: VectorFn, label: ArrayLike) -> VectorFn:
    """The other classes' logits minus the label's: an entry changes its sign at the boundary to its class.

    Args:
        f: The classifier, one input to its logits.
        label: The right class, y.

    Returns:
        A function of one input with `classes - 1` entries, for the classes y + 1, y + 2, ... (modulo the number of
        classes): what `fab` and `deepfool` walk along for an untargeted attack.

    Examples:
        >>> margins(lambda x: x, 1)(jnp.array([3.0, 5.0, 4.0]))
        Array([-1., -2.], dtype=float32)
    """

    def objective(point: Point) -> Float[Array, " others"]:
        logits = f(point)
        others = (label + 1 + jnp.arange(logits.size - 1)) % logits.size
        return logits[others] - logits[label]

    return objective


def margin_to(f: VectorFn, label: ArrayLike, target: ArrayLike) -> Objective:
    """The target's logit minus the label's: the boundary between the two classes is its zero.

    Examples:
        >>> margin_to(lambda x: x, 1, 2)(jnp.array([3.0, 5.0, 4.0]))
        Array(-1., dtype=float32)
    """

    def objective(point: Point) -> Scalar:
        logits = f(point)
        return logits[target] - logits[label]

    return objective


def aim(
    attack: AttackFn,
    f: VectorFn,
    label: ArrayLike,
    loss: Callable[..., Scalar] = losses.cross_entropy,
    target: ArrayLike | None = None,
) -> VectorFn:
    """What an attack on a classifier is given, by its type: what it climbs, or the margins that it walks along.

    Args:
        attack: Any attack.
        f: The classifier, one input to its logits.
        label: The right class.
        loss: Loss `(logits, label) -> scalar` for `evasion`; `(logits, label, target) -> scalar` with a target.
            Margins have none.
        target: The class to reach, for a targeted attack.

    Returns:
        `margins` or `margin_to` for a `BoundaryAttack`, else `evasion`.

    Examples:
        >>> from lipjax import norms
        >>> walking, logits = BoundaryAttack(norms.Ball(norms.l2, 1.0)), jnp.array([3.0, 5.0, 4.0])
        >>> aim(walking, lambda x: x, 1)(logits), aim(walking, lambda x: x, 1, target=2)(logits)
        (Array([-1., -2.], dtype=float32), Array(-1., dtype=float32))
        >>> aim(lambda key, objective, center: center, lambda x: x, 0)(logits)
        Array(inf, dtype=float32)
    """
    if isinstance(attack, BoundaryAttack):
        return margins(f, label) if target is None else margin_to(f, label, target)
    return evasion(f, label, loss if target is None else lambda logits, label: loss(logits, label, target))
