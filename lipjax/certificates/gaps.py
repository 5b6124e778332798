"""Radii in which a prediction can't change, by a global bound of the classifier or by local ones.

A right prediction stays right as long as the lead of its logit can't be lost:

    >>> from lipjax import bounds, layers, networks
    >>> from lipjax.types import Model
    >>> network = networks.mlp(3, widths=(8,), layers=layers.orthogonal)
    >>> model = Model(network, network.init(jax.random.key(0), (5,)))
    >>> batch = Batch(jax.random.uniform(jax.random.key(1), (4, 5)), jnp.array([0, 1, 2, 0]))
    >>> bound = bounds.gap_bound(model, (5,))
    >>> round(bound, 3)  # the logits are jointly 1-Lipschitz
    1.414
    >>> radii = certified_radii(model, batch, bound)
    >>> accuracies = certified(radii, [0.0, 0.1, 1.0]).mean(axis=0)
"""

import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Bool, Float

from lipjax import bounds, checks
from lipjax.evaluation import Classifier, logits
from lipjax.losses import margin
from lipjax.norms import Ball, l2, linf
from lipjax.types import Batch, Point, Scalar, VectorFn, pixels, single


def certified_radii(
    f: Classifier, batch: Batch, bound: float, *, chunk_size: int | None = None
) -> Float[np.ndarray, " batch"]:
    """For every example, an l2 radius within which no perturbation changes the prediction: `gap / bound`.

    Args:
        f: A model, or a callable from one input to its logits.
        batch: Examples with labels.
        bound: How fast gaps can change, as `bounds.gap_bound` finds it.
        chunk_size: Examples that are computed at once; None for `batching.num_at_once`.

    Returns:
        One radius per example, in the units of the inputs (pixels in [0, 1]); -1 where the prediction is wrong
        already, and inf where it is right and the bound is 0. Up to the rounding of the logits.

    Raises:
        ValueError: If bound is negative.

    Examples:
        >>> f = lambda x: jnp.stack([x[0], x[1]])
        >>> certified_radii(f, Batch(jnp.array([[2.0, 1.0]]), jnp.array([0])), math.sqrt(2.0))
        array([0.70710677], dtype=float32)
    """
    checks.not_negative(bound=bound)
    gaps = np.asarray(jax.vmap(margin)(jnp.asarray(logits(f, batch, chunk_size=chunk_size)), jnp.asarray(batch.labels)))
    radii = np.full_like(gaps, math.inf) if bound == 0.0 else gaps / bound
    return np.where(gaps > 0.0, radii, -1.0).astype(gaps.dtype)


def locally_certified_radii(
    f: Classifier,
    batch: Batch,
    radii: Sequence[float],
    *,
    ball: Ball = l2.ball(math.inf, box=None),  # noqa: B008
    method: str = "linear",
    progress: Callable[[int], object] = lambda done: None,
) -> Float[np.ndarray, " batch"]:
    """For every example, the largest of these radii within which a local bound lets no perturbation change it.

    With the gaps `g_i = z_y - z_i` as fractions of what they are at x, `h = g / g(x)`, it is the largest r at which
    `sup max_i |h_i(u) - h_i(x)| / ||u - x|| < 1 / r`, the supremum over `||u - x|| <= r`: the slope from x alone.

    Args:
        f: A model, or a callable from one input to its logits.
        batch: Examples with labels.
        radii: Radii in input units (pixels in [0, 1]).
        ball: Norm of perturbations, and the box of legal inputs, None for no limits; every radius takes the place of
            its.
        method: How the bounds are found, see `bounds.local_bound`.
        progress: Called with the number of examples that are done.

    Returns:
        One radius per example, 0 where no bound is small enough; -1 where the prediction is wrong already. Up to the
        rounding of the logits.

    Raises:
        ValueError: If a radius is negative, an input is outside the box, a label is no class, or method is not a legal
            word.

    Examples:
        >>> f = lambda x: jax.nn.relu(x - jnp.array([1.0, 0.0]))  # the first logit rises from 1 on
        >>> locally_certified_radii(f, Batch(jnp.array([[0.0, 1.0]]), jnp.array([1])), [0.5, 0.9, 1.5])
        array([0.9])
    """
    checks.not_negative(radii=np.asarray(radii))
    checks.inside(ball.box, inputs=pixels(batch.inputs))
    own = single(f)
    found = logits(f, batch)
    checks.classes(found.shape[1], batch.labels)
    gaps = np.take_along_axis(found, np.asarray(batch.labels)[:, None], 1) - found
    rivals = np.arange(found.shape[1]) != np.asarray(batch.labels)[:, None]
    is_right = np.all(gaps > 0.0, axis=1, where=rivals)
    certified = np.where(is_right, 0.0, -1.0)
    of_point = _slope_of_gaps if method == "sdp" else _compiled_slope_of_gaps
    for index in np.flatnonzero(is_right):
        progress(int(index))
        fractions = np.where(rivals[index], 1.0 / np.where(rivals[index], gaps[index], 1.0), 0.0)
        x, label = pixels(jnp.asarray(batch.inputs[index])), batch.labels[index]
        for radius in sorted(radii):
            slope = of_point(own, x, jnp.asarray(fractions), label, ball.replace(radius=float(radius)), method=method)
            if not float(slope) * radius < 1.0:
                break
            certified[index] = radius
    progress(len(certified))
    return certified


def _slope_of_gaps(
    f: VectorFn, x: Point, fractions: Float[Array, " classes"], label: ArrayLike, ball: Ball, *, method: str
) -> Scalar:
    """A bound of how fast the gaps, as fractions of what they are, change away from x."""
    matrix = fractions[:, None] * (jax.nn.one_hot(label, len(fractions)) - jnp.eye(len(fractions)))
    return bounds.local_bound(lambda z: matrix @ f(z), x, ball, norm_out=linf, method=method, constant="slope")


_compiled_slope_of_gaps = jax.jit(_slope_of_gaps, static_argnames="method")


def certified(radii: Float[np.ndarray, " batch"], at: Sequence[float]) -> Bool[np.ndarray, "batch lengths"]:
    """Which examples are right and stay so under every perturbation of at most each of these lengths.

    The means over the examples are the certified accuracies: never above clean accuracy, nor above the accuracy under
    any attack in the l2 ball of that radius.

    Args:
        radii: One per example, from `certified_radii` or `Certificate.right_radii`.
        at: Lengths, in l2, in the units of the inputs (pixels in [0, 1]).

    Returns:
        One column for each length.

    Raises:
        ValueError: If a length is negative.

    Examples:
        >>> certified(np.array([-1.0, 0.1, 0.3, 0.5]), [0.0, 0.2]).mean(axis=0)
        array([0.75, 0.5 ])
    """
    lengths = np.asarray(at)
    checks.not_negative(radius=lengths)
    return radii[:, None] >= lengths
