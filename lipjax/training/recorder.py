"""Metrics on their way from the device to the log, and the values that stop a run."""

import itertools
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Float
from tqdm import tqdm

from lipjax import checks
from lipjax.records import Run

if TYPE_CHECKING:
    from lipjax.training.trackers import Tracker

Trace: TypeAlias = Mapping[str, Float[Array, "*pack steps"]]
Log: TypeAlias = Callable[[int, Mapping[str, float]], object]
"""`(step, metrics)`: takes the means over the steps since the last line."""


class NonFiniteLoss(FloatingPointError):  # noqa: N818 - reads as what happened
    """Training met a value that is not finite.

    Attributes:
        step: The update, counted from 1, that met it.
        term: Name of the term of the loss, or "loss" for their sum, or "variables".

    Examples:
        >>> require_finite(7, {"loss": np.array([0.5, np.nan, np.nan])})  # of the steps 5 to 7
        Traceback (most recent call last):
            ...
        lipjax.training.recorder.NonFiniteLoss: training stopped: loss is not finite at step 6
    """

    def __init__(self, step: int, term: str):
        super().__init__(f"training stopped: {term} is not finite at step {step}")
        self.step = step
        self.term = term


def require_finite(last: int, metrics: Mapping[str, np.ndarray]) -> None:
    """Raises NonFiniteLoss for the first step, of those up to `last`, that has a metric which is not finite."""
    first = last + 1 - len(metrics["loss"])
    steps = {name: first + np.flatnonzero(~np.isfinite(values)) for name, values in metrics.items()}
    bad = [(found[0].item(), name == "loss", name) for name, found in steps.items() if found.size]
    if bad:
        step, _, term = min(bad)
        raise NonFiniteLoss(step, term)


class Execution(NamedTuple):
    """How a training is run, watched and recorded, which decides nothing about its result.

    Attributes:
        run: A run directory, from `records.open_run`: metrics go there, and the last good states, from which the same
            call continues.
        log: Called as `log(step, metrics)` with the means over the last `log_every` steps.
        progress: Whether to show a progress bar on stderr; None shows it on terminals only.
        log_every: Steps between two lines of the log.
        checkpoint_every: Steps between two checkpoints, a multiple of `log_every`. The last state is always kept.
        steps_per_dispatch: Steps that the device makes on its own, a divisor of `log_every`. None for `log_every`, but
            1 on CPU, where XLA's convolution was 28 times slower inside a loop (lipjax's networks do without it and
            gain from 10).
        mesh: From `parallel.mesh`: spreads each batch over its devices.
        stream: Whether batches are read from memory or disk while the device works, a process those of its own devices
            only, in place of all examples once: the same batches, the same weights. None where the examples take more
            than half of a device's memory. Batches of some dispatches are on the device then.
        trackers: Where else the metrics of trainings with a run directory are shown, by `sweep` and the commands.

    Examples:
        >>> Execution(steps_per_dispatch=10, log_every=50, checkpoint_every=500).check()
        >>> Execution(log_every=50, checkpoint_every=70).check()
        Traceback (most recent call last):
            ...
        ValueError: checkpoint_every must be a multiple of log_every, got 70 and 50
    """

    run: Run | None = None
    log: Log | None = None
    progress: bool | None = None
    log_every: int = 50
    checkpoint_every: int = 500
    steps_per_dispatch: int | None = None
    mesh: Mesh | None = None
    stream: bool | None = None
    trackers: "Sequence[Tracker]" = ()

    @property
    def dispatch(self) -> int:
        """Steps per dispatch."""
        on_its_own = 1 if jax.default_backend() == "cpu" else self.log_every
        return on_its_own if self.steps_per_dispatch is None else self.steps_per_dispatch

    def check(self) -> None:
        """Raises ValueError unless the numbers of steps are whole, positive and multiples."""
        paces = {
            "steps_per_dispatch": self.dispatch,
            "log_every": self.log_every,
            "checkpoint_every": self.checkpoint_every,
        }
        checks.at_least(1, **paces)
        for (name, part), (multiple, whole) in itertools.pairwise(paces.items()):
            if whole % part:
                raise ValueError(f"{multiple} must be a multiple of {name}, got {whole} and {part}")


class Member:
    """What one network of those that are trained together tells, until a value stops it.

    Attributes:
        failure: The value that stopped it.
    """

    def __init__(self, logs: Sequence[Log]):
        self.failure: NonFiniteLoss | None = None
        self._logs = logs
        self._window: list[Mapping[str, np.ndarray]] = []

    def take(self, last: int, values: Mapping[str, np.ndarray]) -> None:
        """Takes the metrics of the steps up to `last`."""
        try:
            require_finite(last, values)
        except NonFiniteLoss as error:
            self.failure = error
        else:
            self._window.append(values)

    def log(self, step: int) -> Mapping[str, float]:
        """Logs the means of what was taken since the last line, and returns them."""
        columns = {name: np.concatenate([part[name] for part in self._window]) for name in self._window[0]}
        means = {name: float(np.mean(column, dtype=np.float64)) for name, column in columns.items()}
        self._window.clear()
        for log in self._logs:
            log(step, means)
        return means


class Recorder:
    """Reads the metrics of each dispatch while the device works on the next one, and logs their means.

    Attributes:
        members: The networks that are trained together.
    """

    def __init__(self, logs: Sequence[Sequence[Log]], log_every: int, bar: tqdm):
        self.members = [Member(own) for own in logs]
        self._log_every, self._bar = log_every, bar
        self._pending: deque[tuple[int, Trace]] = deque()

    def going(self) -> list[int]:
        """The networks that no value has stopped."""
        return [index for index, member in enumerate(self.members) if member.failure is None]

    def add(self, last: int, metrics: Trace) -> None:
        """Takes the metrics of the steps up to `last`, and reads those that were taken before."""
        self._pending.append((last, metrics))
        self.read(keep=1)

    def read(self, keep: int = 0) -> None:
        """Waits for all metrics but those of the `keep` last dispatches; one that is not finite stops its network."""
        while len(self._pending) > keep:
            last, metrics = self._pending.popleft()
            values = {name: np.atleast_2d(each) for name, each in jax.device_get(metrics).items()}
            for index in self.going():
                self.members[index].take(last, {name: each[index] for name, each in values.items()})
            self._bar.update(values["loss"].shape[-1])
            if last % self._log_every == 0 or last == self._bar.total:
                self._log(last)

    def _log(self, step: int) -> None:
        told = [self.members[index].log(step) for index in self.going()]
        if told:
            self._bar.set_postfix(loss=told[0]["loss"], accuracy=told[0]["accuracy"])

    def check_variables(self, last: int, are_finite: Bool[Array, "*pack"]) -> None:
        """Stops the networks whose variables are not finite."""
        found = np.atleast_1d(are_finite)
        for index in self.going():
            if not found[index]:
                self.members[index].failure = NonFiniteLoss(last, "variables")
