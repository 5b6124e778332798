"""Strings to objects: the one place where the words of flags become datasets, networks, systems and optimizers.

A choice is written as a name, with options in parentheses where the defaults won't do, and choices that go together
are joined by a plus sign:

    --network="wide_resnet(depth=16, width=4, dtype=bfloat16)"
    --system="parseval+laplacian(weight=1e-3)+adversarial(norm=l2, radius=128/255)"

Options are the keyword arguments of the library's constructors. A new network, system or optimizer is one more line
in its table here.
"""

import ast
import dataclasses
import functools
import inspect
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import jax.numpy as jnp
import optax

from experiments.cli import UsageError, flag
from lipjax import augmentation, checks, datasets, estimators, methods, networks, norms, systems
from lipjax.types import Box, Dataset, KeyArray, Network, System

NETWORKS: dict[str, Callable] = {
    "cnn": networks.cnn,
    "l2_nonexpansive": networks.l2_nonexpansive,
    "mlp": networks.mlp,
    "preact_resnet": networks.preact_resnet,
    "wide_resnet": networks.wide_resnet,
}
SYSTEMS: dict[str, Callable] = {
    "vanilla": systems.vanilla,
    "parseval": systems.parseval,
    "l2_nonexpansive": systems.l2_nonexpansive,
    "laplacian": systems.laplacian,
    "adversarial": systems.adversarial,
    "parseval_cisse": systems.parseval_cisse,
    "parseval_lassance": systems.parseval_lassance,
    "fast_adversarial": systems.fast_adversarial,
    "madry_cifar10": functools.partial(systems.adversarial, **methods.MADRY_CIFAR10),
    "madry_mnist": functools.partial(systems.adversarial, **methods.MADRY_MNIST),
    "trades": systems.trades,
    "local_linearity": systems.local_linearity,
    "input_gradient": systems.input_gradient,
    "jacobian": systems.jacobian,
    "gaussian": systems.gaussian,
    "spectral": systems.spectral,
    "aol": systems.aol,
    "sll": systems.sll,
    "orthogonal": systems.orthogonal,
    **systems.TALK,
}
AUGMENTATIONS: dict[str, Callable] = {
    "flip_left_right": augmentation.flip_left_right,
    "random_crop": augmentation.random_crop,
}


ESTIMATOR_FLAGS = ("norm_in", "norm_out", "bounds", "labels", "chunk_size", "keep_witnesses", "mesh", "draw")
"""Arguments of estimators that have flags of their own, or none."""


def _each_radius(estimator: Callable) -> Callable:
    @functools.wraps(estimator)
    def measure(key: KeyArray, f: Callable, xs: Any, radii: Any, **settings: Any) -> estimators.Curve:
        return estimators.curve(key, estimator, f, xs, radii, **settings)

    return measure


ESTIMATORS: dict[str, Callable] = {
    "slope": estimators.slope_curve,
    "ascent": _each_radius(estimators.ascent_slope),
    "sampled": _each_radius(estimators.sampled_slope),
    "talk": _each_radius(estimators.talk_slope),
    "pairwise": _each_radius(estimators.pairwise_slope),
}
"""`(key, f, xs, radii, *, norm_in, norm_out, ...) -> Curve`: how constants are measured, from below."""


def estimator(text: str) -> Callable[..., estimators.Curve]:
    """The estimator over points and radii that a text such as `"slope(num_samples=4)"` chooses."""
    with flag_errors("estimator"):
        return choose(only(text), ESTIMATORS, ESTIMATOR_FLAGS)


def _sgd(
    learning_rate: optax.ScalarOrSchedule,
    *,
    momentum: float = 0.9,
    nesterov: bool = False,
    weight_decay: float = 5e-4,
) -> optax.GradientTransformation:
    decay = optax.add_decayed_weights(weight_decay)
    return optax.chain(decay, optax.sgd(learning_rate, momentum or None, nesterov))


OPTIMIZERS: dict[str, Callable] = {"adam": optax.adam, "adamw": optax.adamw, "sgd": _sgd}


def _cosine(learning_rate: float, num_steps: int, *, warmup: float = 0.0) -> optax.Schedule:
    return optax.warmup_cosine_decay_schedule(
        0.0 if warmup else learning_rate, learning_rate, int(warmup * num_steps), num_steps
    )


def _drops(
    learning_rate: float, num_steps: int, *, at: tuple[float, ...] = (0.5,), factor: float = 0.01
) -> optax.Schedule:
    return optax.piecewise_constant_schedule(learning_rate, {int(part * num_steps): factor for part in at})


SCHEDULES: dict[str, Callable] = {
    "constant": lambda learning_rate, num_steps: optax.constant_schedule(learning_rate),
    "cosine": _cosine,
    "drops": _drops,
}
WORDS: dict[str, Mapping[str, Any]] = {
    "dtype": {"bfloat16": jnp.bfloat16, "float32": jnp.float32},
    "layers": {"parseval": networks.parseval, "parseval_lassance": networks.parseval_lassance},
    "norm": {norm.name: norm for norm in (norms.l1, norms.l2, norms.linf)},
}
"""Options whose values are objects, by the option's name."""


