"""Exact counts of the distances between all pairs of a dataset."""

import jax
import numpy as np
from jaxtyping import Array, Integer, Num

from lipjax import checks
from lipjax.compatibility import device, host
from lipjax.compatibility.bins import WHOLE_BINS, Edges, edges_between, regular_edges, with_guide
from lipjax.compatibility.blocks import Counts, Pairs, absorb, closer, cut, no_counts
from lipjax.compatibility.conflicts import conflicting_pairs
from lipjax.compatibility.results import PairDistances, Separation
from lipjax.compatibility.run import Counting, count_blocks, journal_of
from lipjax.compatibility.units import Numbers, comparable, flat, largest_value, unit_of
from lipjax.norms import Norm, linf
from lipjax.operators import is_plain
from lipjax.types import Batch

MOST_CLASSES = 2048
"""Limit of the matrix of distances between classes, of which every core has a part."""

FEW_PAIRS = 2**20
"""Up to so many pairs, every distance that occurs has a bin of its own."""


def pair_distances(
    inputs: Num[Array | np.ndarray, "examples ..."],
    labels: Integer[Array | np.ndarray, " labels"],
    norm: Norm = linf,
    *,
    other: Batch | tuple | None = None,
    thresholds: Numbers = (),
    counting: Counting = Counting(),  # noqa: B008
) -> PairDistances:
    """Counts all pairs of examples by their distance `||x_i - x_j||`, apart for different and for equal classes.

    Every unordered pair of two examples is counted once; between two sets, every pair of one example of each. Images
    are counted in whole numbers (of levels 1/255; of their squares for l2), so that every count is exact; floats count
    as images if all of them are k/255 up to rounding. Other inputs (standardised images, features) are counted in
    double precision, in their own unit: a constant found for standardised images is not one for pixels.

    Counts are kept in bins. Images in linf have 256 bins, one per level, which answer every threshold. Otherwise every
    possible value has a bin if it is a whole number under 2^20 (CIFAR-10 in l1), or every occurring value if there are
    at most 2^20 pairs (1,448 examples); larger sets have 2^14 bins of equal width in distance, split at the thresholds,
    and asking for another threshold raises.

    Memory does not grow with the number of pairs. The work is spread over all cores, or over all accelerators, of all
    processes of `jax.distributed`; every process must make this call, and receives the result.

    Args:
        inputs: Examples `[examples, ...]`: uint8 levels, pixels in [0, 1], or any other floats.
        labels: Their classes `[examples]`, any whole numbers.
        norm: Norm of the distance: linf, l2 or l1.
        other: Inputs and labels of a second set, to count pairs between the two sets.
        thresholds: Distances that will be asked for (1 / alpha and 2 * radius), in input units.
        counting: In which blocks and where the pairs are counted, with a journal and progress.

    Returns:
        The counts. They do not depend on `counting`, on the number of devices or on interruptions.

    Raises:
        ValueError: If there are no examples or more than 2,048 classes, labels or features do not match, an input is
            not finite or neither uint8 nor float, or block_size is not a whole number of at least 1.

    Examples:
        >>> images = np.array([[0, 0], [51, 0], [0, 102]], np.uint8)
        >>> distances = pair_distances(images, np.array([0, 1, 1]), linf)
        >>> distances.histogram[51], distances.histogram[102], distances.same_class_histogram[102]
        (np.int64(1), np.int64(1), np.int64(1))
        >>> distances.smallest_compatible_alpha()
        5.0
        >>> distances.fraction_incompatible([4.0, 5.0], radius=0.15)
        array([0.5, 0. ])

    References:
        Lassance et al. 2019, "Structural robustness for deep learning architectures" (arXiv 1909.05095), compatibility
        of a Lipschitz constraint with a dataset; Yang et al. 2020, "A closer look at accuracy vs. robustness" (arXiv
        2003.02460), separation.
    """
    checks.of_type(Counting, counting=counting)
    counting.check()
    checks.not_negative(thresholds=np.asarray(thresholds))
    is_plain(norm=norm)
    pairs, classes = pairs_of(inputs, labels, norm, other)
    block_size = min(counting.block_size, max(len(pairs.rows), len(pairs.columns)))
    bins = with_guide(edges_of(pairs, thresholds))
    backend = counting.backend
    if backend is None:
        on_cpu = jax.default_backend() == "cpu" or not device.can_count(pairs, bins, block_size)
        backend = host.workers if on_cpu else device.workers
    blocks = cut(len(pairs.rows), len(pairs.columns), block_size, within=pairs.within)
    counts, seconds = count_blocks(
        blocks,
        backend(pairs, bins, block_size),
        no_counts(pairs, bins.edges),
        absorb,
        journal=journal_of(counting.journal_dir, *pairs, bins.edges, block_size),
        within=pairs.within,
        progress=counting.progress,
    )
    return _result(pairs, bins.edges, counts, classes, seconds)


