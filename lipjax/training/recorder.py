"""Metrics on their way from the device to the log, and the values that stop a run."""

from collections import deque
from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeAlias

import jax
import numpy as np
from jaxtyping import Array, Float
from tqdm import tqdm

from lipjax import checks

Trace: TypeAlias = Mapping[str, Float[Array, " steps"]]
Log: TypeAlias = Callable[[int, Mapping[str, float]], None]
"""`(step, metrics)`: takes the means over the steps since the last line."""


class NonFiniteLoss(FloatingPointError):  # noqa: N818 - reads as what happened
    """Training met a value that is not finite.

    Attributes:
        step: The update, counted from 1, that met it.
        term: Name of the term of the loss, or "loss" for their sum, or "variables".
    """

    def __init__(self, step: int, term: str):
        super().__init__(f"{term} is not finite at step {step}")
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


class Pace(NamedTuple):
    """How often what happens, in steps; each number is a multiple of the one before, `num_steps` aside."""

    num_steps: int
    dispatch: int
    log: int
    checkpoint: int

    def check(self) -> None:
        """Raises ValueError unless the numbers are whole, positive and multiples."""
        checks.at_least(1, num_steps=self.num_steps, log_every=self.log)
        checks.at_least(1, steps_per_dispatch=self.dispatch, checkpoint_every=self.checkpoint)
        if self.log % self.dispatch:
            raise ValueError(f"log_every must be a multiple of steps_per_dispatch, got {self.log} and {self.dispatch}")
        if self.checkpoint % self.log:
            raise ValueError(f"checkpoint_every must be a multiple of log_every, got {self.checkpoint} and {self.log}")

    def is_line(self, step: int) -> bool:
        """Whether a line of the log ends with this step."""
        return step % self.log == 0 or step == self.num_steps

    def is_checkpoint(self, step: int) -> bool:
        """Whether the state after this step is kept."""
        return step % self.checkpoint == 0 or step == self.num_steps


class Recorder:
    """Reads the metrics of each dispatch while the device works on the next one, and logs their means."""

    def __init__(self, logs: list[Log], pace: Pace, bar: tqdm):
        self._logs, self._pace, self._bar = logs, pace, bar
        self._pending: deque[tuple[int, Trace]] = deque()
        self._window: list[Mapping[str, np.ndarray]] = []

    def add(self, last: int, metrics: Trace) -> None:
        """Takes the metrics of the steps up to `last`, and reads those that were taken before."""
        self._pending.append((last, metrics))
        self.read(keep=1)

    def read(self, keep: int = 0) -> None:
        """Waits for all metrics but those of the `keep` last dispatches.

        Raises:
            NonFiniteLoss: If one of them is not finite.
        """
        while len(self._pending) > keep:
            last, metrics = self._pending.popleft()
            values = jax.device_get(metrics)
            require_finite(last, values)
            self._window.append(values)
            self._bar.update(len(values["loss"]))
            if self._pace.is_line(last):
                self._log(last)

    def _log(self, step: int) -> None:
        columns = {name: np.concatenate([part[name] for part in self._window]) for name in self._window[0]}
        means = {name: float(np.mean(column, dtype=np.float64)) for name, column in columns.items()}
        self._window.clear()
        self._bar.set_postfix(loss=means["loss"], accuracy=means["accuracy"])
        for log in self._logs:
            log(step, means)
