"""Answers after attacks."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lipjax import attacks, evaluation, norms
from lipjax.evaluation import Suite
from lipjax.measurements.measurement import Advance, Measurement, ignore
from lipjax.types import Attack, Batch, BoundaryAttack, Dataset, KeyArray
from lipjax.values import setting

if TYPE_CHECKING:
    import xarray


class attacked(Measurement):
    """Whether the model is right on test examples and stays so after an attack, or after every attack of a suite.

    Attributes:
        attack: An attack or boundary attack with its ball, a function `(key, objective, center) -> point`, or a suite
            such as `evaluation.standard`, whose attacks follow one another on what is still robust.
        num_examples: How many test examples, the first ones; None for all.

    Returns:
        `withstood [attack, example]`; the axis `attack` has one entry for an attack, and for a suite one for each of
        its stages, cumulative, of which the last is what withstands them all. A suite's signs of masked gradients are
        in the attributes.

    Example:
        >>> attacked(attacks.pgd(norms.l2.ball(0.5), num_steps=50))
        attacked(attack=pgd(ball=Ball(norm=l2, radius=0.5), num_steps=50))
    """

    attack: Attack | BoundaryAttack | Suite | Callable = attacks.pgd(norms.linf.ball(8 / 255), num_steps=20)
    num_examples: int | None = setting(None)

    splits = ("test",)

    def check(self) -> None:
        if not isinstance(self.attack, Attack | BoundaryAttack | Suite) and not callable(self.attack):
            raise ValueError(f"{self.attack!r} is neither an attack nor a suite")

    def __call__(
        self, key: KeyArray, model: Any, dataset: Dataset, advance: Advance = ignore, folder: Path | None = None
    ) -> "xarray.Dataset":

        batch = Batch(*(part[: self.num_examples] for part in dataset.test))
        if isinstance(self.attack, Suite):
            return self._by_suite(key, model, batch, dataset, advance, folder)
        done = 0

        def progress(count: int) -> None:
            nonlocal done
            advance((count - done) * self._cost())
            done = count

        withstood = evaluation.withstood(key, model, batch, self.attack, progress=progress)
        return self._labelled([str(self.attack)], withstood[None])
