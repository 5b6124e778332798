"""Exact constants of small ReLU networks of two inputs, by enumerating their linear pieces in 64-bit NumPy.

On one linear piece `f(p) = A p + b`, and along a ray `p = x + t d` the quotient anchored at x is `||A d + c / t||`:
convex in 1/t, hence largest at the ends of the ray's stay in the piece. So the slope over a ball is attained on the
edges of the pieces or on the ball's boundary, which are curves: a grid on every curve, refined around its best point,
finds it. The Jacobian's operator norm is constant on a piece, so its maximum over the ball, the pairwise slope, is a
maximum over pieces.
"""

import itertools
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import numpy as np

ORDER = {"linf": np.inf, "l2": 2.0, "l1": 1.0}


class Piece(NamedTuple):
    """The linear piece `f(p) = matrix @ p + offset` on a convex polygon `[vertices, 2]`."""

    polygon: np.ndarray
    matrix: np.ndarray
    offset: np.ndarray


class ReluNet:
    """A fully connected ReLU network with two inputs and random weights."""

    def __init__(self, seed: int, widths: tuple[int, ...] = (8, 3)) -> None:
        rng = np.random.default_rng(seed)
        sizes = (2, *widths)
        self.layers = [
            (rng.normal(size=(after, before)) * np.sqrt(2 / before), rng.normal(size=after) * 0.5)
            for before, after in itertools.pairwise(sizes)
        ]

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Outputs `[..., outputs]` of points `[..., 2]`."""
        hidden = points
        for weight, bias in self.layers[:-1]:
            hidden = np.maximum(hidden @ weight.T + bias, 0.0)
        weight, bias = self.layers[-1]
        return hidden @ weight.T + bias

    def rounded(self) -> "ReluNet":
        """The network with its weights rounded to 32 bits, which is the one that JAX evaluates."""
        copy = ReluNet.__new__(ReluNet)
        copy.layers = [tuple(part.astype(np.float32).astype(np.float64) for part in layer) for layer in self.layers]
        return copy

    @staticmethod
    def apply(layers: list, x: jax.Array) -> jax.Array:
        """The outputs in JAX, of one point."""
        for weight, bias in layers[:-1]:
            x = jax.nn.relu(weight @ x + bias)
        weight, bias = layers[-1]
        return weight @ x + bias

    def pieces(self, center: np.ndarray, radius: float) -> list[Piece]:
        """The linear pieces that meet the square of the given half width."""
        corners = center + radius * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
        pieces = [Piece(corners, np.eye(2), np.zeros(2))]
        for index, (weight, bias) in enumerate(self.layers):
            pieces = [Piece(p.polygon, weight @ p.matrix, weight @ p.offset + bias) for p in pieces]
            if index < len(self.layers) - 1:
                pieces = [part for piece in pieces for part in _activate(piece)]
        return pieces

    def jacobian(self, x: np.ndarray) -> np.ndarray:
        """The Jacobian at a point that is on no edge."""
        matrix, hidden = np.eye(2), x
        for weight, bias in self.layers[:-1]:
            before = weight @ hidden + bias
            matrix, hidden = (before > 0)[:, None] * (weight @ matrix), np.maximum(before, 0.0)
        return self.layers[-1][0] @ matrix


def _cut(polygon: np.ndarray, normal: np.ndarray, offset: float) -> np.ndarray:
    """The part of a convex polygon where `normal @ p + offset >= 0`."""
    heights = polygon @ normal + offset
    kept = []
    for p, q, a, b in zip(polygon, np.roll(polygon, -1, 0), heights, np.roll(heights, -1), strict=True):
        if a >= 0:
            kept.append(p)
        if (a >= 0) != (b >= 0):
            kept.append(p + (q - p) * a / (a - b))
    return np.array(kept).reshape(-1, 2)


def _area(polygon: np.ndarray) -> float:
    x, y = polygon.T
    return 0.5 * abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))


def _activate(piece: Piece) -> list[Piece]:
    """A ReLU layer: the piece is cut along the line where each unit switches, and units that are off become 0."""
    parts = [piece]
    for unit, (normal, offset) in enumerate(zip(piece.matrix, piece.offset, strict=True)):
        switched = []
        for part in parts:
            on = _cut(part.polygon, normal, offset)
            off = _cut(part.polygon, -normal, -offset)
            keep = np.arange(len(piece.offset)) != unit
            if len(on) > 2 and _area(on) > 1e-14:
                switched.append(Piece(on, part.matrix, part.offset))
            if len(off) > 2 and _area(off) > 1e-14:
                switched.append(Piece(off, part.matrix * keep[:, None], part.offset * keep))
        parts = switched
    return parts


def operator_norm(matrix: np.ndarray, norm_in: str, norm_out: str) -> float:
    """The operator norm of a matrix with two columns."""
    if norm_in == "l2" and norm_out == "l2":
        return float(np.linalg.norm(matrix, 2))
    angles = np.linspace(0, np.pi, 20001)
    directions = {
        "linf": np.array([[1.0, 1.0], [1.0, -1.0]]),
        "l1": np.eye(2),
        "l2": np.stack([np.cos(angles), np.sin(angles)], 1),
    }[norm_in]
    return float(np.linalg.norm(directions @ matrix.T, ORDER[norm_out], axis=1).max())


def exact_jacobian(net: ReluNet, x: np.ndarray, norm_in: str, norm_out: str) -> float:
    """Operator norm of the Jacobian at x."""
    return operator_norm(net.jacobian(x), norm_in, norm_out)


def exact_pairwise(
    net: ReluNet, x: np.ndarray, radius: float, norm_in: str, norm_out: str, smallest: float = 0.0
) -> float:
    """Largest operator norm of the Jacobian on the ball, with `norm_in` l2 or linf.

    Only of pieces that are at least the part `smallest` of the square around the ball.
    """
    return max(
        operator_norm(piece.matrix, norm_in, norm_out)
        for piece in _within_ball(net, x, radius, norm_in)
        if _area(piece.polygon) >= smallest * (2.0 * radius) ** 2
    )


def exact_margin(net: ReluNet, x: np.ndarray, radius: float, norm_in: str, target: int) -> float:
    """Largest dual norm of the gradient of the margin over a target class, with `norm_in` l2 or linf."""
    predicted = int(net(x).argmax())
    dual = {"linf": 1.0, "l2": 2.0}[norm_in]
    pieces = _within_ball(net, x, radius, norm_in)
    return max(float(np.linalg.norm(p.matrix[predicted] - p.matrix[target], dual)) for p in pieces)


def _within_ball(net: ReluNet, x: np.ndarray, radius: float, norm_in: str) -> list[Piece]:
    pieces = net.pieces(x, radius)
    return [piece for piece in pieces if norm_in == "linf" or _distance(piece.polygon, x) < radius]


def _distance(polygon: np.ndarray, x: np.ndarray) -> float:
    """Euclidean distance from a point to a convex polygon, 0 inside."""
    start, edge = polygon - x, np.roll(polygon, -1, 0) - polygon
    sides = edge[:, 0] * start[:, 1] - edge[:, 1] * start[:, 0]
    if np.all(sides <= 0) or np.all(sides >= 0):
        return 0.0
    along = np.clip(-(start * edge).sum(1) / (edge**2).sum(1), 0, 1)
    return float(np.linalg.norm(start + along[:, None] * edge, axis=1).min())


def exact_slope(net: ReluNet, x: np.ndarray, radius: float, norm_in: str, norm_out: str) -> float:
    """The slope anchored at x over the ball, with `norm_in` l2 or linf."""

    def quotient(points: np.ndarray) -> np.ndarray:
        steps = np.linalg.norm(points - x, ORDER[norm_in], axis=-1)
        return np.linalg.norm(net(points) - net(x), ORDER[norm_out], axis=-1) / np.maximum(steps, 1e-300)

    edges = [
        edge
        for piece in net.pieces(x, radius)
        for edge in zip(piece.polygon, np.roll(piece.polygon, -1, 0), strict=True)
    ]
    if norm_in == "linf":
        return max(_maximum(quotient, partial(_segment, p, q), 0, 1) for p, q in edges)
    inside = [_into_disc(p, q, x, radius) for p, q in edges]
    angles = {np.arctan2(*(p - x)) for ends in inside if ends for p in ends} | {-np.pi, np.pi}
    corners = sorted(angles)
    arcs = [_maximum(quotient, partial(_arc, x, radius), *ends) for ends in itertools.pairwise(corners)]
    return max(arcs + [_maximum(quotient, partial(_segment, *ends), 0, 1) for ends in inside if ends])


def _maximum(function: Callable, path: Callable, low: float, high: float) -> float:
    """The largest value along a path, from a grid that is refined four times around its best point."""
    best = 0.0
    for _ in range(5):
        grid = np.linspace(low, high, 101)
        values = function(path(grid))
        best, top = max(best, values.max()), int(values.argmax())
        low, high = grid[max(top - 1, 0)], grid[min(top + 1, 100)]
    return float(best)


def _segment(p: np.ndarray, q: np.ndarray, where: np.ndarray) -> np.ndarray:
    return p + where[:, None] * (q - p)


def _arc(x: np.ndarray, radius: float, angles: np.ndarray) -> np.ndarray:
    return x + radius * np.stack([np.sin(angles), np.cos(angles)], 1)


def _into_disc(p: np.ndarray, q: np.ndarray, x: np.ndarray, radius: float) -> tuple | None:
    """The ends of the part of a segment that is in a disc; None if it is outside."""
    edge, start = q - p, p - x
    a, b, c = edge @ edge, edge @ start, start @ start - radius**2
    if b * b <= a * c:
        return None
    low, high = np.clip((-b + np.array([-1, 1]) * np.sqrt(b * b - a * c)) / a, 0, 1)
    return (p + low * edge, p + high * edge) if low < high else None
