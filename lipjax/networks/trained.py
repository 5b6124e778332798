"""Classifiers that were trained elsewhere, as models: one record of how a module is called, and one check of it."""

import dataclasses
import functools
import hashlib
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from lipjax.types import KeyArray, Model, Network, Output, State, Variables
from lipjax.values import Json, setting

AnyTrained = TypeVar("AnyTrained", bound="Trained")

_BATCH = 2
"""Examples of the batch that is tried: a module that mistakes the batch axis for another shows it."""

_EVALUATION = {
    "train": False,
    "training": False,
    "is_training": False,
    "deterministic": True,
    "inference": True,
    "use_running_average": True,
    "key": None,
}
"""What modules are told, where they take it: no dropout, and the batch statistics of the training."""

_LINES = {
    "flax.linen": "networks.from_linen({module}, variables, {shape})",
    "flax.nnx": "networks.from_nnx({module}, {shape})",
    "equinox": "networks.from_equinox({module}, {shape})",
    "torch.nn": "networks.from_torch({module}, {shape})",
}


class Remedy(NamedTuple):
    """Settings with which a module may work where it does not without them.

    Attributes:
        text: How a user writes them.
        changes: The fields of the network.
        module: What they write in place of the module.
    """

    text: str
    changes: dict[str, Any]
    module: str = "module"


class Trained(Network):
    """A classifier that was trained elsewhere: its function is fixed, in evaluation mode.

    Attributes:
        shape: Shape of one example.
        prepare: What is done to a batch of pixels before the module sees it; None for nothing.
        logits: What of the module's outputs for a batch are the logits; None where they are.
        batched: Whether the module takes batches; if not, it takes one example.
    """

    home: ClassVar[str] = ""
    hints: ClassVar[Mapping[str, str]] = {}

    _: dataclasses.KW_ONLY
    shape: tuple[int, ...] = setting()
    prepare: Callable[[Any], Any] | None = setting(None)
    logits: Callable[[Any], Any] | None = setting(None)
    batched: bool = setting(True)

    def call(self, variables: Variables, inputs: Float[Array, "..."]) -> Any:
        """What the module returns, for a batch or for one example as it takes them."""
        raise NotImplementedError

    def outputs(self, variables: Variables, inputs: Float[Array, "batch ..."]) -> Any:
        """What should be the logits of a batch of pixels."""
        prepared = _as_it_is(inputs) if self.prepare is None else self.prepare(inputs)
        call = functools.partial(self.call, variables)
        found = call(prepared) if self.batched else _one_by_one(call, prepared)
        return found if self.logits is None else self.logits(found)

    def tried(self, variables: Variables) -> Any:
        """What `outputs` are for a batch of zeros: anything with their shapes and types."""
        return jax.eval_shape(self.outputs, variables, jnp.zeros((_BATCH, *self.shape)))

    def remedies(self) -> Iterable[Remedy]:
        """What to try where the module doesn't work, the likeliest first."""
        return _OF_JAX

    def init(self, key: KeyArray, input_shape: tuple[int, ...]) -> Variables:
        """Refused: it comes with its variables."""
        raise TypeError(f"{self!r} was trained elsewhere and comes with its variables; networks.linen(module) trains")

    def apply(self, variables: Variables, inputs: Float[Array, "batch ..."], *, train: bool) -> tuple[Output, State]:
        """Output for a batch, in evaluation mode only."""
        if train:
            raise ValueError(f"{self!r} was trained elsewhere, and has no training mode; networks.linen(module) trains")
        return Output(self.outputs(variables, inputs), {}), variables.state

    def identity(self, variables: Variables) -> Json:
        """The program of one example: the same for the same function, in every process."""
        one = jax.ShapeDtypeStruct((1, *self.shape), jnp.float32)
        text = jax.jit(self.outputs).lower(variables, one).as_text()
        return {"network": self.home, "program": hashlib.sha256(text.encode()).hexdigest()}

    def __repr__(self) -> str:
        return f"{self.home} module of {list(self.shape)}"


def _as_it_is(inputs: Any) -> Any:
    return inputs


def _one_by_one(call: Callable[[Any], Any], inputs: Any) -> Any:
    """A function of one example, of a batch; of a single one without `vmap`, whose program hides layers from bounds."""
    if len(inputs) > 1:
        return jax.vmap(call)(inputs)
    return jax.tree.map(lambda leaf: leaf[None], call(inputs[0]))


def refuse_other(home: str, module: Any, shape: Any) -> tuple[int, ...]:
    """The shape of one example; raises unless the module is an instance of the framework's, and the shape is one.

    Raises:
        TypeError: If the module is a class, or another framework's, which is told with the line to write.
        ValueError: If the shape is not a tuple of whole numbers of at least 1.
    """
    if isinstance(shape, int | np.integer) or not all(isinstance(n, int | np.integer) and n >= 1 for n in shape):
        example = f"({shape},)" if isinstance(shape, int | np.integer) else "(32, 32, 3)"
        raise ValueError(f"shape is that of one example without a batch axis, such as {example}; got {shape}")
    shape = tuple(int(n) for n in shape)
    if inspect.isclass(module):
        raise TypeError(f"{module.__name__} is a class: give a module that was made of it, with its weights")
    bases = [base.__module__ for base in type(module).__mro__ if base.__name__ == "Module"]
    found = next((kind for kind in _LINES for base in bases if base.startswith(kind)), None)
    if found == home:
        return shape
    if found is None:
        raise TypeError(
            f"{type(module).__name__} is no {home} module; a JAX function of one image to its logits "
            "needs no wrapping: give it as it is wherever a model is asked for"
        )
    raise TypeError(f"{type(module).__name__} is a {found} module: {line(found, shape)}")


