"""Modules of other frameworks as models: one set of weights in four frameworks, and what NumPy makes of them."""

import functools
import importlib.util
import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from lipjax import attacks, bounds, datasets, estimators, evaluation, measurements, networks, norms
from lipjax.networks import trained
from lipjax.types import Batch, Model

SHAPE = (4, 4, 2)
RNG = np.random.default_rng(0)
KERNEL, HIDDEN, LAST = (RNG.normal(size=shape).astype(np.float32) / 3 for shape in ((3, 3, 2, 3), (32, 48), (48, 3)))
BIAS = np.array([0.1, -0.1, 0.2], np.float32)
IMAGES = RNG.random((6, *SHAPE), dtype=np.float32)
KEY = jax.random.key(0)
HAS_TORCH = importlib.util.find_spec("torch") is not None
needs_torch = pytest.mark.skipif(not HAS_TORCH, reason="PyTorch is not installed; pip install lipjax[torch]")
# The first forward derivative of a session makes torch load decompositions of its own that are deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")


def dense_by_hand(x: Any, np: Any = jnp) -> Any:
    return np.maximum(x.ravel() @ HIDDEN, 0) @ LAST + BIAS


def conv_by_hand(x: Any) -> Any:
    x = jax.lax.conv_general_dilated(
        x[None], jnp.asarray(KERNEL, x.dtype), (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )[0]
    return jax.nn.relu(x).ravel() @ LAST + BIAS


BY_HAND = {"dense": dense_by_hand, "conv": conv_by_hand}
FIRST = (jnp.transpose(HIDDEN.reshape(*SHAPE, 48), (2, 0, 1, 3)).reshape(32, 48), jnp.asarray(KERNEL))


class Linen(nn.Module):
    """A dense or convolutional network, with a dropout that must be off."""

    kind: str

    @nn.compact
    def __call__(self, x: Any, train: bool = True) -> Any:
        x = nn.Dense(48, use_bias=False)(x.reshape(len(x), -1)) if self.kind == "dense" else self.conv(x)
        x = nn.Dropout(0.5, deterministic=not train)(nn.relu(x))
        return nn.Dense(3, name="last")(x.reshape(len(x), -1))

    def conv(self, x: Any) -> Any:
        return nn.Conv(3, (3, 3), use_bias=False, name="Conv_0")(x)


class Nnx(nnx.Module):
    """The same."""

    def __init__(self, kind: str) -> None:
        def given(array: Any) -> Callable:
            return lambda *_: jnp.asarray(array)

        rngs = nnx.Rngs(0)
        if kind == "dense":
            self.first: Any = nnx.Linear(32, 48, use_bias=False, kernel_init=given(HIDDEN), rngs=rngs)
        else:
            self.first = nnx.Conv(2, 3, (3, 3), use_bias=False, kernel_init=given(KERNEL), rngs=rngs)
        self.flat = kind == "dense"
        self.dropout = nnx.Dropout(0.5, rngs=rngs)
        self.last = nnx.Linear(48, 3, kernel_init=given(LAST), bias_init=given(BIAS), rngs=rngs)

    def __call__(self, x: Any) -> Any:
        x = self.dropout(nnx.relu(self.first(x.reshape(len(x), -1) if self.flat else x)))
        return self.last(x.reshape(len(x), -1))


class Equinox(eqx.Module):
    """The same, on one example with channels first."""

    first: Any
    dropout: eqx.nn.Dropout
    last: Any

    def __init__(self, kind: str) -> None:
        def blank(make: Callable, **arrays: Any) -> Any:  # without the programs of its initial values
            module = eqx.filter_eval_shape(make, key=KEY)
            return eqx.tree_at(lambda m: [getattr(m, name) for name in arrays], module, list(arrays.values()))

        if kind == "dense":
            self.first = blank(functools.partial(eqx.nn.Linear, 32, 48, use_bias=False), weight=FIRST[0].T)
        else:
            conv = functools.partial(eqx.nn.Conv2d, 2, 3, 3, padding=1, use_bias=False)
            self.first = blank(conv, weight=jnp.transpose(FIRST[1], (3, 2, 0, 1)))
        self.dropout = eqx.nn.Dropout(0.5)
        self.last = blank(functools.partial(eqx.nn.Linear, 48, 3), weight=rows_channels_first(LAST, kind), bias=BIAS)

    def __call__(self, x: Any, key: Any) -> Any:
        x = self.first(x.ravel() if isinstance(self.first, eqx.nn.Linear) else x)
        return self.last(self.dropout(jax.nn.relu(x), key=key).ravel())


def rows_channels_first(kernel: Any, kind: str) -> Any:
    """A dense kernel as `[out, in]`, for hidden values with channels first."""
    by_place = kernel.reshape(4, 4, 3, 3).transpose(2, 0, 1, 3).reshape(48, 3)
    return jnp.asarray((by_place if kind == "conv" else kernel).T)


def torch_module(kind: str) -> Any:
    import torch

    first: Any = torch.nn.Conv2d(2, 3, 3, padding=1, bias=False)
    layers = [first, torch.nn.ReLU(inplace=True), torch.nn.Flatten()]
    if kind == "dense":
        first = torch.nn.Linear(32, 48, bias=False)
        layers = [torch.nn.Flatten(), first, torch.nn.ReLU()]
    last = torch.nn.Linear(48, 3)
    weight = np.asarray(FIRST[0]).T if kind == "dense" else KERNEL.transpose(3, 2, 0, 1)
    for parameter, array in ((first.weight, weight), (last.weight, rows_channels_first(LAST, kind)), (last.bias, BIAS)):
        parameter.data = torch.from_numpy(np.array(array))
    return torch.nn.Sequential(*layers, torch.nn.Dropout(0.5), last)


def channels_first(images: Any) -> Any:
    return jnp.moveaxis(images, -1, 1)


@functools.cache
def model(framework: str, kind: str) -> Model:
    if framework == "linen":
        first = {"Dense_0": {"kernel": HIDDEN}} if kind == "dense" else {"Conv_0": {"kernel": KERNEL}}
        return networks.from_linen(Linen(kind), {"params": {**first, "last": {"kernel": LAST, "bias": BIAS}}}, SHAPE)
    if framework == "nnx":
        return networks.from_nnx(Nnx(kind), SHAPE)
    if framework == "equinox":
        return networks.from_equinox(Equinox(kind), SHAPE, prepare=channels_first)
    return networks.from_torch(torch_module(kind), SHAPE)


each_framework = pytest.mark.parametrize(
    "framework", ["linen", "nnx", "equinox", pytest.param("torch", marks=needs_torch)]
)
each_kind = pytest.mark.parametrize("kind", BY_HAND)


@each_framework
@each_kind
def test_a_module_of_any_framework_is_the_function_of_its_weights(framework: str, kind: str) -> None:
    f, by_hand = model(framework, kind), BY_HAND[kind]
    expected = np.stack([by_hand(image) for image in IMAGES])
    np.testing.assert_allclose(f(jnp.asarray(IMAGES))[0].logits, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(f.single(jnp.asarray(IMAGES[0])), expected[0], rtol=1e-4, atol=1e-5)
    gradients = [jax.grad(lambda x, g=g: jnp.sum(g(x) ** 2))(jnp.asarray(IMAGES[0])) for g in (f.single, by_hand)]
    np.testing.assert_allclose(*gradients, rtol=1e-3, atol=1e-5)


@each_framework
@each_kind
def test_attacks_and_estimators_take_it(framework: str, kind: str) -> None:
    f = model(framework, kind)
    batch = Batch(IMAGES, np.argmax(f(jnp.asarray(IMAGES))[0].logits, axis=-1))
    assert evaluation.accuracy(f, batch) == 1.0
    assert evaluation.robust_accuracy(KEY, f, batch, attacks.pgd(norms.linf.ball(0.5), num_steps=3)) < 1.0
    slope = estimators.sampled_slope(norms.l2.ball(0.5), num_samples=8)(KEY, f.single, jnp.asarray(IMAGES[0])).value
    assert 0.0 < slope < bounds_by_hand(kind)


@functools.cache
def bounds_by_hand(kind: str) -> float:
    return bounds.global_bound(BY_HAND[kind], SHAPE)


@pytest.mark.parametrize("framework", ["linen", "nnx", "equinox"])
@each_kind
def test_its_bound_is_that_of_the_function_written_by_hand(framework: str, kind: str) -> None:
    assert bounds.global_bound(model(framework, kind), SHAPE) == pytest.approx(bounds_by_hand(kind), rel=1e-4)


@each_framework
def test_answers_of_it_are_kept_by_what_it_is(framework: str, tmp_path: Any) -> None:
    def known(f: Model) -> Any:
        return f.network.identity(f.variables)

    f = model(framework, "dense")
    model.cache_clear()
    assert known(model(framework, "dense")) == known(f)
    assert known(model(framework, "conv")) != known(f)
    if framework == "nnx":  # whose state has random keys
        dataset = datasets.from_arrays("mine", (IMAGES, np.arange(6) % 3), (IMAGES, np.arange(6) % 3))
        measurements.measure(KEY, f, dataset, [measurements.clean()], folder=tmp_path)
        assert len(list(tmp_path.glob("*.nc"))) == 1


@needs_torch
def test_derivatives_of_a_torch_module_are_those_of_any_function() -> None:
    f, g = model("torch", "conv").single, conv_by_hand
    x = jnp.asarray(IMAGES[0])
    for of in (jax.jacfwd, lambda f: jax.jit(jax.vmap(jax.jacrev(lambda x: f(x) ** 2)))):
        point = x if of is jax.jacfwd else jnp.asarray(IMAGES[:2])
        np.testing.assert_allclose(of(f)(point), of(g)(point), rtol=1e-3, atol=1e-5)

    def steepness(f: Callable) -> Callable:
        return lambda x: jnp.sum(jax.linearize(f, x)[1](x**2) ** 2)

    np.testing.assert_allclose(jax.grad(steepness(f))(x), jax.grad(steepness(g))(x), rtol=1e-3, atol=1e-5)
    with jax.enable_x64(True):
        point = np.asarray(x, np.float64)
        for of in (lambda f: f, jax.jacrev):
            precise = jax.jit(of(f))(point)
            assert precise.dtype == np.float64
            np.testing.assert_allclose(precise, of(g)(point), rtol=1e-12, atol=1e-14)
    assert bounds.global_bound(model("torch", "conv"), SHAPE) == np.inf


class Odd(nn.Module):
    """A module that does one thing in its own way."""

    what: str

    @nn.compact
    def __call__(self, x: Any) -> Any:
        flat = x.reshape(-1) if self.what == "one" else x if self.what == "flat" else x.reshape(len(x), -1)
        if self.what == "dropout":
            flat = nn.Dropout(0.5, deterministic=False)(flat)
        if self.what in ("batch_norm", "state"):
            flat = nn.BatchNorm(use_running_average=self.what == "state")(flat)
        z = nn.Dense(1 if self.what in ("binary", "scalar") else 3)(flat)
        return {"tuple": (z, flat), "dict": {"logits": z}, "scalar": z[..., 0], "classes": z.argmax(-1)}.get(
            self.what, z
        )


def odd(what: str, shape: tuple = SHAPE, **options: Any) -> Model:
    norm = {"scale": np.ones(32), "bias": np.zeros(32)}
    classes = 1 if what in ("binary", "scalar") else 3
    params = {"Dense_0": {"kernel": LAST[:32, :classes], "bias": BIAS[:classes]}}
    statistics = {"BatchNorm_0": {"mean": np.zeros(32), "var": np.ones(32)}} if what == "batch_norm" else {}
    params |= {"BatchNorm_0": norm} if what in ("batch_norm", "state") else {}
    given.module = Odd(what)
    given.variables = {"params": params, "batch_stats": statistics} if statistics else {"params": params}
    return networks.from_linen(given.module, given.variables, shape, **options)


class Batched(eqx.Module):
    """An equinox module that takes batches."""

    def __call__(self, x: Any) -> Any:
        return x.reshape(len(x), -1) @ HIDDEN


class WithState(eqx.Module):
    """An equinox module with a state, which it returns too."""

    def __call__(self, x: Any, state: Any) -> Any:
        return x.ravel() @ (HIDDEN * state), state


class Masked(eqx.Module):
    """An equinox module that needs another argument."""

    def __call__(self, x: Any, mask: Any) -> Any:
        return x.ravel()


def of_equinox(module: Any, shape: Any = SHAPE) -> Model:
    given.module = module
    return networks.from_equinox(module, shape)


def of_torch(what: str, shape: tuple = SHAPE) -> Model:
    import torch

    linear = torch.nn.Linear(32, 1 if what == "binary" else 3)
    if what == "conv":
        given.module = torch_module("conv")
    elif what == "last":
        given.module = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.Flatten(), torch.nn.Linear(48, 3))
    else:
        given.module = linear if what == "flat" else torch.nn.Sequential(torch.nn.Flatten(), linear)
    return networks.from_torch(given.module, shape)


given = SimpleNamespace(state=jnp.ones(()))
"""What the names of a line stand for."""
ERRORS: dict[str, tuple[Callable[[], Any], str]] = {
    "parameters alone": (
        lambda: networks.from_linen(Odd("dict"), {"Dense_0": {}}, SHAPE),
        r'networks\.from_linen\(module, \{"params": params\}, \(4, 4, 2\)\)',
    ),
    "batch statistics left out": (lambda: odd("state"), 'raises ScopeCollectionNotFound: .*"batch_stats": batch_stats'),
    "dropout in training": (lambda: odd("dropout"), "InvalidRngError: .*It is in training mode: .*deterministic=not"),
    "batch norm in training": (lambda: odd("batch_norm"), "ModifyScopeVariableError: .*It is in training mode"),
    "class indices": (lambda: odd("classes"), r"\[2, 4, 4, 2\], .* returns int32 numbers"),
    "a number for a shape": (
        lambda: trained.refuse_other("flax.linen", Odd(""), 32),
        r"shape is that of one example .*such as \(32,\); got 32",
    ),
    "an output too many": (
        lambda: odd("tuple"),
        r"a tuple of 2: \[2, 3\], \[2, 32\].*logits=lambda outputs: outputs\[0\]",
    ),
    "a dict": (lambda: odd("dict"), r"a dict of 'logits'.*outputs\[\"logits\"\]"),
    "a flat input": (lambda: odd("flat"), r"ScopeParamShapeError.*prepare=lambda images: images\.reshape"),
    "one example": (lambda: odd("one"), "batched=False"),
    "one logit": (lambda: odd("binary"), "one number per example.*logits=lambda z: jnp.concatenate"),
    "no logit axis": (lambda: odd("scalar"), "one number per example.*logits=lambda z: jnp.stack"),
    "linen for nnx": (
        lambda: networks.from_nnx(Odd(""), SHAPE),
        r"flax\.linen module: networks\.from_linen\(module, var",
    ),
    "a class": (lambda: networks.from_nnx(Nnx, SHAPE), "Nnx is a class: give a module that was made of it"),
    "a function": (lambda: networks.from_equinox(conv_by_hand, SHAPE), "no equinox module; .* give it as it is"),
    "a batch": (lambda: of_equinox(Batched()), "given one example.*batched=True"),
    "channels last": (lambda: of_equinox(Equinox("conv")), r"moveaxis\(images, -1, 1\)"),
    "a state": (lambda: of_equinox(WithState()), "takes its state: networks.from_equinox.*state=state"),
    "another argument": (lambda: of_equinox(Masked()), "also takes 'mask'"),
    "torch, height second": (lambda: of_torch("conv", (2, 4, 4)), r"\[2, 2, 4, 4\].*\(module, \(4, 4, 2\)\)"),
    "torch, a shape with the batch": (lambda: of_torch("conv", (1, *SHAPE)), r"2, 1, 4, 4, 2\].*module, \(4, 4, 2\)\)"),
    "torch, a flat input": (lambda: of_torch("flat"), r"torch\.nn\.Sequential\(torch\.nn\.Flatten\(\), module\)"),
    "torch, channels last": (lambda: of_torch("last"), "channels_first=False"),
    "torch, one logit": (lambda: of_torch("binary"), r"logits=lambda z: torch\.cat"),
}


@pytest.mark.parametrize(
    "case", [pytest.param(name, marks=needs_torch if name.startswith("torch") else ()) for name in ERRORS]
)
def test_what_a_newcomer_gets_wrong_is_told_with_a_line_that_works(case: str) -> None:
    make, message = ERRORS[case]
    with pytest.raises((TypeError, ValueError), match=message) as raised:
        make()
    found = re.search(r"(?:This works|its state): (networks\..*)$", str(raised.value))
    if found:
        names = {"networks": networks, "jnp": jnp, **vars(given)} | (
            {"torch": importlib.import_module("torch")} if HAS_TORCH else {}
        )
        assert eval(found[1], names).single(jnp.zeros(SHAPE)).ndim == 1


def test_it_has_no_training_mode() -> None:
    f = model("linen", "dense")
    with pytest.raises(ValueError, match=r"has no training mode; networks\.linen\(module\) trains"):
        f(jnp.asarray(IMAGES), train=True)
    with pytest.raises(TypeError, match="comes with its variables"):
        f.network.init(KEY, SHAPE)
