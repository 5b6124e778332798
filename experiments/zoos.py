"""The zoos of docs/preregistration.md as data: 48 configurations of ten families, which experiments.sweep trains.

python -m experiments.study --preset=zoo
python -m experiments.study --preset=cifar10_zoo --data_dir=~/tensorflow_datasets
"""

from typing import Any

Flags = dict[str, Any]

_PLAIN: Flags = {"network": "cnn", "num_steps": 300}
_L2NN: Flags = {"optimizer": "sgd(weight_decay=0)", "learning_rate": 0.05}

PLACE = ("family", "variant")
"""Where a configuration stands in the design; no flags."""

MEASURED: Flags = {
    "num_test": 500,
    "corruptions": ("benchmark",),
    "attacks": ("pgd20", "pgd20(radius=4/255)", "pgd20(radius=2/255)", "pgd20(norm=l2, radius=0.5)"),
    "num_points": 40,
    "radii": (0.05, 0.1, 0.25, 0.5, 1.0, 1.75),
    "num_bounded_points": 2,
    "measurements": (
        "confidence(num_points=40)",
        "alpha(of=logits, num_points=40, radii=(0.05, 0.1, 0.25, 0.5, 1, 1.75))",
        "alpha(norm=linf, num_points=20, radii=(2/255, 8/255))",
    ),
}
"""What is measured of every network, as flags of experiments.sweep."""

FAMILIES: dict[str, list[Flags]] = {
    "V": [
        {"system": "V"},
        {"system": "V", "learning_rate": 0.0005},
        {"system": "V", "learning_rate": 0.006},
        {"system": "V", "optimizer": "sgd", "learning_rate": 0.05},
        {"system": "V", "optimizer": "adamw(weight_decay=1.0)"},
        {"system": "V", "optimizer": "adamw(weight_decay=5.0)"},
        {"system": "V", "network": "cnn(channels=(8, 16), widths=(32,))"},
        {"system": "V", "network": "cnn(channels=(24, 48), widths=(96,))"},
        {"system": "V", "num_steps": 100},
        {"system": "V", "num_steps": 900},
        {"system": "V", "augment": "random_crop(padding=2)"},
        {"system": "V", "augment": "random_crop(padding=2)+flip_left_right"},
    ],
    "P": [
        {"system": "P(beta=1e-4)"},
        {"system": "P(beta=3e-4)"},
        {"system": "P(beta=1e-3)"},
        {"system": "P(beta=1e-2)"},
        {"system": "parseval_cisse"},
        {"system": "parseval_lassance(beta=3e-4)"},
    ],
    "L": [{"system": "L(gamma=0.001)"}, {"system": "L(gamma=0.003)"}, {"system": "L(gamma=0.01)"}],
    "L2NN": [
        {"system": "L2NN"} | _L2NN,
        {"system": "L2NN(omega=1.0)"} | _L2NN,
        {"system": "L2NN(weight=0.01)"} | _L2NN,
    ],
    "PGD": [
        {"system": "PGD(radius=2/255, num_steps=3)"},
        {"system": "PGD(radius=4/255, num_steps=3)"},
        {"system": "PGD(radius=8/255, num_steps=5)"},
        {"system": "PGD(radius=16/255, num_steps=5)"},
        {"system": "PGD(norm=l2, radius=0.25, num_steps=3)"},
        {"system": "PGD(norm=l2, radius=0.5, num_steps=3)"},
        {"system": "PGD(norm=l2, radius=1.0, num_steps=5)"},
    ],
    "TRADES": [
        {"system": "trades(radius=8/255, beta=1.0, step_size=0.01, num_steps=4)"},
        {"system": "trades(radius=8/255, beta=6.0, step_size=0.01, num_steps=4)"},
    ],
    "gaussian": [{"system": "gaussian(sigma=0.1)"}, {"system": "gaussian(sigma=0.25)"}],
    "gradients": [
        {"system": "jacobian(weight=0.01)"},
        {"system": "jacobian(weight=0.1)"},
        {"system": "input_gradient(weight=0.5)"},
        {"system": "input_gradient(weight=5.0)"},
        {"system": "local_slope(radius=0.25, weight=0.1, num_steps=2)"},
    ],
    "hard": [{"system": "spectral"}, {"system": "aol"}, {"system": "sll"}, {"system": "orthogonal"}],
    "combined": [
        {"system": "P(beta=3e-4)+L(gamma=0.003)"},
        {"system": "P(beta=3e-4)+PGD(radius=4/255, num_steps=3)"},
        {"system": "L(gamma=0.003)+PGD(radius=4/255, num_steps=3)"},
        {"system": "P(beta=3e-4)+gaussian(sigma=0.1)"},
    ],
}
"""What differs from plain training, by family."""


def name_of(own: Flags) -> str:
    """What results call a configuration: its system, and the flags that differ."""
    return ", ".join([own["system"], *(f"{flag}={value}" for flag, value in own.items() if flag != "system")])


def design(zoo: str) -> list[Flags]:
    """The networks of a zoo, seed by seed: their training flags, `name`, `family` and `variant`, the rank in it."""
    seeds, longer = {"embedded": (range(5), 1), "cifar10": (range(1), 3)}[zoo]
    plain = [
        _PLAIN | own | {"name": name_of(own), "family": family, "variant": variant}
        for family, members in FAMILIES.items()
        for variant, own in enumerate(members)
    ]
    return [cell | {"seed": seed, "num_steps": longer * cell["num_steps"]} for seed in seeds for cell in plain]


def _cells(zoo: str) -> list[Flags]:
    return [{flag: value for flag, value in cell.items() if flag not in PLACE} for cell in design(zoo)]


def embedded() -> list[Flags]:
    """48 configurations x 5 seeds on the embedded images: all configurations with the first seed come first."""
    return _cells("embedded")


def cifar10() -> list[Flags]:
    """The same configurations with one seed for CIFAR-10, three times as long as their names say."""
    return _cells("cifar10")
