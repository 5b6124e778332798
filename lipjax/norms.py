"""Norms of one input, seen as a flat vector, and balls: the geometry in which inputs move and slopes are measured.

`l1`, `l2` and `linf` are norms, `masked` and `Largest` make norms of norms, `norm.ball(radius)` is where inputs may go.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Bool

from lipjax import checks
from lipjax.chance import drawn
from lipjax.types import Box, KeyArray, Point, Scalar
from lipjax.values import REQUIRED, Number, Value, number, setting


class Norm(Value):
    """A norm of one example; a new one is one more subclass.

    Examples:
        >>> [norm.conversion(linf, 9) for norm in (l1, l2, linf)], [linf.conversion(norm, 9) for norm in (l1, l2, linf)]
        ([1.0, 1.0, 1.0], [9.0, 3.0, 1.0])
    """

    @property
    def exponent(self) -> float:
        """The p of the lp norm that it is on the entries that may move."""
        raise NotImplementedError

    @property
    def name(self) -> str:
        """What flags and results call it."""
        return f"l{self.exponent:g}"

    def value(self, x: Point) -> Scalar:
        """`||x||`, with derivative 0 at x = 0."""
        raise NotImplementedError

    def dual(self, gradient: Point) -> Scalar:
        """The dual norm, the supremum of `<gradient, x>` over `||x|| <= 1`."""
        raise NotImplementedError

    def project(self, x: Point, radius: ArrayLike) -> Point:
        """The point of the ball `||.|| <= radius` that is nearest to x in Euclidean distance."""
        raise NotImplementedError

    def steepest(self, gradient: Point) -> Point:
        """A unit vector d that maximises `<gradient, d>`; 0 for a gradient of 0."""
        raise NotImplementedError

    def sample(self, key: KeyArray, shape: tuple[int, ...]) -> Point:
        """A point drawn uniformly from the unit ball."""
        raise NotImplementedError

    def movable(self, shape: tuple[int, ...]) -> Bool[np.ndarray, "*dims"]:
        """Which entries of an input may move at all."""
        return np.ones(shape, bool)

    def ball(self, radius: Number, box: Box = (0.0, 1.0)) -> "Ball":
        """The ball of a radius, in input units, cut with the box of legal inputs; None for no limits."""
        return Ball(self, radius, box)

    def conversion(self, other: "Norm", size: int) -> float:
        """The largest `||x||_other / ||x||_self` of vectors with `size` entries, `size^max(0, 1/q - 1/p)`."""
        return float(size ** max(0.0, 1.0 / other.exponent - 1.0 / self.exponent))

    def __repr__(self) -> str:
        return self.name


def _abs(x: Point) -> Point:
    # With derivative 0 at 0, where jnp.abs has 1. By comparisons: sums and maxima of jnp.sign and jnp.abs are slow.
    return x * jnp.where(x > 0.0, 1.0, jnp.where(x < 0.0, -1.0, 0.0))


class Linf(Norm):
    """`max_i |x_i|`.

    Examples:
        >>> linf.dual(jnp.array([3.0, -4.0])), linf.steepest(jnp.array([3.0, -4.0]))
        (Array(7., dtype=float32), Array([ 1., -1.], dtype=float32))
    """

    exponent = math.inf
    name = "linf"

    def value(self, x: Point) -> Scalar:
        return jnp.max(_abs(x), initial=0.0)

    def dual(self, gradient: Point) -> Scalar:
        return l1.value(gradient)

    def project(self, x: Point, radius: ArrayLike) -> Point:
        return jnp.clip(x, jnp.negative(radius), radius)

    def steepest(self, gradient: Point) -> Point:
        return jnp.sign(gradient)

    def sample(self, key: KeyArray, shape: tuple[int, ...]) -> Point:
        return drawn(jax.random.uniform, key, shape, float, -1.0, 1.0)


def _unit(x: Point) -> Scalar:
    # Exactly 1 but for enormous entries, which may overflow when squared, or have a length whose reciprocal, with which
    # compilers multiply in place of dividing, underflows.
    return jnp.where(_largest(x) > 2.0**62, 2.0**-64, 1.0).astype(x.dtype)


def _largest(x: Point) -> Scalar:
    return jax.lax.stop_gradient(jnp.max(jnp.where(x < 0.0, -x, x), initial=0.0))


class L2(Norm):
    """`(sum_i x_i^2)^(1/2)`.

    Examples:
        >>> l2.value(jnp.array([3.0, -4.0])), l2.project(jnp.array([3.0, -4.0]), 1.0)
        (Array(5., dtype=float32), Array([ 0.6, -0.8], dtype=float32))
    """

    exponent = 2.0

    def value(self, x: Point) -> Scalar:
        # Scaled by the largest entry, so that tiny differences (slopes at small radii) do not underflow when squared,
        # but by no number whose reciprocal does; the inner `where` keeps the derivative at 0 finite (it is 0 there).
        scale = jnp.minimum(_largest(x), float(1.0 / jnp.finfo(x.dtype).tiny))
        is_zero = scale == 0.0
        safe = jnp.where(is_zero, 1.0, x / jnp.where(is_zero, 1.0, scale))
        return jnp.where(is_zero, 0.0, scale * jnp.sqrt(jnp.sum(safe**2)))

    def dual(self, gradient: Point) -> Scalar:
        return self.value(gradient)

    def project(self, x: Point, radius: ArrayLike) -> Point:
        unit = _unit(x)
        length = self.value(x * unit)
        is_outside = length > radius * unit
        return jnp.where(is_outside, x * unit * (radius / jnp.where(is_outside, length, 1.0)), x)

    def steepest(self, gradient: Point) -> Point:
        unit = _unit(gradient)
        length = self.value(gradient * unit)
        return gradient * unit / jnp.where(length == 0.0, 1.0, length)

    def sample(self, key: KeyArray, shape: tuple[int, ...]) -> Point:
        # A uniform direction; U^(1/n) makes the density constant. By `steepest` the noise would be computed five times.
        direction_key, radius_key = jax.random.split(key)
        noise = drawn(jax.random.normal, direction_key, shape)
        length = jax.random.uniform(radius_key) ** (1.0 / math.prod(shape))
        return noise * (length / jnp.sqrt(jnp.sum(noise**2) + jnp.finfo(noise.dtype).tiny))


class L1(Norm):
    """`sum_i |x_i|`.

    Examples:
        >>> l1.dual(jnp.array([3.0, -4.0])), l1.project(jnp.array([3.0, -4.0]), 2.0)
        (Array(4., dtype=float32), Array([ 0.5, -1.5], dtype=float32))
    """

    exponent = 1.0

    def value(self, x: Point) -> Scalar:
        return jnp.sum(_abs(x))

    def dual(self, gradient: Point) -> Scalar:
        return linf.value(gradient)

    def project(self, x: Point, radius: ArrayLike) -> Point:
        # |x| is thresholded softly so that a sum of `radius` is left (Duchi et al. 2008, figure 1); none further
        # below the largest remains, so all are lowered to such numbers first. Rescaling undoes its rounding.
        sizes, largest = jnp.abs(x), linf.value(x)
        lowered = jnp.where(largest > radius, jnp.maximum(radius - (largest - sizes), 0.0), sizes)
        descending = jnp.sort(lowered.ravel())[::-1]
        excess = jnp.cumsum(descending) - radius
        counts = jnp.arange(1, descending.size + 1)
        last = jnp.max(jnp.where(descending * counts > excess, counts, 1))
        threshold = jnp.maximum(excess[last - 1] / last, 0.0)
        shrunk = jnp.sign(x) * jnp.maximum(lowered - threshold, 0.0)
        length = self.value(shrunk)
        shrunk = shrunk * (radius / jnp.where(length == 0.0, 1.0, length))
        return jnp.where(self.value(x) > radius, shrunk, x)

    def steepest(self, gradient: Point) -> Point:
        flat = gradient.ravel()
        index = jnp.argmax(jnp.abs(flat))
        return jnp.zeros_like(flat).at[index].set(jnp.sign(flat[index])).reshape(gradient.shape)

    def sample(self, key: KeyArray, shape: tuple[int, ...]) -> Point:
        # Exponentials divided by their sum are uniform on the simplex; with random signs, on the l1 sphere.
        magnitude_key, sign_key, radius_key = jax.random.split(key, 3)
        magnitudes = drawn(jax.random.exponential, magnitude_key, shape)
        direction = drawn(jax.random.rademacher, sign_key, shape) * magnitudes / jnp.sum(magnitudes)
        return direction * jax.random.uniform(radius_key) ** (1.0 / math.prod(shape))


linf = Linf()
"""The largest magnitude."""

l2 = L2()
"""The Euclidean length."""

l1 = L1()
"""The sum of magnitudes."""

NAMES = {norm.name: norm for norm in (l1, l2, linf)}
"""The norms that have a word of their own."""


def named(name: str) -> Norm:
    """The norm of a name: l1, l2 or linf.

    Raises:
        ValueError: If there is none of that name.

    Examples:
        >>> named("linf").dual(jnp.array([3.0, -4.0]))
        Array(7., dtype=float32)
    """
    checks.one_of("norm", name, list(NAMES))
    return NAMES[name]


class Masked(Norm):
    """A norm in which some entries can't move: made by `masked`.

    Attributes:
        norm: The norm of the other entries.
        free: Indices of the entries that may move, in the flat input.
        shape: Shape of an input.

    Examples:
        >>> left = masked(l2, np.array([True, True, False]))
        >>> left.value(jnp.array([3.0, 4.0, 0.0])), left.value(jnp.array([3.0, 4.0, 0.1])), linf.conversion(left, 3)
        (Array(5., dtype=float32), Array(inf, dtype=float32), 1.7)
    """

    norm: Norm = setting(words=named)
    free: tuple[int, ...] = setting()
    shape: tuple[int, ...] = setting()

    @property
    def exponent(self) -> float:
        return self.norm.exponent

    @property
    def name(self) -> str:
        return f"{self.norm.name} of {len(self.free)} entries"

    def conversion(self, other: Norm, size: int) -> float:
        return self.norm.conversion(other, len(self.free))

    def value(self, x: Point) -> Scalar:
        """The norm of the entries that may move; infinite where another one is not 0."""
        inside = self._inside(x)
        return jnp.where(jnp.all(inside == x), self.norm.value(inside), jnp.inf)

    def dual(self, gradient: Point) -> Scalar:
        return self.norm.dual(self._inside(gradient))

    def project(self, x: Point, radius: ArrayLike) -> Point:
        return self.norm.project(self._inside(x), radius)

    def steepest(self, gradient: Point) -> Point:
        return self.norm.steepest(self._inside(gradient))

    def sample(self, key: KeyArray, shape: tuple[int, ...]) -> Point:
        inside = self.norm.sample(key, (len(self.free),))
        return jnp.zeros(math.prod(shape), inside.dtype).at[np.array(self.free)].set(inside).reshape(shape)

    def movable(self, shape: tuple[int, ...]) -> Bool[np.ndarray, "*dims"]:
        return np.isin(np.arange(math.prod(shape)), self.free).reshape(shape)

    def _inside(self, x: Point) -> Point:
        return jnp.where(self.movable(self.shape), x, 0.0)


def masked(norm: Norm, mask: Bool[np.ndarray | Array, "*dims"]) -> Masked:
    """A norm whose balls hold only perturbations of the entries where the mask is true.

    It confines attacks, estimators and bounds to that part of the input. For a subspace that isn't spanned by entries,
    study `lambda z: f(x + basis @ z)` at z = 0 instead.

    Args:
        norm: The norm of perturbations.
        mask: Which entries may change.

    Returns:
        A norm; equal masks give equal norms.

    Raises:
        ValueError: If the mask is not of truth values, or none is true.

    Examples:
        >>> masked(linf, np.array([True, False])).steepest(jnp.array([2.0, 3.0]))
        Array([1., 0.], dtype=float32)
    """
    free = np.flatnonzero(mask)
    if np.asarray(mask).dtype != bool or not free.size:
        raise ValueError(f"mask must be truth values, some of them true, got {mask}")
    return Masked(norm, tuple(free.tolist()), np.shape(mask))


class Largest(Norm):
    """`max_i ||x_i||` of several points, stacked on a leading axis: its balls are products of balls.

    An attack in this norm moves the examples of a batch together, each in a ball of its own: for objectives in which
    they are not independent.

    Examples:
        >>> Largest(l2).value(jnp.array([[3.0, 4.0], [0.0, 1.0]]))
        Array(5., dtype=float32)
    """

    norm: Norm = setting(words=named)

    @property
    def exponent(self) -> float:
        return self.norm.exponent

    @property
    def name(self) -> str:
        return f"largest {self.norm.name}"

    def value(self, x: Point) -> Scalar:
        return jnp.max(jax.vmap(self.norm.value)(x), initial=0.0)

    def dual(self, gradient: Point) -> Scalar:
        return jnp.sum(jax.vmap(self.norm.dual)(gradient))

    def project(self, x: Point, radius: ArrayLike) -> Point:
        return jax.vmap(lambda point: self.norm.project(point, radius))(x)

    def steepest(self, gradient: Point) -> Point:
        return jax.vmap(self.norm.steepest)(gradient)

    def sample(self, key: KeyArray, shape: tuple[int, ...]) -> Point:
        return jax.vmap(lambda key: self.norm.sample(key, shape[1:]))(jax.random.split(key, shape[0]))

    def movable(self, shape: tuple[int, ...]) -> Bool[np.ndarray, "*dims"]:
        return np.broadcast_to(self.norm.movable(shape[1:]), shape)


class Ball(Value):
    """Where a point may go: at most `radius` away from a center, within the box of legal inputs.

    Attributes:
        norm: In which distances are measured.
        radius: In input units (pixels in [0, 1]); may be traced.
        box: Lowest and highest legal value of an entry; None for no limits.

    Raises:
        ValueError: If radius is negative, or so large in L-infinity that it can only be a slip; if box has no width.

    Examples:
        >>> ball, x = linf.ball(0.1), jnp.array([0.5, 0.95])
        >>> ball.project(jnp.array([0.0, 1.3]), center=x), ball.step(x, jnp.array([2.0, -3.0]), x, step_size=0.5)
        (Array([0.4, 1. ], dtype=float32), Array([0.6 , 0.85], dtype=float32))
        >>> linf.ball(8)
        Traceback (most recent call last):
        ValueError: radius 8 is wider than the box (0.0, 1.0): pixels are in [0, 1], did you mean 8/255?
    """

    norm: Norm = setting(words=named)
    radius: Number = number(REQUIRED, checks.not_negative, unit="pixels in [0, 1]", finite=False)
    box: Box = setting((0.0, 1.0), checks.interval)

    def check(self) -> None:
        known = isinstance(self.radius, float) and math.isfinite(self.radius)
        if known and self.box and self.norm.exponent == math.inf and self.radius > self.box[1] - self.box[0]:
            hint = f": pixels are in [0, 1], did you mean {self.radius:g}/255?" if self.box == (0.0, 1.0) else ""
            raise ValueError(f"radius {self.radius:g} is wider than the box {self.box}{hint}")

    def clip(self, point: Point) -> Point:
        """The nearest point in the box."""
        return point if self.box is None else jnp.clip(point, *self.box)

    def project(self, point: Point, center: Point) -> Point:
        """A point of the ball around `center` that is also in the box.

        On the ball first, then on the box: entries move towards a center that is in the box, and the point stays in
        the ball, in every lp norm.
        """
        return self.clip(center + self.norm.project(point - center, self.radius)).astype(center.dtype)

    def sample(self, key: KeyArray, center: Point) -> Point:
        """A uniform point of the ball around `center`, moved into the box."""
        return self.clip(center + self.radius * self.norm.sample(key, center.shape)).astype(center.dtype)

    def step(self, point: Point, gradient: Point, center: Point, step_size: ArrayLike) -> Point:
        """One step of projected steepest ascent, `P(x + step_size * argmax_{||d|| <= 1} <gradient, d>)`."""
        return self.project(point + step_size * self.norm.steepest(gradient), center)

    def contains(self, point: Point, center: Point, tolerance: float = 1e-5) -> Bool[Array, ""]:
        """Whether a point is in the ball around `center` and in the box, up to a relative tolerance."""
        slack = tolerance * jnp.maximum(self.radius, 1e-3)
        in_box = jnp.all(jnp.abs(point - self.clip(point)) <= slack)
        return (self.norm.value(point - center) - slack <= self.radius) & in_box