def evaluation_flags(home: str, call: Callable[..., Any], *others: str) -> dict[str, Any]:
    """Keywords that put a call in evaluation mode.

    Args:
        home: The framework, for errors.
        call: What will be called with an input, and with the arguments named next.
        *others: Names of arguments that it is given besides.

    Raises:
        ValueError: If it takes another argument that has no default.
    """
    parameters = list(inspect.signature(call).parameters.values())
    for parameter in [p for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)][1:]:
        if parameter.default is parameter.empty and parameter.name not in (*_EVALUATION, *others):
            raise ValueError(
                f"the {home} module also takes {parameter.name!r}, which is not known here; give it a default, or "
                "wrap the module in one that takes the input alone"
            )
    return {p.name: _EVALUATION[p.name] for p in parameters if p.name in _EVALUATION}


def checked(network: AnyTrained, variables: Variables) -> AnyTrained:
    """The network, if it makes logits of two inputs of zeros, which is tried.

    Raises:
        ValueError: If not: with the shapes that were met, what is wrong, and a line that was seen to work, if any.
    """
    problem, error = _problem(network, variables)
    if not problem:
        return network
    given = [_BATCH, *network.shape] if network.batched else list(network.shape)
    advice = network.hints.get(type(error).__name__) or _advice(network, variables)
    raise ValueError(
        f"given {'two examples' if network.batched else 'one example'} of zeros, {given}, the {network.home} module "
        f"{problem}. {advice}"
    ) from error


def _problem(network: Trained, variables: Variables) -> tuple[str, Exception | None]:
    """What is wrong with what a network makes of zeros; empty if nothing is."""
    try:
        outputs = network.tried(variables)
    except Exception as error:
        first = next(iter(str(error).strip().splitlines()), "")
        return f"raises {type(error).__name__}: {first.rstrip('.')}", error
    if not hasattr(outputs, "shape"):
        return f"returns {_described(outputs)}, not logits [batch, classes] alone", None
    shape = tuple(outputs.shape)
    if not jnp.issubdtype(outputs.dtype, jnp.floating):
        return f"returns {outputs.dtype} numbers {list(shape)}, classes perhaps, and not logits", None
    if shape in ((_BATCH,), (_BATCH, 1)):
        return "returns one number per example, and a classifier needs a logit per class", None
    if len(shape) != 2 or shape[0] != _BATCH:
        return f"returns {list(shape)}, not logits [batch, classes] of a batch of two", None
    return "", None


def _described(outputs: Any) -> str:
    name = type(outputs).__name__
    if isinstance(outputs, Mapping):
        return f"a {name} of {', '.join(map(repr, outputs))}"
    if isinstance(outputs, Sequence):
        return f"a {name} of {len(outputs)}: {', '.join(str(list(getattr(o, 'shape', ['?']))) for o in outputs)}"
    return f"a {name}"


def _advice(network: Trained, variables: Variables) -> str:
    for remedy in (*_shapes(network.shape), *_PICKS, *network.remedies()):
        changed = network.replace(**remedy.changes)
        if changed != network and not _problem(changed, variables)[0]:
            return f"This works: {line(network.home, changed.shape, remedy.text, remedy.module)}"
    return (
        "Wrap the module in one that takes a batch of pixels in [0, 1] and returns the logits; `prepare`, `logits` and "
        "`batched` say how another one is called"
    )


def line(home: str, shape: tuple[int, ...], option: str = "", module: str = "module") -> str:
    """The line that makes a model."""
    text = _LINES[home].format(shape=shape, module=module)
    return f"{text[:-1]}, {option})" if option else text


def _shapes(shape: tuple[int, ...]) -> list[Remedy]:
    """Other shapes that may have been meant: height, width, channels where channels come first; no batch axis."""
    are_first = len(shape) == 3 and shape[0] < shape[2]
    others = [(*shape[1:], shape[0])] * are_first + [shape[1:]] * (len(shape) > 1)
    return [Remedy("", {"shape": other}) for other in others]


_PICKS = (
    Remedy("logits=lambda outputs: outputs[0]", {"logits": lambda outputs: outputs[0]}),
    Remedy("logits=lambda outputs: outputs[1]", {"logits": lambda outputs: outputs[1]}),
    Remedy('logits=lambda outputs: outputs["logits"]', {"logits": lambda outputs: outputs["logits"]}),
    Remedy("logits=lambda outputs: outputs.logits", {"logits": lambda outputs: outputs.logits}),
)
BATCHED = (Remedy("batched=True", {"batched": True}), Remedy("batched=False", {"batched": False}))
_OF_JAX = (
    *BATCHED,
    Remedy(
        "prepare=lambda images: images.reshape(len(images), -1)",
        {"prepare": lambda images: images.reshape(len(images), -1)},
    ),
    Remedy("prepare=lambda images: images[..., 0]", {"prepare": lambda images: images[..., 0]}),
    Remedy(
        "prepare=lambda images: jnp.moveaxis(images, -1, 1)", {"prepare": lambda images: jnp.moveaxis(images, -1, 1)}
    ),
    Remedy("logits=lambda z: jnp.stack([0 * z, z], axis=-1)", {"logits": lambda z: jnp.stack([0 * z, z], axis=-1)}),
    Remedy(
        "logits=lambda z: jnp.concatenate([0 * z, z], axis=-1)",
        {"logits": lambda z: jnp.concatenate([0 * z, z], axis=-1)},
    ),
)


def model(network: Trained, variables: Variables) -> Model:
    """A checked network with its variables."""
    variables = jax.tree.map(jnp.asarray, variables)
    return Model(checked(network, variables), variables)
