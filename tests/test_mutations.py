"""Every option of every record and every flag of every command, mutated: a value, a run, or an error in one line.

LIPJAX_EXAMPLES=10000 makes that many of each.
"""

import contextlib
import dataclasses
import importlib
import inspect
import io
import math
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from experiments import flags, language, measuring, process
from lipjax import (
    attacks,
    augmentation,
    bounds,
    compatibility,
    corruptions,
    datasets,
    estimators,
    evaluation,
    methods,
    networks,
    norms,
    records,
    statistics,
    sweep,
    systems,
    training,
    values,
)
from lipjax.types import Batch, Model
from lipjax.values import Value

pytestmark = pytest.mark.usefixtures("unchecked_annotations")

EXAMPLES = int(os.environ.get("LIPJAX_EXAMPLES", "40"))
often = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=EXAMPLES < 1000,
    database=None,
    suppress_health_check=list(HealthCheck),
)

TABLES = {
    "system": flags.SYSTEMS,
    "network": flags.NETWORKS,
    "optimizer": flags.OPTIMIZERS,
    "schedule": flags.SCHEDULES,
    "augment": flags.AUGMENTATIONS,
    "attacks": measuring.ATTACKS,
    "estimator": measuring.ESTIMATORS,
    "launcher": {"slurm": sweep.slurm},
    "measurements": measuring.MEASUREMENTS,
}
GIVEN = {
    "num_classes": 2,
    "peak": 0.1,
    "num_steps": 3,
    "sigma": 0.1,
    "ball": norms.linf.ball(0.1),
    "network": networks.mlp(2),
}
CLASSES = sorted(
    {
        entry if inspect.isclass(entry) else type(entry)
        for table in (*TABLES.values(), vars(methods), vars(training), vars(augmentation), {"Ball": norms.Ball})
        for entry in table.values()
        if (entry is not Value and (inspect.isclass(entry) and issubclass(entry, Value))) or isinstance(entry, Value)
    },
    key=lambda cls: (cls.__module__, cls.__name__),
)

ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-3, 12),
    st.floats(),
    st.floats(-2, 2),
    st.text(max_size=5),
    st.binary(max_size=3),
    st.complex_numbers(),
    st.lists(st.integers(-1, 5), max_size=3),
    st.tuples(st.integers(0, 5), st.tuples(st.floats(), st.text(max_size=2))),
    st.dictionaries(st.text(max_size=2), st.integers(), max_size=2),
    st.sampled_from(
        [10**400, math.nan, -math.inf, object(), int, len, norms.l2, norms.linf.ball(0.1), np.float32(2), np.int64(3)]
    ),
    st.sampled_from([np.zeros(2), np.array(math.nan), np.array("x"), np.zeros((0, 3)), np.arange(3)]),
)


def usual(cls: type) -> dict[str, Any]:
    """Settings that a value of this class needs."""
    return {
        name: GIVEN[name]
        for name, field in language._fields(cls).items()
        if field.default is values.REQUIRED and name in GIVEN
    }


@often
@given(st.sampled_from(CLASSES), st.data())
def test_a_mutated_record_is_a_value_or_a_value_error(cls: type, data: st.DataObject) -> None:
    fields = list(language._fields(cls))
    if not fields:
        return
    changed = {name: data.draw(ODD) for name in data.draw(st.lists(st.sampled_from(fields), min_size=1, max_size=2))}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = cls(**usual(cls) | changed)
    except ValueError:
        return
    except TypeError as error:
        if "missing" in str(error):  # a required field, which Python tells
            return
        raise
    assert value == value.replace()
    assert repr(value)


IMAGES = np.random.default_rng(0).random((5, 6, 6, 1)).astype(np.float32)
LABELS = np.arange(5) % 3
BATCH = Batch(IMAGES, LABELS)
MODEL = Model(network := networks.mlp(3, widths=(4,)), network.init(jax.random.key(0), (6, 6, 1)))
ATTACK = attacks.pgd(num_steps=1)
KEY = jax.random.key(0)


def linear(x: jax.Array) -> jax.Array:
    return jnp.ravel(x)[:3]


def fitted(dataset: Any, num_steps: Any, batch_size: Any) -> Any:
    options = {"num_steps": num_steps, "batch_size": batch_size}
    return training.fit(KEY, systems.vanilla(MODEL.network), dataset, training.sgd(0.1), **options)


