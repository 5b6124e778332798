"""What attacks share: the best point so far, and restarts."""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool

from lipjax import checks, loops
from lipjax.types import AttackFn, KeyArray, Objective, Point, Scalar


class Evaluated(NamedTuple):
    """A point with the objective's value there."""

    point: Point
    value: Scalar


class Differentiated(NamedTuple):
    """A point with the objective's value and gradient there."""

    point: Point
    value: Scalar
    gradient: Point


AnyEvaluated = TypeVar("AnyEvaluated", Evaluated, Differentiated)
Tree = TypeVar("Tree")


Search: TypeAlias = Callable[[KeyArray, Objective, Point], Evaluated]
"""`(key, objective, center) -> Evaluated`: an attack that also returns the value."""


def differentiated(objective: Objective, point: Point) -> Differentiated:
    """The objective's value and gradient at a point."""
    return Differentiated(point, *jax.value_and_grad(objective)(point))


def select(condition: Bool[Array, ""], yes: Tree, no: Tree) -> Tree:
    """One of two trees of arrays, leaf by leaf."""
    return jax.tree.map(lambda *leaves: jnp.where(condition, *leaves), yes, no)


def better(candidate: AnyEvaluated, best: AnyEvaluated) -> AnyEvaluated:
    """The candidate where its value is larger, otherwise the best so far: the first of equals stays."""
    return select(candidate.value > best.value, candidate, best)


def not_below_center(search: Search) -> AttackFn:
    """The attack that returns what the search finds, or the center where the objective is as large there."""

    def attack(key: KeyArray, objective: Objective, center: Point) -> Point:
        return better(search(key, objective, center), Evaluated(center, objective(center))).point

    return attack


def restarted(attack: AttackFn, num_restarts: int) -> AttackFn:
    """The attack run `num_restarts` times with different keys; returns the point with the largest objective.

    The runs follow one another, so memory does not grow with their number.

    Args:
        attack: Any attack that uses its key.
        num_restarts: Number of runs.

    Returns:
        An attack. With one run it is the given one.

    Raises:
        ValueError: If num_restarts is not a whole number of at least 1.

    Examples:
        >>> guess = lambda key, objective, center: center + jax.random.uniform(key, center.shape)
        >>> key, center = jax.random.key(0), jnp.zeros(3)
        >>> bool(restarted(guess, 20)(key, jnp.sum, center).sum() > guess(key, jnp.sum, center).sum())
        True
    """
    checks.at_least(1, num_restarts=num_restarts)
    if num_restarts == 1:
        return attack

    def best_of_all(key: KeyArray, objective: Objective, center: Point) -> Point:
        def run(run_key: KeyArray) -> tuple[Point, Scalar]:
            point = attack(run_key, objective, center)
            return point, objective(point)

        points, values = loops.map(run, jax.random.split(key, num_restarts))
        return points[jnp.argmax(values)]

    return best_of_all