class Choice(NamedTuple):
    """A name with its options, as written."""

    name: str
    options: dict[str, Any]


def parse(text: str) -> list[Choice]:
    """The choices of a text such as `"parseval+laplacian(weight=1e-3)"`.

    Raises:
        UsageError: If the text is not of that form.

    Example:
        >>> parse("parseval+adversarial(norm=l2, radius=1/4)")
        [Choice(name='parseval', options={}),
         Choice(name='adversarial', options={'norm': 'l2', 'radius': 0.25})]
    """
    try:
        return [_choice(term) for term in _terms(ast.parse(text.strip(), mode="eval").body)]
    except (SyntaxError, TypeError, ValueError, ZeroDivisionError) as error:
        form = "name, name(option=value, ...), or several of them joined by +"
        raise UsageError(f"{text!r} is not of the form {form}") from error


def _terms(node: ast.expr) -> list[ast.expr]:
    match node:
        case ast.BinOp(left, ast.Add(), right):
            return [*_terms(left), *_terms(right)]
    return [node]


def _choice(node: ast.expr) -> Choice:
    match node:
        case ast.Name(name):
            return Choice(name, {})
        case ast.Call(ast.Name(name), [], keywords):
            return Choice(name, {str(keyword.arg): _value(keyword.value) for keyword in keywords})
    raise ValueError(f"{ast.unparse(node)!r} is no choice")


def _value(node: ast.expr) -> Any:
    match node:
        case ast.Constant(value):
            return value
        case ast.Name(word):
            return word
        case ast.Tuple(items) | ast.List(items):
            return tuple(_value(item) for item in items)
        case ast.UnaryOp(ast.USub(), operand):
            return -_value(operand)
        case ast.BinOp(left, ast.Div(), right):
            return _value(left) / _value(right)
    raise ValueError(f"{ast.unparse(node)!r} is no value")


def options(constructor: Callable, given: Collection[str] = ()) -> dict[str, Any]:
    """The options of a constructor with their defaults: all arguments that have one, but for those that are given."""
    parameters = inspect.signature(constructor).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not p.empty and p.name not in given}


def choose(choice: Choice, table: Mapping[str, Callable], given: Collection[str] = ()) -> Callable:
    """The constructor that a choice names, with the choice's options filled in.

    Args:
        choice: Name and options.
        table: Constructors by name.
        given: Arguments that are no options, because the program gives them.

    Raises:
        UsageError: If the name, an option or its value is unknown; the message has the legal ones.
    """
    if choice.name not in table:
        raise UsageError(f"{choice.name!r} is none of {', '.join(table)}")
    legal = options(table[choice.name], given)
    for option in choice.options:
        if option not in legal:
            raise UsageError(f"{choice.name} has no option {option!r}; it has {', '.join(legal) or 'none'}")
    return functools.partial(table[choice.name], **{name: _object(name, v) for name, v in choice.options.items()})


def described(text: str, table: Mapping[str, Callable], given: Collection[str] = ()) -> list[dict[str, Any]]:
    """The choices of a text with all their options, defaults included, in terms of JSON: what results record.

    Example:
        >>> described("laplacian(power=3)", SYSTEMS)
        [{'name': 'laplacian', 'weight': None, 'gamma': 0.01, 'power': 3, 'num_neighbors': None}]
    """
    return [
        {"name": choice.name}
        | {name: _word(name, value) for name, value in options(table[choice.name], given).items()}
        | choice.options
        for choice in parse(text)
    ]


def _word(option: str, value: Any) -> Any:
    return next((word for word, value_of in WORDS.get(option, {}).items() if value_of is value), value)


def _object(option: str, value: Any) -> Any:
    words = WORDS.get(option, {value: value})
    if value not in words:
        raise UsageError(f"{option}={value!r} is none of {', '.join(words)}")
    return words[value]


