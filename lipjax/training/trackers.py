"""Where the metrics of trainings are shown beside their run directories: TensorBoard, Weights & Biases, MLflow.

Each needs its library, which lipjax does not install. What a killed training had told after its last checkpoint is told
again when it is continued.
"""

import contextlib
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lipjax.training.recorder import Log
from lipjax.values import Json, Value, setting


class Tracker(Value):
    """A place that shows metrics. A new one is one more subclass.

    Examples:
        >>> class printed(Tracker):
        ...     @contextlib.contextmanager
        ...     def start(self, path, settings):
        ...         yield lambda step, metrics: print(path.name, step, metrics)
        >>> with printed().start(Path("runs/v"), {"seed": 0}) as log:
        ...     log(50, {"loss": 0.5})
        v 50 {'loss': 0.5}
    """

    def start(self, path: Path, settings: Json) -> contextlib.AbstractContextManager[Log]:
        """Begins to show a training.

        Args:
            path: Its run directory, whose name is what the training is called.
            settings: What is trained, by the names of flags.

        Returns:
            A context in which the log takes metrics.
        """
        raise NotImplementedError


def _library(name: str, package: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise ValueError(f"needs {package}, which is not installed: pip install {package}") from error


class tensorboard(Tracker):
    """TensorBoard: event files in the folder `tensorboard` of the run directory, `tensorboard --logdir=runs` shows all.

    Needs tensorboardX.

    Raises:
        ValueError: If tensorboardX is not installed.

    Examples:
        >>> tensorboard()
        tensorboard()
    """

    def check(self) -> None:
        _library("tensorboardX", "tensorboardX")

    @contextlib.contextmanager
    def start(self, path: Path, settings: Json) -> Iterator[Log]:
        """A writer of one training's scalars."""
        with _library("tensorboardX", "tensorboardX").SummaryWriter(str(path / "tensorboard")) as writer:
            writer.add_text("settings", "\n".join(f"    {name}: {given}" for name, given in settings.items()))

            def log(step: int, metrics: Any) -> None:
                for name, value in metrics.items():
                    writer.add_scalar(name, value, step)
                writer.flush()

            yield log


class wandb(Tracker):
    """Weights & Biases: one run for each training, named as its directory and continued by that name.

    Attributes:
        project: The project.
        mode: `online` sends metrics as they come; `offline` keeps them in the run directory for `wandb sync`.

    Raises:
        ValueError: If wandb is not installed.

    Examples:
        >>> wandb(project="robustness", mode="offline")  # doctest: +SKIP
        wandb(project=robustness, mode=offline)
    """

    project: str = "lipjax"
    mode: str = setting("online", words={"online": "online", "offline": "offline"})

    def check(self) -> None:
        _library("wandb", "wandb")
        if self.mode not in ("online", "offline"):
            raise ValueError(f"mode must be online or offline, got {self.mode!r}")

    @contextlib.contextmanager
    def start(self, path: Path, settings: Json) -> Iterator[Log]:
        """A run of its own, several at a time where trainings share a program."""
        options = {"mode": self.mode, "resume": "allow", "reinit": "create_new", "dir": str(path)}
        library = _library("wandb", "wandb")
        with library.init(
            project=self.project, name=path.name, id=path.name, config=dict(settings), **options
        ) as shown:
            yield lambda step, metrics: shown.log(dict(metrics), step=step)


class mlflow(Tracker):
    """MLflow: one run for each training, where `MLFLOW_TRACKING_URI` says.

    Attributes:
        experiment: The experiment, made where it is not there.

    Raises:
        ValueError: If mlflow (or mlflow-skinny) is not installed.

    Examples:
        >>> mlflow(experiment="robustness")  # doctest: +SKIP
        mlflow(experiment=robustness)
    """

    experiment: str = "lipjax"

    def check(self) -> None:
        _library("mlflow", "mlflow-skinny")

    @contextlib.contextmanager
    def start(self, path: Path, settings: Json) -> Iterator[Log]:
        """A run of its own, several at a time where trainings share a program."""
        client = _library("mlflow", "mlflow-skinny").MlflowClient()
        known = client.get_experiment_by_name(self.experiment)
        place = known.experiment_id if known else client.create_experiment(self.experiment)
        shown = client.create_run(place, run_name=path.name).info.run_id
        for name, given in settings.items():
            client.log_param(shown, name, given)

        def log(step: int, metrics: Any) -> None:
            for name, value in metrics.items():
                client.log_metric(shown, name, value, step=step)

        try:
            yield log
        except BaseException:
            client.set_terminated(shown, "FAILED")
            raise
        client.set_terminated(shown, "FINISHED")
