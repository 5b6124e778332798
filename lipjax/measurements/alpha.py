"""How steep a model is around training points, on balls of every radius, from below and from above."""

from typing import TYPE_CHECKING, Any

import numpy as np

from lipjax import bounds, checks, estimators
from lipjax.measurements.measurement import Measurement
from lipjax.types import Dataset, KeyArray, pixels, single
from lipjax.values import Check, count, setting

if TYPE_CHECKING:
    import xarray

OUTPUTS = {"probabilities": estimators.probabilities, "logits": single}
"""What a constant is of: probabilities as in the talk's code, or logits, whose constants certificates are made of."""

ESCALATING = "escalating"
RADII = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75)


def _positive(**radii: tuple[float, ...]) -> None:
    for name, given in radii.items():
        checks.at_least(1, **{f"the number of {name}": len(given)})
        checks.positive(**{name: np.asarray(given)})


def legal(*words: str) -> Check:
    """The check that a setting is one of these words."""

    def check(**settings: str) -> None:
        for name, given in settings.items():
            checks.one_of(name, given, words)

    return check


class alpha(Measurement):
    """alpha(r) of the talk at every training point, in a bracket.

    Attributes:
        radii: Radii of the balls, in the norm of the estimator's ball, in input units (pixels in [0, 1]).
        estimator: How lower values are found, in which norms and box, and which constant they are of.
        of: Which output of the model: "probabilities" or "logits".
        num_points: How many training points, the first ones.
        bound: How local upper bounds are found, in addition to the global one; see `bounds.local_bound`. With
            "escalating" by one method after the other, until a bound is at most 1.5 times the lower value.
        num_bounded: How many of the points, the first ones, get local upper bounds, which are dear.
        num_witnesses: Of how many points, the steepest at the largest radius, the witnesses are kept.

    Returns:
        With an axis `constant` that says which constant it is, of what, in which norms: `alpha [constant, point,
        radius]`, lower values, each attained; `alpha_upper`, upper bounds of the same; `bounded [constant, point]`,
        which points got local ones; `bound_of_logits [constant]`, the global bound. With witnesses also
        `steepest [constant, rank]` and `witness [constant, rank, ...]`.

    Raises:
        BracketError: If a lower value exceeds its upper bound.

    Examples:
        >>> alpha((0.1, 0.5), of="logits", num_points=10)
        alpha(radii=(0.1, 0.5), of=logits, num_points=10)
    """

    radii: tuple[float, ...] = setting(RADII, _positive, unit="pixels in [0, 1]")
    estimator: estimators.LocalEstimator = estimators.growing_slope(num_samples=4, num_restarts=1)
    of: str = setting("probabilities", legal(*OUTPUTS))
    num_points: int = count(100)
    bound: str = setting("interval", legal(*bounds.METHODS, ESCALATING))
    num_bounded: int = count(0, least=0)
    num_witnesses: int = count(0, least=0)

    splits = ("train",)

    def __call__(self, key: KeyArray, model: Any, dataset: Dataset) -> "xarray.Dataset":
        import xarray

        points = pixels(dataset.train.inputs[: self.num_points])
        curve = estimators.curve(
            key,
            self.estimator,
            OUTPUTS[self.of](model),
            points,
            self.radii,
            keep_witnesses=self.num_witnesses > 0,
        )
        local = bounds.LocalBounds(self.num_bounded, (self.bound,))
        if self.bound == ESCALATING:
            local = local._replace(methods=bounds.METHODS, lower=np.asarray(curve.values))
        upper = bounds.upper_curve(
            model,
            points,
            self.radii,
            ball=self.estimator.ball,
            norm_out=self.estimator.norm_out,
            of_probabilities=self.of == "probabilities",
            constant="slope" if self.estimator.constant == "slope" else "pairwise",
            local=local,
        )
        bounds.check_bracket(self.label, self.radii, curve.values, upper.values)
        axes = ("constant", "point", "radius")
        found = {
            "alpha": (axes, np.asarray(curve.values, np.float64)[None]),
            "alpha_upper": (axes, np.asarray(upper.values, np.float64)[None]),
            "bound_of_logits": ("constant", [upper.of_network]),
            "bounded": (("constant", "point"), np.arange(len(points))[None] < upper.num_local),
        }
        coordinates = {"constant": [self.label], "point": np.arange(len(points)), "radius": list(self.radii)}
        return xarray.Dataset(found | self._witnesses(curve), coordinates)

    @property
    def label(self) -> str:
        """Which constant, of what, in which norms."""
        estimator = self.estimator
        return f"{estimator.constant} of {self.of}, {estimator.ball.norm.name} to {estimator.norm_out.name}"

    def cost(self, dataset: Dataset) -> float:
        return 1000.0 * min(self.num_points, len(dataset.train.labels))

    def _witnesses(self, curve: estimators.Curve) -> dict[str, Any]:
        if not self.num_witnesses:
            return {}
        largest = int(np.argmax(self.radii))
        steepest = np.argsort(-np.asarray(curve.values)[:, largest], stable=True)[: self.num_witnesses]
        witnesses = np.asarray(curve.witnesses[steepest, largest])
        axes = [f"axis_{index}" for index in range(witnesses.ndim - 1)]
        return {
            "steepest": (("constant", "rank"), steepest[None]),
            "witness": (("constant", "rank", *axes), witnesses[None]),
        }