@contextmanager
def flag_errors(name: str) -> Iterator[None]:
    """Tells an error of the library as one of the flag that caused it."""
    try:
        yield
    except (ValueError, TypeError, OSError) as error:
        raise UsageError(f"--{name}: {error}") from error


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataFlags:
    """Which examples."""

    dataset: str = flag(
        "fashion_mnist_mini",
        "fashion_mnist_mini or toy, a prepared TFDS dataset (cifar10, mnist, ...), a folder or an .npz file.",
    )
    data_dir: str | None = flag(None, "TFDS data directory, for datasets of TFDS; default ~/tensorflow_datasets.")
    num_train: int | None = flag(None, "Number of training examples, class-balanced; default all.")
    num_test: int | None = flag(None, "Number of test examples, class-balanced; default all.")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SystemFlags:
    """What is trained, and how it differs from plain training."""

    network: str = flag("cnn", f"One of {', '.join(NETWORKS)}; with options: cnn(channels=(32,64), dtype=bfloat16).")
    system: str = flag("vanilla", f"One of {', '.join(SYSTEMS)}, or several: parseval+laplacian(weight=1e-3).")


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingFlags:
    """How long, and by which steps."""

    num_steps: int = flag(1000, "Length of the training.", unit="updates", minimum=1)
    batch_size: int = flag(100, "Size of a batch.", unit="examples", minimum=1)
    optimizer: str = flag("adam", f"One of {', '.join(OPTIMIZERS)}; with options: sgd(weight_decay=1e-4).")
    learning_rate: float = flag(0.002, "Learning rate at its peak.")
    schedule: str = flag("cosine", f"One of {', '.join(SCHEDULES)}; with options: drops(at=(0.5,0.75), factor=0.1).")
    augment: str = flag("none", f"none, or one of {', '.join(AUGMENTATIONS)}, or several, joined by +.")
    seed: int = flag(0, "Seed of all that is random.", minimum=0)
    log_every: int = flag(50, "Distance of two lines of metrics.jsonl.", unit="updates", minimum=1)
    checkpoint_every: int = flag(
        500, "Distance of two checkpoints, a multiple of log_every.", unit="updates", minimum=1
    )


@functools.lru_cache(maxsize=2)
def _dataset(name: str, data_dir: str | None, num_train: int | None, num_test: int | None) -> Dataset:
    with flag_errors("dataset"):
        loaded = datasets.load(name, data_dir, dtype="stored")
    with flag_errors("num_train or --num_test"):
        return datasets.subset(loaded, num_train, num_test)


def dataset(flags: DataFlags) -> Dataset:
    """The dataset that the flags choose.

    Raises:
        UsageError: If there is no such dataset, or if it has fewer examples.
    """
    return _dataset(flags.dataset, flags.data_dir, flags.num_train, flags.num_test)


Channels = tuple[float, ...]


@functools.lru_cache(maxsize=64)
def _family(network: str, num_classes: int, mean: Channels, std: Channels) -> Callable[..., Network]:
    # Cached twice, so that systems of the same layers have one network and share compiled programs.
    constructor = choose(only(network), NETWORKS, ("layers", "mean", "std"))
    return functools.lru_cache(functools.partial(constructor, num_classes, mean=mean, std=std))


@functools.lru_cache(maxsize=64)
def _system(network: str, system: str, num_classes: int, bounds: Box, mean: Channels, std: Channels) -> System:
    with flag_errors("network"):
        family = _family(network, num_classes, mean, std)
        family()
    with flag_errors("system"):
        rows = [_row(choice, bounds) for choice in parse(system)]
        return systems.combine(*rows)(family)


def _row(choice: Choice, bounds: Box) -> systems.Row:
    row = choose(choice, SYSTEMS)
    has_box = "bounds" in options(row) and "bounds" not in choice.options
    return functools.partial(row, bounds=bounds) if has_box else row


def system(flags: SystemFlags, dataset: Dataset) -> System:
    """The network and the method that the flags choose, for a dataset.

    Equal flags give the same object, so that the runs of several seeds share one compiled program.

    Raises:
        UsageError: If a name or an option is unknown, or if the systems can't be combined.
    """
    mean, std = datasets.channel_statistics(dataset.train)
    return _system(flags.network, flags.system, dataset.num_classes, dataset.box, mean, std)


@functools.lru_cache(maxsize=64)
def _optimizer(optimizer: str, schedule: str, learning_rate: float, num_steps: int) -> optax.GradientTransformation:
    with flag_errors("learning_rate"):
        checks.positive(learning_rate=learning_rate)
    with flag_errors("schedule"):
        rate = choose(only(schedule), SCHEDULES)(learning_rate, num_steps)
    with flag_errors("optimizer"):
        return choose(only(optimizer), OPTIMIZERS)(rate)


def optimizer(flags: TrainingFlags) -> optax.GradientTransformation:
    """The optimizer with its learning rate schedule that the flags choose."""
    return _optimizer(flags.optimizer, flags.schedule, flags.learning_rate, flags.num_steps)


@functools.lru_cache(maxsize=64)
def augment(text: str) -> augmentation.Augment | None:
    """The augmentation that a text such as `"random_crop(padding=4)+flip_left_right"` chooses, or None."""
    if text == "none":
        return None
    with flag_errors("augment"):
        return augmentation.chain(*(choose(choice, AUGMENTATIONS)() for choice in parse(text)))


def only(text: str) -> Choice:
    """The choice of a text that may have one only.

    Raises:
        UsageError: If it has several, or is not of the form of `parse`.
    """
    choice, *others = parse(text)
    if others:
        raise UsageError(f"{text!r} has several names, and one is possible")
    return choice
