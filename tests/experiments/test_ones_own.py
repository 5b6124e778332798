"""What lipjax does not know, one class or function each, goes wherever its own parts go: no table is touched."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray

from experiments import cli, flags, robustness, train
from lipjax import checks, evaluation, measurements, methods, networks, norms, records, systems, training
from lipjax.corruptions import Corruption
from lipjax.measurements import Measurement
from lipjax.types import Attack, Batch, Dataset, Method
from lipjax.values import Number, count, number


class darken(Attack):
    """An attack: takes light away, as far as the ball goes."""

    ball: norms.Ball = norms.linf.ball(0.2)

    def __call__(self, key, objective, center):
        return self.ball.project(center - self.ball.radius, center)


class pulled_to_zero(Method):
    """A method: every parameter is pulled towards zero."""

    weight: Number = number(0.1, checks.not_negative)

    def penalize(self, key, model, batch, output):
        leaves = jax.tree.leaves(model.variables.params)
        return {"pulled_to_zero": self.weight * sum(jnp.sum(leaf**2) for leaf in leaves)}


class negative(Corruption):
    """A corruption: the negative, more of it at higher severities."""

    severity: int = count(1)

    def transform(self, image, draws, constants):
        return image + (255 - 2 * image.astype(int)).astype(image.dtype) // 5 * self.severity


class brightness(Measurement):
    """A measurement: how bright the test images are."""

    splits = ("test",)

    def __call__(self, key, model, dataset):
        return xarray.Dataset({"brightness": ("example", np.asarray(dataset.test.inputs, float).mean((1, 2, 3)))})


def count_classes(key, model, dataset):
    """A measurement as a function."""
    return xarray.Dataset({"num_classes": dataset.num_classes})


def is_bright(x):
    return jnp.stack([0.0, 1.0]) * (jnp.mean(x) - 0.5)


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Dark images of class 0 and bright ones of class 1, as a dataset file."""
    path = tmp_path_factory.mktemp("own") / "grey.npz"
    levels = np.concatenate([np.arange(20, 60), np.arange(190, 230)]).astype(np.uint8)
    inputs, labels = np.broadcast_to(levels[:, None, None, None], (80, 8, 8, 1)), np.repeat([0, 1], 40)
    np.savez(path, x_train=inputs, y_train=labels, x_test=inputs, y_test=labels)
    return path


def test_in_the_library(images: Path, key: jax.Array) -> None:
    dataset: Dataset = flags.dataset(flags.DataFlags(dataset=str(images)))
    batch: Batch = dataset.test
    assert evaluation.robust_accuracy(key, is_bright, batch, darken()) == 1.0
    assert evaluation.robust_accuracy(key, is_bright, batch, darken(norms.linf.ball(0.35))) < 1.0
    system = systems.Row(method=methods.chain(pulled_to_zero(1.0), methods.gaussian(0.1)))(networks.mlp(2, widths=(4,)))
    model = training.fit(key, system, dataset, training.sgd(0.05), num_steps=60, batch_size=20)
    assert max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(model.variables.params)) < 0.2
    asked = [
        measurements.attacked(darken(norms.linf.ball(0.35))),
        measurements.corrupted((negative(), "contrast"), severities=(1, 5)),
        brightness(),
        count_classes,
    ]
    answers = measurements.measure(key, is_bright, dataset, asked).squeeze(("system", "seed"))
    assert answers.attack.item().startswith("darken(")
    assert answers.corruption.values.tolist() == [str(negative()), "contrast"]
    assert answers.corrupted_correct.sel(corruption=str(negative()), severity=1).all()
    assert not answers.corrupted_correct.sel(corruption=str(negative()), severity=5).any()
    assert answers.num_classes.item() == 2
    assert answers.brightness.shape == (80,)


def test_by_flags(images: Path, tmp_path: Path) -> None:
    name = __name__
    arguments = [f"--dataset={images}", "--network=mlp(widths=(4,))", "--num_steps=20", "--batch_size=20"]
    arguments += ["--log_every=10", "--checkpoint_every=20", f"--system={name}:pulled_to_zero(weight=1e-3)+gaussian"]
    train.run(cli.parse(train.Config, [*arguments, f"--out_dir={tmp_path}", "--noprogress"]))
    assert "pulled_to_zero" in records.read_metrics(tmp_path)[-1]
    measured = robustness.run(
        cli.parse(
            robustness.Config,
            [
                f"--run_dir={tmp_path}",
                f"--attacks={name}:darken,fgsm",
                f"--corruptions={name}:negative,contrast",
                f"--measurements={name}:brightness,{name}:count_classes,confidence(num_points=2)",
                "--noprogress",
            ],
        )
    )
    assert next(iter(measured["attacks"])).startswith("darken(")
    assert set(measured["corruption_accuracy"]) == {str(negative()), "contrast"}
    answers = records.open(tmp_path)
    assert {"brightness", "num_classes", "entropy"} <= set(answers)
