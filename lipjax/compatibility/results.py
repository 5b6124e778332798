"""What the pair distances of a dataset say about Lipschitz constraints."""

import dataclasses
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int64, Integer

from lipjax import checks
from lipjax.compatibility.bins import Count, Edges, count_up_to
from lipjax.compatibility.blocks import Indices
from lipjax.compatibility.units import TOLERANCE, Numbers, Unit


class Separation(NamedTuple):
    """Distance of every example to the nearest example of another class (Yang et al. 2020, section 3).

    Attributes:
        distances: In input units `[examples]`; infinite where there is no other class.
        neighbors: Index of that nearest example, the lowest one of several `[examples]`; -1 where there is none.
    """

    distances: Float[np.ndarray, " examples"]
    neighbors: Indices

    @property
    def minimum(self) -> float:
        """The smallest distance: the data are r-separated for every r up to half of it."""
        return float(self.distances.min())

    @property
    def mean(self) -> float:
        """The mean distance."""
        return float(self.distances.mean())

    def quantile(self, q: Numbers) -> Float[np.ndarray, "..."] | np.float64:
        """Distances that a fraction q of the examples does not exceed."""
        return np.quantile(self.distances, np.asarray(q), method="inverted_cdf")


@dataclasses.dataclass(frozen=True)
class PairDistances:
    """Exact counts of pairs by distance, and what follows from them.

    A pair of examples is *incompatible* with the constant alpha if no alpha-Lipschitz function takes both to their
    targets: `alpha ||x_i - x_j|| < ||y_i - y_j||`, strictly. For one-hot targets the right side is one number for all
    pairs of different classes: 1 in the l-infinity norm (the default), sqrt(2) in l2, 2 in l1. With a radius r, only
    pairs whose closed r-balls meet are counted: `||x_i - x_j|| <= 2 r`. A distance that equals a threshold up to a
    relative 1e-12 counts as equal.

    Attributes:
        histogram: Number of pairs of different classes per bin.
        same_class_histogram: Number of pairs of the same class per bin.
        edges: Largest value in each bin. Values of images are whole numbers: the distance in levels (1/255) for linf
            and l1, its square for l2; values of other inputs are distances, squared for l2.
        separation: Nearest example of another class, for every example of `inputs`.
        classes: The labels that occur, ascending.
        class_minima: Smallest distance between two classes `[classes, classes]`, in input units; infinite where there
            is no pair, as on the diagonal. Between two sets, the row is the class in `inputs`.
        conflicts: Pairs `[conflicts, 2]` of identical inputs with different labels, which no finite alpha allows; the
            first 100,000 of them.
        seconds: How long the counting took.
        unit: What the values stand for.
        within: Whether the pairs are those of one set, not those between two.
    """

    histogram: Int64[np.ndarray, " bins"]
    same_class_histogram: Int64[np.ndarray, " bins"]
    edges: Edges
    separation: Separation
    classes: Integer[np.ndarray, " classes"]
    class_minima: Float[np.ndarray, "classes classes"]
    conflicts: Int64[np.ndarray, "conflicts 2"]
    seconds: float
    unit: Unit
    within: bool

    @property
    def different_class_pairs(self) -> int:
        """Number of pairs of different classes."""
        return int(self.histogram.sum())

    @property
    def same_class_pairs(self) -> int:
        """Number of pairs of the same class."""
        return int(self.same_class_histogram.sum())

    @property
    def min_distance(self) -> float:
        """Smallest distance between different classes, in input units; infinite if there is one class."""
        return float(self.class_minima.min())

    @property
    def bin_distances(self) -> Float[np.ndarray, " bins"]:
        """Largest distance in each bin, in input units."""
        return self.unit.distance(self.edges)

    def count_within(self, distance: Numbers, *, strict: bool = False) -> Count:
        """Number of pairs of different classes at most (if strict, less than) a distance apart.

        Args:
            distance: One or more distances, in input units.
            strict: Leave out pairs at exactly this distance.

        Returns:
            Exact counts, in the shape of `distance`.

        Raises:
            ValueError: If the bins do not tell: `pair_distances` must be given this threshold.
        """
        limits = self.unit.last_within(distance, strict=strict)
        return count_up_to(self.edges, self.histogram, limits, self.unit)

    def count_incompatible(self, alpha: Numbers, radius: float | None = None, *, target_distance: float = 1.0) -> Count:
        """Number of pairs that are incompatible with an alpha-Lipschitz function.

        Args:
            alpha: One or more Lipschitz constants, per input unit.
            radius: Count only pairs whose balls of this radius meet; None counts all pairs.
            target_distance: Distance of the targets of two classes.

        Returns:
            Exact counts, in the shape of `alpha`; 0 where there is one class only.

        Raises:
            ValueError: If alpha or radius is negative, target_distance is not positive, or the bins do not tell.
        """
        alphas = np.asarray(alpha, np.float64)
        checks.not_negative(alpha=alphas, radius=0.0 if radius is None else radius)
        checks.positive(target_distance=target_distance)
        with np.errstate(divide="ignore"):
            count = self.count_within(target_distance / alphas, strict=True)
        return count if radius is None else np.minimum(count, self.count_within(2 * radius))

    def fraction_incompatible(
        self, alpha: Numbers, radius: float | None = None, *, target_distance: float = 1.0
    ) -> Float[np.ndarray, "..."] | np.float64:
        """`count_incompatible` as a fraction of all pairs of different classes, whatever their distance."""
        count = self.count_incompatible(alpha, radius, target_distance=target_distance)
        return count / max(1, self.different_class_pairs)

    def smallest_compatible_alpha(self, radius: float | None = None, *, target_distance: float = 1.0) -> float:
        """The smallest Lipschitz constant that no pair forbids, `target_distance / min_distance`.

        Args:
            radius: Count only pairs whose balls of this radius meet; None counts all pairs.
            target_distance: Distance of the targets of two classes.

        Returns:
            The constant; infinite if identical inputs have different labels, 0 if no pair is left.
        """
        if radius is not None and self.min_distance > 2 * radius * (1 + TOLERANCE):
            return 0.0
        return target_distance / self.min_distance if self.min_distance else np.inf

    def closest_pairs(self, count: int) -> tuple[Int64[np.ndarray, "pairs 2"], Float[np.ndarray, " pairs"]]:
        """The closest pairs among those of an example and its nearest example of another class, without repetitions.

        Args:
            count: How many pairs at most.

        Returns:
            Indices `[pairs, 2]` (between two sets, of one of `inputs` and one of `other`) and their distances
            `[pairs]`, ascending.
        """
        distances, neighbors = self.separation
        order = np.argsort(distances, kind="stable")
        order = order[neighbors[order] >= 0]
        pairs = np.stack([order, neighbors[order]], axis=1)
        if self.within:
            pairs = np.sort(pairs, axis=1)
        _, first = np.unique(pairs, axis=0, return_index=True)
        kept = np.sort(first)[:count]
        return pairs[kept], distances[order[kept]]
