"""Square: random search with square-shaped changes, which asks for values of the objective, never for its gradient."""

import math
from collections.abc import Callable
from dataclasses import KW_ONLY
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Bool, Float, Int

from lipjax import checks, loops
from lipjax.attacks.climb import Evaluated, better, not_below_center, select
from lipjax.chance import drawn
from lipjax.norms import Ball, Norm, linf
from lipjax.types import Attack, KeyArray, Objective, Point
from lipjax.values import Number, count, number

Image: TypeAlias = Float[Array, "height width channels"]
Plane: TypeAlias = Float[Array, "height width"]
Mask: TypeAlias = Bool[Array, "height width"]

_HALVINGS = np.array([10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000])
"""Queries after which the share of changed pixels is halved."""


class Proposals(NamedTuple):
    """How Square searches in the ball of one norm.

    Attributes:
        start: `(key, shape, radius) -> perturbation`.
        change: `(key, perturbation, side, radius) -> perturbation`, new in a square of that side.
        least_side: Smallest side of a square, in pixels.
    """

    start: Callable[[KeyArray, tuple[int, ...], ArrayLike], Image]
    change: Callable[[KeyArray, Image, Int[Array, ""], ArrayLike], Image]
    least_side: int


class _State(NamedTuple):
    following: Image  # the perturbation of which the objective is asked next
    best: Evaluated
    num_done: Int[Array, ""]


class square(Attack):
    """Square attack: a new random square of the perturbation is kept wherever it raises the objective.

    In linf the square takes one corner of the ball per channel. In the other norms it takes over the length of a second
    square, in the shape of two pyramids of opposite sign. Squares cover a share of the image, or of the rectangle
    around what may move, that is halved after 10, 50, 200, 500, 1000, 2000, 4000, 6000 and 8000 queries. It stops as
    soon as the objective is infinite, since nothing is higher: see `objectives.evasion`.

    It is for images `[height, width, channels]`; missing axes count as 1, further ones as channels. The point is in the
    ball and in the box; at radius 0 it is the center, bit for bit. The objective there is never below its value at the
    center.

    Attributes:
        ball: Where points may go.
        num_queries: Number of evaluations of the objective after that of the start.
        first_share: Share of the pixels that the first squares cover.

    Raises:
        ValueError: If num_queries is not a whole number of at least 1, or first_share is not in [0, 1].

    References:
        Andriushchenko et al. 2020, "Square attack: a query-efficient black-box adversarial attack via random search"
        (arXiv 1912.00049), algorithms 1 to 3; l1 after Croce and Hein 2021 (arXiv 2103.01208). Defaults are those of
        AutoAttack. Squares of any side may touch every border (AutoAttack's leave out the last row and column).

    Examples:
        >>> attack = square(linf.ball(0.1), num_queries=50)
        >>> point = attack(jax.random.key(0), lambda x: jnp.floor(100 * x.mean()), 0.5 * jnp.ones((8, 8, 1)))
        >>> float(point.mean())
        0.6
    """

    ball: Ball = linf.ball(8 / 255)
    _: KW_ONLY
    num_queries: int = count(5000)
    first_share: Number = number(0.8, checks.fraction)

    def __call__(self, key: KeyArray, objective: Objective, center: Point) -> Point:
        return not_below_center(self._search)(key, objective, center)

    def _search(self, key: KeyArray, objective: Objective, center: Point) -> Evaluated:
        movable = self.ball.norm.movable(center.shape).reshape(image_shape(center.shape))
        rectangle = _rectangle(movable)
        proposals = proposals_for(self.ball.norm, movable[rectangle])
        start_key, queries_key = jax.random.split(key)

        def evaluate(perturbation: Image) -> Evaluated:
            offset = jnp.zeros(movable.shape, perturbation.dtype).at[rectangle].set(perturbation)
            point = self.ball.project(center + offset.reshape(center.shape), center)
            return Evaluated(point, objective(point))

        def query(state: _State) -> _State:
            found, index = evaluate(state.following), state.num_done
            best = select(index == 0, found, better(found, state.best))
            perturbation = (best.point - center).reshape(movable.shape)[rectangle]
            side = square_side(index, perturbation.shape, self.first_share, proposals.least_side)
            change_key = jax.random.fold_in(queries_key, index)
            return _State(proposals.change(change_key, perturbation, side, self.ball.radius), best, index + 1)

        def is_unfinished(state: _State) -> Bool[Array, ""]:
            return (state.num_done <= self.num_queries) & (state.best.value < jnp.inf)

        # The start is the first turn of the loop, so that the objective is compiled once.
        start = proposals.start(start_key, movable[rectangle].shape, self.ball.radius)
        nowhere = Evaluated(center, jnp.zeros((), jax.eval_shape(objective, center).dtype))
        return loops.while_loop(is_unfinished, query, _State(start, nowhere, jnp.array(0))).best


