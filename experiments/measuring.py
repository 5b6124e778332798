"""From flags to measurements: the one wiring of all commands that measure trained networks."""

import dataclasses
from pathlib import Path
from typing import NamedTuple

from lipjax import attacks, bounds, checks, measurements, norms, records
from lipjax.measurements import Measurement
from lipjax.types import Dataset, Estimator, Model

from . import cli, corruption_sets, flags, language
from .corruption_sets import CorruptionFlags
from .language import ROLES, build, exported, flag_errors

NORMS = tuple(norms.NAMES)
ATTACKS = language.ALL_ATTACKS | {"pgd20": attacks.pgd(num_steps=20)}
ESTIMATORS = ROLES[Estimator]
MEASUREMENTS = exported(measurements, Measurement)


@dataclasses.dataclass(frozen=True, kw_only=True)
class RobustnessFlags(CorruptionFlags):
    """How robustness is measured."""

    attacks: tuple[str, ...] = cli.flag(
        ("pgd20",), f"Any of {', '.join(ATTACKS)}; with options: pgd(num_steps=50, num_restarts=5)."
    )
    norm: str = cli.flag("linf", "Norm of the attacks' ball.", legal=NORMS)
    radius: float = cli.flag(8 / 255, "Radius of the attacks' ball.", unit="pixels in [0, 1]")
    measurements: tuple[str, ...] = cli.flag(
        (),
        f"What else is measured and kept: any of {', '.join(MEASUREMENTS)}, or module:name; with options: "
        "certified(radii=(36/255,), num_local=100) also asks local bounds.",
    )
    certified_radii: tuple[float, ...] = cli.flag(
        (36 / 255,),
        "Radii in l2 at which the global bound certifies predictions.",
        unit="pixels in [0, 1]",
        check=checks.not_negative,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class AlphaFlags:
    """How alpha(r) is measured."""

    radii: tuple[float, ...] = cli.flag(
        measurements.RADII,
        "Radii of the balls around training points.",
        unit="norm_in of the whole image, pixels in [0, 1]",
        check=checks.positive,
    )
    num_points: int = cli.flag(100, "Number of training points: the first ones of the training set.", minimum=1)
    norm_in: str = cli.flag("l2", "Norm of the balls and of input differences.", legal=NORMS)
    norm_out: str = cli.flag("l2", "Norm of output differences.", legal=NORMS)
    of: str = cli.flag("probabilities", "Which output of the network.", legal=tuple(measurements.OUTPUTS))
    estimator: str = cli.flag(
        "growing_slope(num_samples=4, num_restarts=1)",
        f"How perturbations are found: one of {', '.join(ESTIMATORS)}, with options.",
    )
    bound: str = cli.flag(
        "interval",
        "How local upper bounds are found, in addition to the global one: interval is fast, expansion is tighter in "
        "ten times the time, linear a little more so in thirty times, sdp the tightest and slowest; escalating asks "
        "one after the other until a bound is at most 1.5 times the lower value.",
        legal=(*bounds.METHODS, measurements.ESCALATING),
    )
    num_bounded_points: int = cli.flag(
        2, "Number of points, the first ones, that get local upper bounds, which are dear.", minimum=0
    )

    def __post_init__(self) -> None:
        """Refuses values that can't be used."""
        if not self.radii:
            raise cli.UsageError("--radii must be positive numbers, got none")
        with flag_errors("estimator"):
            build(self.estimator, ESTIMATORS)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SmoothingFlags:
    """What is certified by randomised smoothing."""

    smoothing_sigma: float = cli.flag(
        0.0, "Standard deviation of the noise; 0 for no smoothing.", unit="pixels in [0, 1]", check=checks.not_negative
    )
    smoothing_samples: int = cli.flag(1000, "Draws for each certificate.", minimum=1)
    smoothing_failure: float = cli.flag(
        0.001, "Probability with which each certificate may be wrong.", check=checks.probability
    )
    smoothing_points: int = cli.flag(200, "Number of certified test images: the first ones.", minimum=1)
    smoothing_radii: tuple[float, ...] = cli.flag(
        (0.0, 0.25, 0.5, 0.75, 1.0),
        "Radii of the certified accuracies.",
        unit="pixels in [0, 1], l2",
        check=checks.not_negative,
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunFlags:
    """A trained network, and what it is measured on."""

    run_dir: str = cli.flag("", "Run directory of a trained network, as experiments.train writes it.")
    data_dir: str | None = cli.flag(
        None, "TFDS data directory, for datasets of TFDS; default ~/tensorflow_datasets.", recorded=False
    )
    num_test: int | None = cli.flag(
        None, "Number of test examples, class-balanced; default that of the training.", minimum=1
    )
    seed: int = cli.flag(0, "Seed of corruptions, attacks and perturbations.", minimum=0)
    num_devices: int | None = cli.flag(None, "Devices that share the examples; default all.", minimum=1, recorded=False)
    progress: bool | None = cli.flag(None, "Show a progress bar; default on terminals only.", recorded=False)


class Trained(NamedTuple):
    """A run read back."""

    path: Path
    system: str
    model: Model
    dataset: Dataset


def trained(config: RunFlags) -> Trained:
    """The network of a run directory, and the dataset of its training.

    Raises:
        UsageError: If it is not the directory of a training run that was finished, or its dataset is not there.
    """
    path = Path(config.run_dir)
    try:
        model, recorded = records.load(path), dict(records.read_json(path / "flags.json"))
        own = {"data_dir": config.data_dir, "num_test": config.num_test}
        asked = recorded | {name: given for name, given in own.items() if given is not None}
        legal = {field.name for field in dataclasses.fields(flags.DataFlags)}
        data_flags = flags.DataFlags(**{name: given for name, given in asked.items() if name in legal})
        return Trained(path, recorded["system"], model, flags.dataset(data_flags))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise cli.UsageError(f"{config.run_dir} can't be read as a training run: {error}") from error


def robustness(config: RobustnessFlags, dataset: Dataset, data_dir: str | None = None) -> list[Measurement]:
    """Clean, corrupted, attacked and certified, as the flags say.

    Raises:
        UsageError: If a name, an option or a radius can't be used.
    """
    images = corruption_sets.images_of(config, dataset, data_dir)
    with flag_errors("attacks or --radius"):
        ball = norms.named(config.norm).ball(config.radius, dataset.box)
        attackers = [measurements.attacked(build(text, ATTACKS, ball=ball)) for text in config.attacks]
    with flag_errors("certified_radii"):
        norms.l2.ball(min(config.certified_radii, default=0.0))
    with flag_errors("corruptions"):
        corrupted = measurements.corrupted(corruption_sets.names(config.corruptions), images=images)
    with flag_errors("measurements"):
        others = [measurements.as_measurement(build(text, MEASUREMENTS)) for text in config.measurements]
    if not any(isinstance(other, measurements.certified) for other in others):
        others.insert(0, measurements.certified())
    return refused(dataset, [measurements.clean(), corrupted, *attackers, *others])


def alpha(config: AlphaFlags, dataset: Dataset, *, num_witnesses: int = 0) -> measurements.alpha:
    """How steep the network is around training points, as the flags say."""
    with flag_errors("estimator"):
        estimator = build(
            config.estimator,
            ESTIMATORS,
            ball=norms.named(config.norm_in).ball(max(config.radii), dataset.box),
            norm_out=norms.named(config.norm_out),
        )
        return measurements.alpha(
            config.radii,
            estimator,
            of=config.of,
            num_points=config.num_points,
            bound=config.bound,
            num_bounded=config.num_bounded_points,
            num_witnesses=num_witnesses,
        )


def smoothing(config: SmoothingFlags) -> list[Measurement]:
    """Randomised smoothing where a sigma is given."""
    with flag_errors("smoothing_sigma"):
        if config.smoothing_sigma == 0.0:
            return []
        return [
            measurements.smoothed(
                config.smoothing_sigma,
                num_samples=config.smoothing_samples,
                failure=config.smoothing_failure,
                num_examples=config.smoothing_points,
            )
        ]


def refused(dataset: Dataset, asked: list[Measurement]) -> list[Measurement]:
    """The measurements, if they suit the dataset.

    Raises:
        UsageError: If one doesn't.
    """
    for measurement in asked:
        with flag_errors(measurement.name):
            measurement.refuse(dataset)
    return asked
