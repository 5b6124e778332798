"""Suites: which attacks a cascade runs, one after another, and what each of them is given."""

from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY
from functools import partial

from jaxtyping import Array, ArrayLike, Float, Int

from lipjax import checks, losses
from lipjax.attacks import aim, apgd, fab, fmn, square
from lipjax.norms import Ball, linf
from lipjax.types import AttackFn, Point, Scalar, VectorFn
from lipjax.values import Value, count, number, setting


class Stage(Value):
    """One attack of a suite.

    Attributes:
        name: What tables and files call it.
        attack: Any attack.
        loss: What an attack that climbs is given until the classifier is wrong: a loss `(logits, label) -> scalar`, or
            `(logits, label, target) -> scalar` where it is targeted. Boundary attacks get margins.
        targeted: Whether run k aims at one wrong class, the k-th likeliest.
        reach: Where targeted, run k aims at the k-th nearest wrong class instead, by the linear model of the classifier
            at the input; beyond the nearest, only at those within so many radii. None for the likeliest, wherever.
        repeats: Number of runs: one per target class, or one per restart.
        cost: What a run takes for one example, in gradients: for the estimate of the time left.
        black_box: Whether it does without gradients.

    Raises:
        ValueError: If the name is not made of letters, digits and underscores, or there is a reach without targets.
    """

    name: str
    attack: AttackFn
    _: KW_ONLY
    loss: Callable[..., Scalar] = setting(losses.cross_entropy)
    targeted: bool = setting(False)
    reach: float | None = number(None, checks.positive)
    repeats: int = count(1)
    cost: float = number(100.0, checks.positive)
    black_box: bool = setting(False)

    def check(self) -> None:
        if not (self.name.isidentifier() and self.name.isascii()):
            raise ValueError(f"a stage needs a name of letters, digits and underscores, got {self.name!r}")
        if self.reach is not None and not self.targeted:
            raise ValueError("only a stage with targets has a reach")

    def climbed(self, logits: Float[Array, " classes"], label: ArrayLike, target: ArrayLike) -> Scalar:
        """The loss, whether it has a target or not."""
        return self.loss(logits, label, target) if self.targeted else self.loss(logits, label)

    def run(self, key: Array, f: VectorFn, x: Point, label: Int[Array, ""], target: Int[Array, ""]) -> Point:
        """Where the attack ends around x; where targeted, on its way to a class."""
        return self.attack(key, aim(self.attack, f, label, self.loss, target if self.targeted else None), x)


class Suite(Value):
    """Attacks in the same ball, which a cascade runs one after another; a new suite is a subclass.

    Attributes:
        ball: Where points may go: a `lipjax.norms.Ball`.

    Examples:
        >>> from lipjax.attacks import fgsm
        >>> class quick(Suite):
        ...     def stages(self, num_classes):
        ...         return [Stage("fgsm", fgsm(self.ball)), Stage("apgd", apgd(self.ball), repeats=3)]
        >>> [stage.name for stage in quick(linf.ball(8 / 255)).stages(num_classes=10)]
        ['fgsm', 'apgd']
    """

    ball: Ball = setting()

    def stages(self, num_classes: int) -> Sequence[Stage]:
        """The stages in their order, with different names, for a classifier with so many classes."""
        raise NotImplementedError


def negative_margin(logits: Float[Array, " classes"], label: ArrayLike) -> Scalar:
    """The largest other logit minus the label's."""
    return -losses.margin(logits, label)


class standard(Suite):
    """AutoAttack's standard suite: APGD-CE, targeted APGD-DLR, targeted FAB, Square.

    100 steps for APGD and FAB and 5000 queries for Square. In l1: five runs of APGD-CE and five targets for APGD-DLR;
    in other norms: one run of APGD-CE and nine targets for both targeted attacks. With fewer classes there are
    `num_classes - 1` targets; `losses.targeted_dlr` says what it is for two and three classes.

    Attributes:
        ball: Where points may go.

    References:
        Croce and Hein 2020 (arXiv 2003.01690), section 5, and the authors' code; Croce and Hein 2021 (arXiv 2103.01208)
        for l1.

    Examples:
        >>> [(stage.name, stage.repeats) for stage in standard(linf.ball(8 / 255)).stages(num_classes=3)]
        [('apgd_ce', 1), ('apgd_t', 2), ('fab_t', 2), ('square', 1)]
    """

    ball: Ball = linf.ball(8 / 255)

    def stages(self, num_classes: int) -> tuple[Stage, ...]:
        runs, targets = (5, 5) if self.ball.norm.exponent == 1.0 else (1, 9)
        ascent, others = apgd(self.ball), num_classes - 1
        queries = 5000 / 3  # each a third of a gradient
        return (
            Stage("apgd_ce", ascent, repeats=runs),
            Stage("apgd_t", ascent, loss=losses.targeted_dlr, targeted=True, repeats=min(targets, others)),
            Stage("fab_t", fab(self.ball), targeted=True, repeats=min(9, others)),
            Stage("square", square(self.ball), loss=negative_margin, cost=queries, black_box=True),
        )


class fast(Suite):
    """A suite of our own, for a small part of the gradients of `standard`: FMN, targeted APGD and FAB, Square.

    FMN looks for the nearest point beyond any boundary, which fells almost all that will fall. What is left is attacked
    on the way to its nearest classes, by the linear model at the input, the nearest class always and others within four
    radii (APGD) or two (FAB). Square, with 1000 queries, is there to show masked gradients. In l1 FMN gives way to
    APGD on cross-entropy, since it moves too many pixels at once.

    Attributes:
        ball: Where points may go.

    References:
        Pintor et al. 2021 (arXiv 2102.12827); Croce and Hein 2020 (arXiv 2003.01690). BUILD_NOTES.md compares it with
        `standard`, image by image.

    Examples:
        >>> [(stage.name, stage.repeats) for stage in fast(linf.ball(8 / 255)).stages(num_classes=3)]
        [('fmn', 1), ('apgd_t', 2), ('fab_t', 2), ('square', 1)]
    """

    ball: Ball = linf.ball(8 / 255)

    def stages(self, num_classes: int) -> tuple[Stage, ...]:
        aimed = partial(Stage, targeted=True, repeats=min(9, num_classes - 1))
        opening = Stage("fmn", fmn(self.ball, num_steps=30), cost=30.0)
        if self.ball.norm.exponent == 1.0:
            opening = Stage("apgd_ce", apgd(self.ball, num_steps=50), cost=50.0)
        return (
            opening,
            aimed("apgd_t", apgd(self.ball), loss=losses.targeted_dlr, reach=4.0),
            aimed("fab_t", fab(self.ball, num_steps=50), reach=2.0, cost=50.0),
            Stage("square", square(self.ball, num_queries=1000), loss=negative_margin, cost=1000 / 3, black_box=True),
        )