def _rectangle(movable: Bool[np.ndarray, "height width channels"]) -> tuple[slice, slice]:
    """Rows and columns of the smallest rectangle that holds all that may move."""
    rows, columns = (np.flatnonzero(np.any(movable, axis=axes)) for axes in ((1, 2), (0, 2)))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def image_shape(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """An input's shape as height, width, channels.

    Examples:
        >>> image_shape((7,)), image_shape((4, 5)), image_shape((4, 5, 3)), image_shape((2, 2, 2, 2))
        ((7, 1, 1), (4, 5, 1), (4, 5, 3), (2, 2, 4))
    """
    height, width = (*shape, 1, 1)[:2]
    return height, width, math.prod(shape[2:])


def square_side(index: Int[Array, ""], shape: tuple[int, ...], first_share: Number, least: int) -> Int[Array, ""]:
    """Side of the square of a query, in pixels, for an image shape and AutoAttack's halvings of the share."""
    share = first_share / 2.0 ** jnp.sum(index > _HALVINGS)
    return jnp.maximum(jnp.round(jnp.sqrt(share * shape[0] * shape[1])).astype(int), least)


class Window(NamedTuple):
    """A square in an image: which rows and columns are in it, and where they are, counted from its corner."""

    is_row: Bool[Array, " height"]
    is_column: Bool[Array, " width"]
    rows: Int[Array, " height"]
    columns: Int[Array, " width"]

    @property
    def mask(self) -> Mask:
        """Which pixels are in it."""
        return self.is_row[:, None] & self.is_column


def _windows(key: KeyArray, count: int, shape: tuple[int, ...], side: Int[Array, ""]) -> list[Window]:
    """Random squares within the image, drawn at once, since every draw compiles on its own."""
    last = jnp.maximum(jnp.array(shape[:2]) - side, 0)
    corners = drawn(jax.random.randint, key, (count, 2), 0, jnp.tile(last + 1, count))
    return [_window(corner, shape, side) for corner in corners]


def _window(corner: Int[Array, "2"], shape: tuple[int, ...], side: Int[Array, ""]) -> Window:
    rows, columns = (jnp.arange(size) - start for size, start in zip(shape[:2], corner, strict=True))
    is_row, is_column = ((offsets >= 0) & (offsets < side) for offsets in (rows, columns))
    return Window(is_row, is_column, rows, columns)


def _linf_start(key: KeyArray, shape: tuple[int, ...], radius: ArrayLike) -> Image:
    return jnp.broadcast_to(drawn(jax.random.rademacher, key, (1, *shape[1:])) * radius, shape)


def _linf_change(key: KeyArray, perturbation: Image, side: Int[Array, ""], radius: ArrayLike) -> Image:
    window_key, sign_key = jax.random.split(key)
    (window,) = _windows(window_key, 1, perturbation.shape, side)
    signs = jax.random.rademacher(sign_key, perturbation.shape[2:])
    return jnp.where(window.mask[..., None], radius * signs, perturbation)


def _two_pyramids(is_stacked: Bool[Array, ""], rows: Array, columns: Array, side: Int[Array, ""]) -> Plane:
    """A positive pyramid on one half of a square and a negative one on the other, side by side or one above another.

    A pyramid is nested boxes around the middle of its half, the k-th of them 1 / k^2 high; rows and columns are counted
    from the corner of the square. Its height is the smaller of what it is by the row and by the column alone, so that
    tables are looked up along the axes only.
    """
    half, longest = side >> 1, (side >> 1) + 1
    table = jnp.array(np.cumsum([0.0, *(1.0 / np.arange(1, max(len(rows), len(columns)) + 2) ** 2)]), jnp.float32)

    def along(places: Array, is_split: Array) -> tuple[Array, Array]:
        is_first = ~is_split | (places < half)
        middle = jnp.where(is_split, jnp.where(is_first, half >> 1, half + ((side - half) >> 1)), half)
        height = jnp.maximum(table[longest] - table[jnp.minimum(jnp.abs(places - middle), longest)], 0.0)
        return height, jnp.where(is_first, 1.0, -1.0)

    (tall, up), (wide, sign) = along(rows, is_stacked), along(columns, ~is_stacked)
    return jnp.minimum(tall[:, None], wide) * up[:, None] * sign


def _divide(x: Any, divisor: Array) -> Array:
    return x / jnp.where(divisor == 0.0, 1.0, divisor)


def proposals_for(norm: Norm, movable: Bool[np.ndarray, "height width channels"]) -> Proposals:
    """Square's proposals in a norm, for images of which some entries may move."""
    if math.isinf(norm.exponent):
        return Proposals(_linf_start, _linf_change, least_side=1)
    return _lp_proposals(int(norm.exponent) if norm.exponent % 1.0 == 0.0 else norm.exponent, movable)


def _lp_proposals(exponent: float, movable: Bool[np.ndarray, "height width channels"]) -> Proposals:
    def powers(x: Image) -> Image:
        return jnp.where(x < 0.0, -x, x) ** exponent  # sums of jnp.abs are slow

    def mass(x: Image, window: Window) -> Float[Array, " channels"]:
        # Rows first, which XLA adds many entries at a time; sums of a few channels over all pixels, one by one.
        columns = jnp.sum(jnp.where(window.is_row[:, None, None], powers(x), 0.0), 0)
        return jnp.sum(jnp.where(window.is_column[:, None], columns, 0.0), 0)

    def root(x: Any) -> Any:
        return jnp.sqrt(x) if exponent == 2 else x ** (1.0 / exponent)

    can_move = np.ones((1, 1, 1), bool) if np.all(movable) else movable

    def start(key: KeyArray, shape: tuple[int, ...], radius: ArrayLike) -> Image:
        plane_key, sign_key = jax.random.split(key)
        side = max(min(shape[:2]) // 5, 1)
        rows, columns = (jnp.arange(size) for size in shape[:2])
        plane = _two_pyramids(jax.random.bernoulli(plane_key), rows % side, columns % side, jnp.array(side))
        signs = drawn(jax.random.rademacher, sign_key, (*(-(-size // side) for size in shape[:2]), shape[2]))
        tiles = jnp.where(movable, plane[..., None] * signs[rows[:, None] // side, columns // side], 0.0)
        return _divide(tiles, root(jnp.sum(powers(tiles)))) * radius

    def change(key: KeyArray, perturbation: Image, side: Int[Array, ""], radius: ArrayLike) -> Image:
        windows_key, sign_key = jax.random.split(key)
        side = side | 1
        window, source = _windows(windows_key, 2, perturbation.shape, side)
        inside, emptied = window.mask[..., None], source.mask[..., None]

        turn, *signs = jax.random.rademacher(sign_key, (1 + perturbation.shape[2],), float)
        plane = _two_pyramids(turn > 0.0, window.rows, window.columns, side)[..., None]
        plane, before = jnp.where(can_move, plane, 0.0), mass(perturbation, window)
        after = jnp.array(signs) * _divide(plane, root(mass(plane, window))) + _divide(perturbation, root(before))
        unused = jnp.maximum(radius**exponent - jnp.sum(powers(perturbation)), 0.0) / perturbation.shape[2]
        available = unused + before + mass(jnp.where(inside, 0.0, perturbation), source)
        after = after * _divide(root(available), root(mass(after, window)))
        return jnp.where(inside, after, jnp.where(emptied, 0.0, perturbation))

    return Proposals(start, change, least_side=3)
