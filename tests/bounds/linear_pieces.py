"""ReLU networks of two inputs, and the exact constants of their linear pieces by enumeration in 64-bit NumPy."""

import itertools

import jax
import numpy as np


def random_layers(seed: int, sizes: tuple[int, ...]) -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(seed)
    return [
        (rng.normal(size=(a, b)).astype(np.float32) / np.sqrt(a / 2), 0.5 * rng.normal(size=b).astype(np.float32))
        for a, b in itertools.pairwise(sizes)
    ]


def mlp(layers, x):
    for kernel, bias in layers[:-1]:
        x = jax.nn.relu(x @ kernel + bias)
    return x @ layers[-1][0] + layers[-1][1]


def jacobians(layers, points):
    """Jacobians `[points, outputs, inputs]` in float64."""
    slopes = np.broadcast_to(np.eye(points.shape[1]), (len(points), points.shape[1], points.shape[1]))
    values = points
    for kernel, bias in layers[:-1]:
        values = values @ kernel.astype(np.float64) + bias
        slopes = kernel.T.astype(np.float64) @ slopes * (values > 0)[:, :, None]
        values = np.maximum(values, 0)
    return layers[-1][0].T.astype(np.float64) @ slopes


def kinks(layers, x, radius):
    """Lines `w . z = c` where some unit may switch; those of the second layer for every pattern of the first."""
    (kernel, bias), (second, second_bias) = (tuple(part.astype(np.float64) for part in layer) for layer in layers[:2])
    lines = np.c_[kernel.T, -bias]
    if len(layers) == 3:
        points = corners(lines, x, radius)
        for pattern in np.unique(points @ kernel + bias > 0, axis=0):
            through = kernel * pattern @ second
            lines = np.r_[lines, np.c_[through.T, -((bias * pattern) @ second + second_bias)]]
    return lines


def corners(lines, x, radius):
    """Points close to all crossings of the lines with each other and with the square and the circle around x."""
    edges = np.array([[1, 0, x[0] - radius], [1, 0, x[0] + radius], [0, 1, x[1] - radius], [0, 1, x[1] + radius]])
    every = np.r_[lines[np.linalg.norm(lines[:, :2], axis=1) > 1e-9], edges]  # dead units have no line
    i, j = np.triu_indices(len(every), 1)
    system, right = np.stack([every[i, :2], every[j, :2]], 1), np.stack([every[i, 2], every[j, 2]], 1)
    regular = abs(np.linalg.det(system)) > 1e-12
    crossings = np.linalg.solve(system[regular], right[regular][..., None])[..., 0]
    normal, offset = every[:, :2], every[:, 2]
    size = (normal**2).sum(1, keepdims=True)
    foot = x + (offset - normal @ x)[:, None] * normal / size
    half = radius**2 - ((foot - x) ** 2).sum(1)
    along = np.c_[-normal[:, 1], normal[:, 0]] / np.sqrt(size) * np.sqrt(np.maximum(half, 0))[:, None]
    points = np.r_[crossings, (foot + along)[half > 0], (foot - along)[half > 0], x[None]]
    points = points[abs(points - x).max(1) <= radius * (1 + 1e-9)]
    angles = np.linspace(0, 2 * np.pi, 16, endpoint=False) + 0.1
    steps = np.r_[[[0.0, 0.0]], 1e-7 * radius * np.c_[np.cos(angles), np.sin(angles)]]
    return (points[:, None] + steps).reshape(-1, 2)


def exact_constant(layers, x, radius, norm):
    """The largest Jacobian norm over the linear pieces that meet the ball: the pairwise Lipschitz constant."""
    x = x.astype(np.float64)
    points = corners(kinks(layers, x, radius), x, radius)
    inside = np.linalg.norm(points - x, norm.exponent, axis=1) <= radius
    return np.linalg.norm(jacobians(layers, points[inside]), norm.exponent, axis=(1, 2)).max()


def steepest_from(layers, x, radius, norm):
    """The largest `||f(z) - f(x)|| / ||z - x||` over corners of linear pieces and over the sphere, in float64."""
    x, turn = x.astype(np.float64), np.linspace(0, 2 * np.pi, 2000)
    around = np.c_[np.cos(turn), np.sin(turn)]
    around /= np.linalg.norm(around, norm.exponent, axis=1, keepdims=True)
    points = np.r_[corners(kinks(layers, x, radius), x, radius), x + (1 - 1e-7) * radius * around]
    values = points = points[np.linalg.norm(points - x, norm.exponent, axis=1) <= radius]
    values = np.r_[x[None], values]
    for index, (kernel, bias) in enumerate(layers):
        values = (np.maximum(values, 0) if index else values) @ kernel.astype(np.float64) + bias
    rises, lengths = (np.linalg.norm(moved, norm.exponent, axis=1) for moved in (values[1:] - values[0], points - x))
    return np.max(rises[lengths > 1e-3 * radius] / lengths[lengths > 1e-3 * radius])
