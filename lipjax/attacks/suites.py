"""Suites: which attacks a cascade runs, one after another, each with what it climbs."""

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

from jaxtyping import Array, ArrayLike, Float, Int

from lipjax import losses
from lipjax.attacks.apgd import apgd
from lipjax.attacks.fab import fab
from lipjax.attacks.objectives import evasion, margin_to, runner_up
from lipjax.attacks.square import square
from lipjax.norms import Norm
from lipjax.types import AttackFn, Box, Point, Scalar, VectorFn

Logits = Float[Array, " classes"]
Label: TypeAlias = Int[Array, ""]


class Stage(NamedTuple):
    """One attack of a suite.

    Attributes:
        name: What tables, files and journals call it; an attack with other settings needs another name.
        attack: `(radius) -> Attack`.
        objective: `(f, x, label, repeat) -> objective`: what the attack climbs around x in its run number `repeat`.
        repeats: Number of runs: one per target class, or one per restart.
        cost: What a run takes for one example, in gradients: for the estimate of the time left.
        black_box: Whether it does without gradients.
    """

    name: str
    attack: Callable[[ArrayLike], AttackFn]
    objective: Callable[[VectorFn, Point, Label, Label], VectorFn]
    repeats: int = 1
    cost: float = 100.0
    black_box: bool = False


Suite: TypeAlias = Callable[[Norm, int, Box], Sequence[Stage]]
"""`(norm, num_classes, bounds) -> stages`. One that is cached (`functools.cache`) is compiled once for all radii."""


def checked(stages: Sequence[Stage]) -> Sequence[Stage]:
    """The stages, if their names can name files and rows of a table.

    Raises:
        ValueError: If two names are equal, or one is not made of letters, digits and underscores.
    """
    names = [stage.name for stage in stages]
    if len(set(names)) < len(names) or not all(name.isidentifier() and name.isascii() for name in names):
        raise ValueError(f"stages need different names of letters, digits and underscores, got {', '.join(names)}")
    return stages


def untargeted(loss: Callable[[Logits, ArrayLike], Scalar]) -> Callable[[VectorFn, Point, Label, Label], VectorFn]:
    """Stage objective: the loss until the classifier is wrong; the same in every run."""
    return lambda f, x, label, repeat: evasion(f, label, loss)


def targeted(
    loss: Callable[[Logits, ArrayLike, ArrayLike], Scalar],
) -> Callable[[VectorFn, Point, Label, Label], VectorFn]:
    """Stage objective: the loss towards the k-th likeliest wrong class in run k, until the classifier is wrong."""

    def objective(f: VectorFn, x: Point, label: Label, repeat: Label) -> VectorFn:
        target = runner_up(f(x), label, repeat)
        return evasion(f, label, lambda logits, label: loss(logits, label, target))

    return objective


def boundary_to_target(f: VectorFn, x: Point, label: Label, repeat: Label) -> VectorFn:
    """Stage objective: the margin of the k-th likeliest wrong class in run k."""
    return margin_to(f, label, runner_up(f(x), label, repeat))


def _negative_margin(logits: Logits, label: ArrayLike) -> Scalar:
    return -losses.margin(logits, label)


def _in_ball(make: Callable, norm: Norm, bounds: Box, radius: ArrayLike, **settings: int) -> AttackFn:
    return make(norm.ball(radius, bounds), **settings)


@functools.cache
def standard(norm: Norm, num_classes: int, bounds: Box) -> tuple[Stage, ...]:
    """AutoAttack's standard suite: APGD-CE, targeted APGD-DLR, targeted FAB, Square.

    100 steps for APGD and FAB and 5000 queries for Square. In linf and l2: one run of APGD-CE and nine targets for both
    targeted attacks; in l1: five runs of APGD-CE and five targets for APGD-DLR. With fewer classes there are
    `num_classes - 1` targets; `losses.targeted_dlr` says what it is for two and three classes.

    Args:
        norm: linf, l2 or l1.
        num_classes: Number of classes, from 2.
        bounds: Lowest and highest legal input value; None for no limits.

    Returns:
        The stages, in AutoAttack's order.

    References:
        Croce and Hein 2020 (arXiv 2003.01690), section 5, and the authors' code; Croce and Hein 2021 (arXiv 2103.01208)
        for l1.

    Example:
        >>> from lipjax.norms import linf
        >>> [(stage.name, stage.repeats) for stage in standard(linf, 3, (0.0, 1.0))]
        [('apgd_ce', 1), ('apgd_t', 2), ('fab_t', 2), ('square', 1)]
    """
    ascent, walk = (functools.partial(_in_ball, make, norm, bounds) for make in (apgd, fab))
    runs, targets = (5, 5) if norm.exponent == 1.0 else (1, 9)
    return (
        Stage("apgd_ce", ascent, untargeted(losses.cross_entropy), runs),
        Stage("apgd_t", ascent, targeted(losses.targeted_dlr), min(targets, num_classes - 1)),
        Stage(
            "fab_t",
            walk,
            boundary_to_target,
            min(9, num_classes - 1),
        ),
        Stage(
            "square",
            functools.partial(_in_ball, square, norm, bounds),
            untargeted(_negative_margin),
            cost=5000 / 3,  # queries, each a third of a gradient
            black_box=True,
        ),
    )
