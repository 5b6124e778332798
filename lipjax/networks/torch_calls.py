"""Functions of PyTorch inside JAX programs: values, derivatives of any order in both modes, and whole batches.

JAX knows one primitive. It calls, on the host, a function of torch tensors with a leading batch axis, whose examples
don't affect each other. What JAX asks of a primitive is again such a function:

    Logits      (x) -> f(x)
    Push(g)     (x, dx) -> J_g(x) dx, forward mode
    Pull(g)     (x, dy) -> J_g(x)^T dy, reverse mode; the transpose of Push

so a gradient is one pass backwards in torch, and everything that differentiates a function of JAX takes one of torch.
"""

import contextlib
import copy
import dataclasses
import hashlib
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jaxtyping import Array, Float

with contextlib.suppress(ImportError):  # who has no torch has no module of it, and may still read this file's examples
    import torch

Shape: TypeAlias = tuple[int, ...]
Tensor: TypeAlias = Any


class Frozen:
    """A copy of a torch module in evaluation mode, computed in the type of its input, with its weights as stored."""

    def __init__(self, module: Any) -> None:
        self.module = copy.deepcopy(module).eval().requires_grad_(False)
        self.device = next((tensor.device for tensor in self.module.state_dict().values()), torch.device("cpu"))
        self._in_type: dict[Any, Any] = {}

    def logits(self, *settings: Any) -> "Logits":
        """Its logits; settings as for `Logits`."""
        return Logits(self, *settings)

    def flattened(self) -> "Frozen":
        """The module, behind one that makes each example one row."""
        return Frozen(torch.nn.Sequential(torch.nn.Flatten(), self.module))

    @property
    def digest(self) -> str:
        """SHA-256 of its text and its weights."""
        total = hashlib.sha256(repr(self.module).encode())
        for name, tensor in self.module.state_dict().items():
            total.update(f"{name}{tensor.dtype}{tuple(tensor.shape)}".encode())
            total.update(tensor.cpu().double().numpy().tobytes())
        return total.hexdigest()

    def tensor(self, array: Any) -> Tensor:
        """A copy of an array on the module's device; its type is one that the module can take from now on."""
        found = torch.from_numpy(np.array(array)).to(self.device)
        if found.dtype not in self._in_type:
            self._in_type[found.dtype] = copy.deepcopy(self.module).to(found.dtype)
        return found

    def __call__(self, inputs: Tensor) -> Any:
        return self._in_type[inputs.dtype](inputs)


@dataclasses.dataclass(frozen=True)
class Logits:
    """The logits of a batch.

    Attributes:
        module: The module.
        logits: What of its outputs are the logits; None where they are.
        batched: Whether it takes batches.
        classes: Number of logits; 0 while it is not known.
    """

    module: Frozen
    logits: Callable[[Any], Any] | None
    batched: bool
    classes: int = 0

    def __call__(self, inputs: Tensor) -> Any:
        call = self.module if self.batched else torch.func.vmap(self.module)
        outputs = call(inputs)
        return outputs if self.logits is None else self.logits(outputs)

    def shapes(self, inputs: Shape) -> list[Shape]:
        """Shapes of its results."""
        return [(inputs[0], self.classes)]

    def of(self, inputs: Float[Array, "batch ..."]) -> Float[Array, "batch classes"]:
        """The logits of a batch, for JAX."""
        return _torch_call.bind(inputs, function=self)[0]

    def outputs(self, inputs: Float[Array, "batch ..."]) -> Any:
        """What the module returns for a batch; as NumPy's where it is a tensor."""
        found = self(self.module.tensor(inputs))
        return found.detach().cpu().numpy() if isinstance(found, torch.Tensor) else found


