"""Answers after attacks."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lipjax import attacks, evaluation, norms
from lipjax.evaluation import Suite
from lipjax.measurements.measurement import Advance, Measurement, ignore
from lipjax.norms import Ball
from lipjax.types import Attack, Batch, BoundaryAttack, Box, Dataset, KeyArray
from lipjax.values import Value, count

if TYPE_CHECKING:
    import xarray


class attacked(Measurement):
    """Whether the model is right on test examples and stays so after an attack, or after every attack of a suite.

    Attributes:
        attack: An attack or boundary attack with its ball, a function `(key, objective, center) -> point`, or a suite
            such as `evaluation.standard`, whose attacks follow one another on what is still robust. A box of [0, 1]
            gives way to the dataset's.
        num_examples: How many test examples, the first ones; None for all.

    Returns:
        `withstood [attack, example]`; the axis `attack` has one entry for an attack, and for a suite one for each of
        its stages, cumulative, of which the last is what withstands them all. A suite's signs of masked gradients are
        in the attributes.

    Examples:
        >>> attacked(attacks.pgd(norms.l2.ball(0.5), num_steps=50))
        attacked(attack=pgd(ball=Ball(norm=l2, radius=0.5), num_steps=50))
    """

    attack: Attack | BoundaryAttack | Suite | Callable = attacks.pgd(norms.linf.ball(8 / 255), num_steps=20)
    num_examples: int | None = count(None)

    splits = ("test",)

    def check(self) -> None:
        if not isinstance(self.attack, Attack | BoundaryAttack | Suite) and not callable(self.attack):
            raise ValueError(f"{self.attack!r} is neither an attack nor a suite")

    def __call__(
        self, key: KeyArray, model: Any, dataset: Dataset, advance: Advance = ignore, folder: Path | None = None
    ) -> "xarray.Dataset":
        batch, done = Batch(*(part[: self.num_examples] for part in dataset.test)), 0.0
        attack = _in_box(self.attack, dataset.box)

        def tell(share: float) -> None:
            nonlocal done
            advance((share - done) * self.cost(dataset))
            done = share

        if isinstance(attack, Suite):
            found = evaluation.cascade(
                key, model, batch, attack, journal=folder, progress=lambda stage, share: tell(share)
            )
            stages = {name: flags for name, flags in found.withstood.items() if name != "clean"}
            labels = [f"{self.attack}: {name}" for name in stages]
            signs = {f"warnings of {self.attack}": json.dumps(found.health.flags)} if found.health.flags else {}
            return _labelled(labels, np.stack([*stages.values()]), signs)
        withstood = evaluation.withstood(
            key, model, batch, attack, progress=lambda count: tell(count / len(batch.labels))
        )
        return _labelled([_name(self.attack)], withstood[None], {})

    def cost(self, dataset: Dataset) -> float:
        count = len(dataset.test.labels[: self.num_examples])
        if isinstance(self.attack, Suite):
            stages = self.attack.stages(dataset.num_classes)
            return float(count * sum(stage.cost * stage.repeats for stage in stages))
        steps = getattr(self.attack, "num_steps", getattr(self.attack, "num_queries", 1))
        return float(count * steps * getattr(self.attack, "num_restarts", 1))


def _in_box(attack: Any, box: Box | None) -> Any:
    """The attack with the dataset's box in place of the usual one."""
    ball = getattr(attack, "ball", None)
    if isinstance(attack, Value) and isinstance(ball, Ball) and ball.box == (0.0, 1.0):
        return attack.replace(ball=ball.replace(box=box))
    return attack


def _name(attack: Any) -> str:
    return repr(attack) if isinstance(attack, Value) else getattr(attack, "__name__", repr(attack))


def _labelled(attacks: list[str], withstood: np.ndarray, attributes: dict[str, str]) -> "xarray.Dataset":
    import xarray

    return xarray.Dataset({"withstood": (("attack", "example"), withstood)}, {"attack": attacks}, attributes)
