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
import jaxtyping
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from experiments import cli, flags, language, measuring
from lipjax import augmentation, bounds, methods, networks, norms, records, sweep, training, values
from lipjax.types import Model
from lipjax.values import Value

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


@pytest.fixture(autouse=True, scope="module")
def _as_users_have_it() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jaxtyping.config, "jaxtyping_disable", True)
        yield


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
"""Flags whose mutations ask TFDS, for seconds each: test_bad_inputs.py has rows of them."""


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
        cli.run_main(module.Config, module.run, module.__doc__, arguments)
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