@dataclasses.dataclass(frozen=True)
class Push:
    """The derivative of a function along a direction."""

    of: Any

    def __call__(self, *arguments: Tensor) -> Any:
        half = len(arguments) // 2
        return torch.func.jvp(self.of, arguments[:half], arguments[half:])[1]

    def shapes(self, *arguments: Shape) -> list[Shape]:
        """Shapes of its results."""
        return self.of.shapes(*arguments[: len(arguments) // 2])


@dataclasses.dataclass(frozen=True)
class Pull:
    """The transposed derivative of a function; its first `count` arguments are the function's."""

    of: Any
    count: int

    def __call__(self, *arguments: Tensor) -> Any:
        outputs, pull = torch.func.vjp(self.of, *arguments[: self.count])
        rest = arguments[self.count :]
        return pull(rest if isinstance(outputs, tuple) else rest[0])

    def shapes(self, *arguments: Shape) -> list[Shape]:
        """Shapes of its results."""
        return list(arguments[: self.count])


def _logits_of(function: Any) -> Logits:
    return function if isinstance(function, Logits) else _logits_of(function.of)


@dataclasses.dataclass(frozen=True)
class Words:
    """A function of float64 numbers as pairs of words: on the threads that call back JAX would round float64.

    There it has forgotten `enable_x64`.
    """

    of: Any

    def shapes(self, *arguments: Shape) -> list[Shape]:
        """Shapes of its results."""
        return [(*shape, 2) for shape in self.of.shapes(*[shape[:-1] for shape in arguments])]


_torch_call = Primitive("torch_call")
_torch_call.multiple_results = True


def _by_torch(arrays: Sequence[Any], function: Any) -> list[np.ndarray]:
    if isinstance(function, Words):
        return [_words(array) for array in _by_torch([_number(array) for array in arrays], function.of)]
    results = function(*map(_logits_of(function).module.tensor, arrays))
    results = results if isinstance(results, tuple) else (results,)
    return [np.ascontiguousarray(result.detach().cpu().numpy().astype(arrays[0].dtype)) for result in results]


def _words(array: Any) -> np.ndarray:
    return array[..., None].view(np.uint32)


def _number(words: Any) -> np.ndarray:
    return np.ascontiguousarray(words).view(np.float64)[..., 0]


@_torch_call.def_impl
def _at_once(*arrays: Any, function: Any) -> list[Array]:
    return [jnp.asarray(array) for array in _by_torch(arrays, function)]


def _in_words(*arrays: Any, function: Any) -> list[Array]:
    words = [jax.lax.bitcast_convert_type(array, np.uint32) for array in arrays]
    found = _torch_call.bind(*words, function=Words(function))
    return [jax.lax.bitcast_convert_type(word, np.float64) for word in found]


def _lowered(context: Any, *operands: Any, function: Any) -> Any:
    """The call in a program, with NumPy's arrays.

    `jax.pure_callback` makes arrays of JAX of them, and waits for these on the thread that has to make them: on one
    core for ever.
    """
    if context.avals_in[0].dtype == np.float64:
        return mlir.lower_fun(_in_words, multiple_results=True)(context, *operands, function=function)
    results, _, _ = mlir.emit_python_callback(
        context,
        lambda *arrays: tuple(_by_torch(arrays, function)),
        None,
        list(operands),
        context.avals_in,
        context.avals_out,
        has_side_effect=False,
        returns_token=False,
    )
    return results


@_torch_call.def_abstract_eval
def _abstract(*arrays: Any, function: Any) -> list[Any]:
    return [arrays[0].update(shape=shape) for shape in function.shapes(*[array.shape for array in arrays])]


def _differentiated(arrays: Sequence[Any], tangents: Sequence[Any], *, function: Any) -> tuple[Any, Any]:
    along = [ad.instantiate_zeros(tangent) for tangent in tangents]
    return _torch_call.bind(*arrays, function=function), _torch_call.bind(*arrays, *along, function=Push(function))


def _transposed(cotangents: Sequence[Any], *arguments: Any, function: Any) -> list[Any]:
    half = len(arguments) // 2
    points, along = arguments[:half], arguments[half:]
    given = [ad.instantiate_zeros(cotangent) for cotangent in cotangents]
    pulled = _torch_call.bind(*points, *given, function=Pull(function.of, half))
    linear = [ad.is_undefined_primal(argument) for argument in along]
    return [None] * half + [found if wanted else None for found, wanted in zip(pulled, linear, strict=True)]


def _mapped(arrays: Sequence[Any], axes: Sequence[int | None], *, function: Any) -> tuple[list[Any], list[int]]:
    size = next(array.shape[axis] for array, axis in zip(arrays, axes, strict=True) if axis is not None)
    front = [
        jnp.broadcast_to(array, (size, *array.shape)) if axis is None else jnp.moveaxis(array, axis, 0)
        for array, axis in zip(arrays, axes, strict=True)
    ]
    found = _torch_call.bind(*[array.reshape(-1, *array.shape[2:]) for array in front], function=function)
    return [result.reshape(size, -1, *result.shape[1:]) for result in found], [0] * len(found)


mlir.register_lowering(_torch_call, _lowered, cacheable=False)
ad.primitive_jvps[_torch_call] = _differentiated
ad.primitive_transposes[_torch_call] = _transposed
batching.primitive_batchers[_torch_call] = _mapped