def counted(images: Any, labels: Any, thresholds: Any) -> Any:
    return compatibility.pair_distances(images, labels, norms.l1, thresholds=thresholds)


def loaded(images: Any, labels: Any) -> Any:
    return datasets.from_arrays("mine", (images, labels), (images, labels))


CALLS: dict[str, tuple[Any, dict[str, Any]]] = {
    "accuracy": (lambda inputs, labels: evaluation.accuracy(MODEL, Batch(inputs, labels)), BATCH._asdict()),
    "robust_accuracy": (
        lambda inputs, labels: evaluation.robust_accuracy(KEY, MODEL, Batch(inputs, labels), ATTACK),
        BATCH._asdict(),
    ),
    "corrupt": (
        lambda images, severity: corruptions.corrupt(KEY, images, "contrast", severity),
        {"images": IMAGES, "severity": 1},
    ),
    "slope": (
        lambda x, radius, num_steps: estimators.ascent_slope(norms.l2.ball(radius), num_steps=num_steps)(
            KEY, linear, x
        ),
        {"x": IMAGES[0], "radius": 0.5, "num_steps": 2},
    ),
    "curve": (
        lambda points, radii: estimators.curve(KEY, estimators.sampled_slope(), linear, points, radii),
        {"points": IMAGES[:2], "radii": [0.1, 0.2]},
    ),
    "global_bound": (lambda input_shape: bounds.global_bound(linear, input_shape), {"input_shape": (6, 6, 1)}),
    "audit": (lambda input_shape: bounds.audit(linear, input_shape), {"input_shape": (6, 6, 1)}),
    "local_bound": (
        lambda x, radius: bounds.local_bound(linear, x, norms.l2.ball(radius)),
        {"x": IMAGES[0], "radius": 0.1},
    ),
    "kendall_tau": (statistics.kendall_tau, {"first": [3.0, 4.0, 2.0], "second": [6.0, 5.0, 4.0]}),
    "q_values": (statistics.q_values, {"p_values": [0.1, 0.2]}),
    "pair_distances": (counted, {"images": IMAGES, "labels": LABELS, "thresholds": [0.5]}),
    "from_arrays": (loaded, {"images": IMAGES, "labels": LABELS}),
    "fit": (fitted, {"dataset": loaded(IMAGES, LABELS), "num_steps": 1, "batch_size": 2}),
}
"""Calls of public functions, and the arguments of which one is mutated."""

ARRAYS = st.sampled_from(
    [
        *(np.zeros(0), np.zeros((0, 6, 6, 1), np.float32), np.zeros((5, 6, 6, 1)), np.zeros((5, 6, 6), np.float32)),
        *(np.full((5, 6, 6, 1), value, np.float32) for value in (math.nan, 255, 1e38)),
        *(np.zeros((5, 7, 7, 1), np.float32), np.zeros(5), np.zeros(5, bool), np.zeros(5, complex), np.zeros((5, 3))),
        *(np.arange(5), np.arange(5) - 3, np.arange(5) * 10, np.array(["a"] * 5), [[1], [2, 3]], [1, 2], KEY),
        *((6, 6), (0, 6, 1), (-1,), (6.5,), (2**40,), ()),
    ]
)


@often
@given(st.sampled_from(sorted(CALLS)), st.data())
def test_a_mutated_call_gives_an_answer_or_a_value_error(name: str, data: st.DataObject) -> None:
    function, arguments = CALLS[name]
    changed = {data.draw(st.sampled_from(sorted(arguments))): data.draw(st.one_of(ODD, ARRAYS))}
    assume(not is_long(changed.get("num_steps")))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with contextlib.suppress(ValueError):
            jax.block_until_ready(function(**arguments | changed))


def is_long(count: Any) -> bool:
    """Whether this many steps are legal, and would be run for hours."""
    return isinstance(count, int | float | np.number) and 1000 < count < 2**31