def pairs_of(
    inputs: Num[Array | np.ndarray, "examples ..."],
    labels: Integer[Array | np.ndarray, " labels"],
    norm: Norm,
    other: Batch | tuple | None,
) -> tuple[Pairs, Integer[np.ndarray, " classes"]]:
    """The pairs to count, with labels as indices into the classes, which are returned too."""
    sets = [(inputs, labels)] if other is None else [(inputs, labels), tuple(other)]
    for examples, of_examples in sets:
        if not np.ndim(examples) or not np.ndim(of_examples):
            raise ValueError(
                f"inputs and labels must have an axis of examples, got {examples!r:.50}, {of_examples!r:.50}"
            )
        if len(examples) != len(of_examples):
            raise ValueError(f"inputs and labels must be as many, got {len(examples)} and {len(of_examples)}")
    features = comparable(*(flat(examples) for examples, _ in sets))
    classes, codes = np.unique(np.concatenate([np.asarray(part) for _, part in sets]), return_inverse=True)
    if len(classes) > MOST_CLASSES:
        raise ValueError(f"labels have {len(classes)} classes, more than {MOST_CLASSES}: use required_slopes")
    row_codes, column_codes = np.split(codes.astype(np.int64), [len(features[0])])
    within = other is None
    pairs = Pairs(
        exponent=norm.exponent,
        unit=unit_of(norm, features[0]),
        rows=features[0],
        row_labels=row_codes,
        columns=features[-1],
        column_labels=row_codes if within else column_codes,
        within=within,
        num_classes=len(classes),
    )
    return pairs, classes


def edges_of(pairs: Pairs, thresholds: Numbers = ()) -> Edges:
    """The bins of `pair_distances`."""
    bound = largest_value(pairs.exponent, pairs.rows, pairs.columns)
    edges = regular_edges(pairs.unit, bound, thresholds)
    if pairs.num_pairs > FEW_PAIRS or (pairs.unit.whole and bound < WHOLE_BINS):
        return edges
    return edges_between(pairs.unit, host.value_matrix(pairs))


def _result(
    pairs: Pairs, edges: Edges, counts: Counts, classes: Integer[np.ndarray, " classes"], seconds: float
) -> PairDistances:
    nearest, neighbors, minima = counts.row_nearest, counts.row_neighbor, counts.class_minima
    if pairs.within:
        closer(nearest, neighbors, counts.column_nearest, counts.column_neighbor)
        minima = np.minimum(minima, minima.T)
    return PairDistances(
        histogram=counts.histogram[0],
        same_class_histogram=counts.histogram[1],
        edges=edges,
        separation=Separation(pairs.unit.distance(nearest), neighbors),
        classes=classes,
        class_minima=pairs.unit.distance(minima),
        conflicts=conflicting_pairs(
            pairs, lambda i, j: bool(pairs.row_labels[i] != pairs.column_labels[j]), exist=not np.all(nearest > 0)
        ),
        seconds=seconds,
        unit=pairs.unit,
        within=pairs.within,
    )
