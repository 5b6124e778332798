"""What the talk and its first author say, in numbers: what docs/RESULTS.md is compared with.

Slides of Lassance, Gripon, Tang and Ortega 2019, "Structural robustness for deep learning architectures" (arXiv
1909.05095); tests of Lassance, Gripon and Ortega, "Laplacian networks" (arXiv 1805.10133), from the results that its
first author published with the code (github.com/cadurosar/laplacian_networks).
"""

from typing import NamedTuple

from .findings import CLEAN, RELATIVE, alpha

FIVE = {
    "V": "V",
    "P": "P(beta=3e-4)",
    "L": "L(gamma=0.003)",
    "L2NN": "L2NN, optimizer=sgd(weight_decay=0), learning_rate=0.05",
    "PGD": "PGD(radius=8/255, num_steps=5)",
}
"""The talk's systems, and the configurations that stand for them."""


class Order(NamedTuple):
    """An order of the talk's systems, the first having the largest number."""

    claim: str
    systems: tuple[str, ...]
    column: str
    sign: int = 1


ORDERS = (
    Order("clean accuracy (slide 16)", ("P", "V", "PGD", "L", "L2NN"), CLEAN),
    Order("relative performance (slide 16)", ("PGD", "L2NN", "L", "P", "V"), RELATIVE),
    Order("small alpha(0.05), maximum over points, with relative performance", (), alpha("max"), -1),
    Order("radius at which alpha saturates, last first (slide 17)", ("PGD", "L2NN", "L", "P", "V"), "saturation"),
)
SLIDE_13 = ((0.25, 10, 10), (0.29, 112, 112), (0.33, 1387, 253))
"""1 / alpha in linf, pairs that forbid alpha, and those of them whose balls of radius 0.15 meet."""
SLIDE_17 = {
    "V": (80.36, 100.0, 100.0),
    "P": (79.46, 100.0, 100.0),
    "L": (68.47, 96.01, 100.0),
    "L2NN": (56.71, 69.96, 90.99),
    "PGD": (1.07, 1.85, 28.45),
}
"""alpha_lim(r) / alpha_max in percent at r = 0.05, 0.1, 0.25, read off the figure; the norm of r is not stated."""
AUTHOR = {"V": (88.14, 34.44, 1.18), "P": (89.73, 33.39, 2.76), "L": (86.90, 42.98, 11.53)}
"""Clean accuracy, under Gaussian noise of std 0.1, and after PGD in linf at 0.01: ResNet18, medians of ten seeds."""