SAID = """
nan inf -inf -1 0 1 3 0.5 1/4 1/0 1e999 1e-400 True None x 'x' "y" () (1,) (1,(2,3)) [1,2] [] {} {1:2} 1j ... b'x' -x
-True x.y x:y os:path sys:exit json:loads l2 linf nan/inf x(y=1) mlp(widths=(3,)) 99999999999999999999 2147483648 * + ,
; = ( ) ~ ~x /dev/null . .. - -- lambda:0 f(*a) f(**b) f(1) a+b V+V V+V(x=1) 0:3 3:0 0:3:4 :
"""
texts = st.one_of(
    st.sampled_from(SAID.split()),
    st.text(max_size=6),
    st.integers(-(10**20), 10**20).map(str),
    st.floats().map(str),
)


@st.composite
def written(draw: st.DrawFn, table: dict[str, Any]) -> str:
    """A name of a table with mutated options."""
    name = draw(st.sampled_from(sorted(table)))
    entry = table[name]
    legal = language.all_settings(entry) or (list(language._fields(entry)) if inspect.isclass(entry) else [])
    options = draw(st.lists(st.sampled_from([*legal, "x"]), max_size=2))
    return f"{name}({', '.join(f'{option}={draw(texts)}' for option in options)})"


class Reached(Exception):  # noqa: N818 - reads as what happened
    """All that can be wrong was found to be right."""


SMALL = ["--num_train=20", "--num_test=20", "--batch_size=10", "--network=mlp(widths=(2,))", "--corruptions=contrast"]
COMMANDS = {
    "train": ["--dataset=toy", "--network=mlp(widths=(2,))"],
    "sweep": SMALL,
    "study": [*SMALL, "--system=V"],
    "robustness": ["--run_dir=run", "--corruptions=contrast"],
    "local_lipschitz": ["--run_dir=run"],
    "audit": ["--run_dir=run"],
    "refute": ["--run_dir=run"],
    "compatibility": ["--dataset=toy"],
    "corrupt": [],
    "toy": [],
    "list": [],
    "compare": [],
}
SLOW = {"dataset"}
"""Flags whose mutations ask TFDS, for seconds each: test_bad_commands.py has rows of them."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The working directory, with a run of an untrained network."""
    path = tmp_path_factory.mktemp("mutations")
    (path / "run").mkdir()
    network = networks.mlp(10, widths=(2,))
    records.save_model(path / "run", Model(network, network.init(jax.random.key(0), (28, 28, 1))), (28, 28, 1))
    described = {"system": "V", "dataset": "fashion_mnist_mini", "seed": 0, "num_train": 20, "num_test": 20}
    records.write_json(path / "run" / "flags.json", described)
    before = Path.cwd()
    os.chdir(path)
    yield path
    os.chdir(before)


def reached(*arguments: Any, **options: Any) -> None:
    raise Reached


@contextlib.contextmanager
def nothing_computed() -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for module, name in (
            (records, "open_run"),
            (records, "hold"),
            (sweep, "train"),
            (bounds, "refute"),
            (sweep.slurm, "submit"),
        ):
            stack.enter_context(mock.patch.object(module, name, reached))
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        yield


def ended(module: Any, arguments: list[str]) -> Any:
    """The status that a command exits with; None where it has reached its computation, or its end."""
    try:
        process.main(module.Config, module.run, module.__doc__, arguments)
    except Reached:
        return None
    except SystemExit as end:
        return end.code
    return None


@often
@given(st.sampled_from(sorted(COMMANDS)), st.data())
def test_a_mutated_command_runs_or_ends_with_one_line(folder: Path, command: str, data: st.DataObject) -> None:
    module = importlib.import_module(f"experiments.{command}")
    known = [field.name for field in dataclasses.fields(module.Config) if field.name not in SLOW]
    chosen = data.draw(st.lists(st.sampled_from([*known, "no_such_flag"]), min_size=1, max_size=2))
    mutated = [
        f"--{name}={data.draw(st.one_of(texts, written(TABLES[name])) if name in TABLES else texts)}" for name in chosen
    ]
    before = sorted(folder.rglob("*"))
    out, err = io.StringIO(), io.StringIO()
    with nothing_computed(), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = ended(module, [*COMMANDS[command], *mutated])
    told = err.getvalue()
    assert code in (None, 2), (mutated, told)
    assert code is None or (told.startswith("error: ") and told.count("\n") == 1), (mutated, told)
    assert sorted(folder.rglob("*")) == before, mutated
