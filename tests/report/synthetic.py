"""Figures of invented systems, as `measurements.summary` makes them, for charts and pages of any size."""

import numpy as np
import xarray

CORRUPTIONS = [
    *("brightness", "contrast", "defocus_blur", "elastic_transform", "fog", "frost", "gaussian_noise", "glass_blur"),
    *("impulse_noise", "jpeg_compression", "motion_blur", "pixelate", "shot_noise", "snow", "zoom_blur"),
]
TALK = ["V", "P", "L2NN", "L", "PGD"]
LONG = [
    'L2NN(optimizer="sgd(weight_decay=0)", learning_rate=0.05)+PGD(radius=0.03137254901960784, num_steps=20)',
    "x" * 1000,
]
RADII = [0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75]
CONSTANT = "slope of probabilities, l2 to l2"


def names(count: int) -> list[str]:
    """So many names: those of the talk first, then long ones, then others."""
    return [*TALK, *LONG, *(f"PGD(radius={index}/255)" for index in range(1, 300))][:count]


def figures(
    systems: list[str], *, seeds: int = 2, corruptions: list[str] = CORRUPTIONS, points: int = 50
) -> xarray.Dataset:
    """What would have been measured of systems whose alpha and robustness are related."""
    draw = np.random.default_rng(0)
    size, count = (len(systems), seeds), len(RADII)
    steep = np.exp(draw.normal(0, 0.8, (*size, 1)) - 1)
    by_point = steep[..., None, None] * np.sort(draw.gamma(2, 0.4, (*size, 1, points, count)), -1)
    clean = np.clip(0.92 - 0.05 * draw.gamma(1, 1, size), 0.1, 1)
    hard = np.linspace(0.03, 0.3, len(corruptions))[:, None] * np.linspace(0.3, 1, 5)
    corrupted = np.clip(
        clean[..., None, None] - hard * (0.5 + steep[..., None]) + draw.normal(0, 0.01, (*size, 1, 1)), 0.1, 1
    )
    attacked = np.clip(clean - 0.2 - 0.3 * steep[..., 0] + draw.normal(0, 0.05, size), 0, 1)
    where = ("system", "seed")
    upper = 8 * by_point.max((-1, -2), keepdims=True) * np.ones_like(by_point)
    upper[..., :3, :] = 1.2 * by_point[..., :3, :] + 0.4
    found = {
        "clean_accuracy": (where, clean),
        "corruption_accuracy": ((*where, "corruption", "severity"), corrupted),
        "mean_corruption_accuracy": (where, corrupted.mean((-1, -2))),
        "relative_performance": (where, clean - corrupted.mean((-1, -2))),
        "attack_accuracy": ((*where, "attack"), attacked[..., None]),
        "attacked_accuracy": (where, attacked),
        "certified_accuracy": ((*where, "certified_at"), (attacked / 2)[..., None]),
        "alpha": ((*where, "constant", "point", "radius"), by_point),
        "alpha_upper": ((*where, "constant", "point", "radius"), upper),
        "bounded": ((*where, "constant", "point"), np.broadcast_to(np.arange(points) < 3, (*size, 1, points))),
        "alpha_max": ((*where, "constant", "radius"), by_point.max(-2)),
        "alpha_mean": ((*where, "constant", "radius"), by_point.mean(-2)),
        "alpha_upper_max": ((*where, "constant", "radius"), upper.max(-2)),
        "alpha_quantile": (
            ("quantile", *where, "constant", "radius"),
            np.quantile(by_point, [0.05, 0.25, 0.5, 0.75, 0.95], -2),
        ),
    }
    coordinates = {
        "system": systems,
        "seed": list(range(seeds)),
        "corruption": corruptions,
        "severity": [1, 2, 3, 4, 5],
        "attack": ["pgd(num_steps=20)"],
        "certified_at": [36 / 255],
        "constant": [CONSTANT],
        "radius": RADII,
        "quantile": [0.05, 0.25, 0.5, 0.75, 0.95],
        "point": list(range(points)),
    }
    return xarray.Dataset(found, coordinates)
