"""The vocabulary of lipjax: small records of arrays and of pure functions. Read this page first.

A `Dataset` holds a train and a test `Batch`. A `Network` is a function family, and a `Model` is a network together
with its variables. A `Method` is what training does differently, as hooks. An `Attack` climbs any scalar function of
one input inside a ball, a `BoundaryAttack` walks to where a function changes its sign; an `Estimator` says how steep a
function is near a point, and shows where.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key, Num, PyTree, Shaped

from lipjax.losses import cross_entropy
from lipjax.values import Json, Value, setting, to_json

KeyArray: TypeAlias = Key[Array, ""]
Scalar: TypeAlias = Float[Array, ""]
Params: TypeAlias = PyTree[Float[Array, "..."]]
State: TypeAlias = PyTree[Shaped[Array, "..."]]
Point: TypeAlias = Float[Array, "*dims"]
Labels: TypeAlias = Int[Array | np.ndarray, " batch"] | Float[Array | np.ndarray, "batch classes"]
"""One class of each example, or the probabilities of all."""
Label: TypeAlias = Int[Array, ""] | Float[Array, " classes"]
"""The same of one example."""
Box: TypeAlias = tuple[float, float] | None
"""Lowest and highest legal value of an input's entries; None where every real number is legal."""


class Batch(NamedTuple):
    """Examples with their labels.

    Attributes:
        inputs: Images `[batch, height, width, channel]` with pixels in [0, 1], or any array with a leading batch axis.
            Images may also be uint8 levels 0..255 that stand for level / 255 (a quarter of the memory); `pixels`
            turns them into floats.
        labels: Class indices `[batch]`. Within a training step they may be soft: probabilities `[batch, classes]`, as
            `methods.mixup` makes them.

    Examples:
        >>> batch = Batch(np.array([[0, 51], [102, 255]], np.uint8), np.array([3, 7]))
        >>> pixels(batch.inputs)
        Array([[0. , 0.2],
               [0.4, 1. ]], dtype=float32)
    """

    inputs: Num[Array | np.ndarray, "batch ..."]
    labels: Labels


class Dataset(NamedTuple):
    """Train and test examples of a classification problem.

    Attributes:
        name: What `lipjax.datasets.load` was asked for.
        train: Training examples.
        test: Test examples.
        num_classes: Number of classes; labels are in `[0, num_classes)`.
        box: Lowest and highest legal input value, `(0.0, 1.0)` for images.
        class_names: One name per class, or empty.

    Examples:
        >>> black = Batch(np.zeros((5, 28, 28, 1), np.uint8), np.zeros(5, int))
        >>> Dataset("black", train=black, test=black, num_classes=10).input_shape
        (28, 28, 1)
    """

    name: str
    train: Batch
    test: Batch
    num_classes: int
    box: Box = (0.0, 1.0)
    class_names: tuple[str, ...] = ()

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one input, without the batch axis."""
        return tuple(self.train.inputs.shape[1:])


class Variables(NamedTuple):
    """What a network remembers.

    Attributes:
        params: What the optimizer moves.
        state: What the forward pass moves (batch statistics); `{}` if there is none.

    Examples:
        >>> from lipjax import networks
        >>> variables = networks.mlp(3, widths=(4,)).init(jax.random.key(0), (2,))
        >>> sum(leaf.size for leaf in jax.tree.leaves(variables.params)), 2 * 4 + 4 + 4 * 3 + 3
        (27, 27)
        >>> variables.state
        {}
    """

    params: Params
    state: State


class Output(NamedTuple):
    """What a network returns for a batch.

    Attributes:
        logits: Class scores before the softmax, `[batch, classes]`.
        representations: Named hidden representations in depth order, each taken after its nonlinearity.

    Examples:
        >>> from lipjax import networks
        >>> network = networks.mlp(3, widths=(4, 5))
        >>> output, _ = network.apply(network.init(jax.random.key(0), (2,)), jnp.zeros((7, 2)), train=False)
        >>> output.logits.shape, {name: hidden.shape for name, hidden in output.representations.items()}
        ((7, 3), {'dense0': (7, 4), 'dense1': (7, 5)})
    """

    logits: Float[Array, "batch classes"]
    representations: dict[str, Float[Array, "batch ..."]]


class Network(Value):
    """A function family. Inputs are pixels in [0, 1]; standardisation is the first layer.

    Examples:
        >>> class linear(Network):
        ...     def apply(self, variables, inputs, *, train):
        ...         return Output(inputs @ variables.params, {}), variables.state
        >>> model = Model(linear(), Variables(jnp.array([[1.0, 0.0], [1.0, 2.0]]), {}))
        >>> model.single(jnp.array([3.0, 4.0]))
        Array([7., 8.], dtype=float32)
    """

    def init(self, key: KeyArray, input_shape: tuple[int, ...]) -> Variables:
        """Fresh variables for inputs of a shape, without the batch axis."""
        raise NotImplementedError

    def apply(self, variables: Variables, inputs: Float[Array, "batch ..."], *, train: bool) -> tuple[Output, State]:
        """Output and new state for a batch; in training mode the state may move."""
        raise NotImplementedError

    def freeze(self, variables: Variables, input_shape: tuple[int, ...]) -> "Model":
        """The trained network with plain kernels: the same function in evaluation mode, up to rounding.

        Networks that differ only in how they store the kernels that they apply are equal when frozen, and so share the
        programs that measure them.
        """
        return Model(self, variables)

    def identity(self, variables: Variables) -> Json:
        """What it is beside its variables: equal for the same function only, in every process."""
        return {"network": to_json(self)}


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Model:
    """A network with its variables: what the hooks of a method receive.

    A JAX pytree whose leaves are its arrays, so a model goes through `jit`, `grad` and `vmap` as it is.

    Attributes:
        network: Its pure functions.
        variables: What they are called with.
        start: The parameters before training, where they are known.

    Examples:
        >>> from lipjax import networks
        >>> network = networks.mlp(3, widths=())
        >>> model = Model(network, network.init(jax.random.key(0), (2,)))
        >>> halved = jax.tree.map(lambda leaf: leaf / 2, model)
        >>> x = jnp.array([1.0, 0.5])
        >>> bool(jnp.allclose(halved.single(x), model.single(x) / 2))
        True
    """

    network: Network = dataclasses.field(metadata={"static": True})
    variables: Variables
    start: Params | None = None

    def __call__(self, inputs: Float[Array, "batch ..."], train: bool = False) -> tuple[Output, State]:
        """Output and new state for a batch of inputs."""
        return self.network.apply(self.variables, inputs, train=train)

    def single(self, x: Float[Array, "..."]) -> Float[Array, " classes"]:
        """Logits of one example without a batch axis, in evaluation mode."""
        output, _ = self(x[None])
        return output.logits[0]


def single(f: Model | Callable[[Any], Any]) -> Callable[..., Any]:
    """A model, or a function, as a function of one input that may cross `jit`: its arrays are leaves of a pytree.

    So two models of one network share one compiled program. A method of a pytree of arrays, such as `model.single`,
    becomes a function of its leaves; other functions are part of the program.

    Examples:
        >>> jax.tree.leaves(single(jnp.sin))
        []
    """
    function = f.single if isinstance(f, Model) else f
    if isinstance(function, jax.tree_util.Partial):
        return function
    owner = getattr(function, "__self__", function)
    if all(isinstance(leaf, jax.Array | np.ndarray) for leaf in jax.tree.leaves(owner)):
        return jax.tree_util.Partial(getattr(function, "__func__", type(function).__call__), owner)
    return jax.tree_util.Partial(function)


Terms: TypeAlias = Mapping[str, Scalar]
"""Named scalar terms: summed to make the training loss, and logged one by one."""


class Method(Value):
    """What differs from plain training, as hooks; `Method()` is plain training. `methods.chain` joins methods.

    Examples:
        >>> model, batch = Model(Network(), Variables({}, {})), Batch(jnp.zeros((2, 1)), jnp.array([0, 3]))
        >>> Method().loss(model, batch, Output(jnp.zeros((2, 4)), {}))  # log 4
        {'cross_entropy': Array(1.3862944, dtype=float32)}
        >>> class squared(Method):
        ...     def loss(self, model, batch, output):
        ...         return {"squared": jnp.mean((output.logits - jax.nn.one_hot(batch.labels, 4)) ** 2)}
        >>> squared().loss(model, batch, Output(jnp.zeros((2, 4)), {})), squared().replaces_loss
        ({'squared': Array(0.25, dtype=float32)}, True)
    """

    def perturb(self, key: KeyArray, model: Model, batch: Batch) -> Batch:
        """The batch that training sees, before the forward pass."""
        return batch

    def penalize(self, key: KeyArray, model: Model, batch: Batch, output: Output) -> Terms:
        """Named terms that are added to the loss."""
        return {}

    def loss(self, model: Model, batch: Batch, output: Output) -> Terms:
        """Named terms of the loss: the mean cross-entropy, unless a method replaces it."""
        return {"cross_entropy": jnp.mean(jax.vmap(cross_entropy)(output.logits, jnp.asarray(batch.labels)))}

    @property
    def replaces_loss(self) -> bool:
        """Whether the loss is the method's own."""
        return type(self).loss is not Method.loss

    def retract(self, key: KeyArray, params: Params) -> Params:
        """The parameters after the optimizer's update, for what is random there."""
        return params

    def project(self, params: Params) -> Params:
        """The parameters after `retract`."""
        return params

    def extend(self, network: Network) -> Network:
        """The network with what the method trains beside it."""
        return network


class System(NamedTuple):
    """One row of the comparison: a network trained by a method.

    Examples:
        >>> from lipjax import methods, networks
        >>> System(networks.mlp(10), methods.laplacian(1e-3))
        System(network=mlp(num_classes=10), method=laplacian(weight=0.001))
    """

    network: Network
    method: Method


Objective: TypeAlias = Callable[[Point], Scalar]
"""A scalar function of one input."""

VectorFn: TypeAlias = Callable[[Point], Float[Array, "..."]]
"""The function whose steepness is asked for: one input to one output, both arrays without a batch axis."""


class Attack(Value):
    """Where in the ball around a center is a scalar function largest? It climbs whatever it is given.

    A plain function `(key, objective, center) -> point` is as good wherever an attack is asked for.

    Attributes:
        ball: Where points may go: a `lipjax.norms.Ball`.

    Examples:
        >>> from lipjax import norms
        >>> class sign_step(Attack):
        ...     def __call__(self, key, objective, center):
        ...         return center + self.ball.radius * jnp.sign(jax.grad(objective)(center))
        >>> slope, center = jnp.array([3.0, -4.0]), jnp.array([0.5, 0.5])
        >>> point = sign_step(norms.linf.ball(0.1))(jax.random.key(0), lambda x: slope @ x, center)
        >>> slope @ (point - center)  # the radius times the slope's L1 norm
        Array(0.7, dtype=float32)
    """

    ball: Any = setting()

    def __call__(self, key: KeyArray, objective: Objective, center: Point) -> Point:
        """The highest point that it found in the ball around the center."""
        raise NotImplementedError


class BoundaryAttack(Value):
    """Where is the nearest point at which a function changes its sign? It walks to the boundary.

    Attributes:
        ball: The norm in which it is nearest, and where points may go: a `lipjax.norms.Ball`, its radius may be
            infinite.

    Examples:
        >>> from lipjax import norms
        >>> class newton(BoundaryAttack):
        ...     def __call__(self, key, margins, center):
        ...         value, slope = jax.value_and_grad(margins)(center)
        ...         return center - value * slope / jnp.sum(slope**2)
        >>> newton(norms.l2.ball(1.0))(jax.random.key(0), lambda x: 3 * x[0] + 4 * x[1] - 5, jnp.zeros(2))
        Array([0.6, 0.8], dtype=float32)
    """

    ball: Any = setting()

    def __call__(self, key: KeyArray, margins: VectorFn, center: Point) -> Point:
        """The nearest point beyond a boundary that it found.

        Args:
            key: A typed key.
            margins: A scalar (a targeted attack), or several: each entry is negative at the center and positive beyond
                a boundary.
            center: Where to start.
        """
        raise NotImplementedError


AttackFn: TypeAlias = Callable[[KeyArray, VectorFn, Point], Point]
"""`(key, objective, center) -> point`: an `Attack`, a `BoundaryAttack`, or a plain function that climbs."""


class Estimate(NamedTuple):
    """A lower bound that was attained, and where.

    Attributes:
        value: The bound.
        witness: The point that attains it: re-evaluating there gives `value`.

    Examples:
        >>> from lipjax.estimators.quotient import difference_quotient
        >>> from lipjax.norms import l2
        >>> slope = difference_quotient(lambda x: x @ x, jnp.array([3.0, 4.0]), norm_in=l2, norm_out=l2)
        >>> further = jnp.array([6.0, 8.0])
        >>> Estimate(slope(further), further).value  # (100 - 25) / 5
        Array(15., dtype=float32)
    """

    value: Scalar
    witness: Point


class Estimator(Value):
    """How steep a function is near a point, at least; a new one is one more subclass.

    Those that search a ball are `estimators.LocalEstimator`.

    Examples:
        >>> class slope(Estimator):
        ...     def __call__(self, key, f, x):
        ...         return Estimate(jnp.linalg.norm(jax.jacobian(f)(x), ord=2), x)
        >>> slope()(jax.random.key(0), lambda x: jnp.array([3 * x[0], 4 * x[1]]), jnp.zeros(2))
        Estimate(value=Array(4., dtype=float32), witness=Array([0., 0.], dtype=float32))
    """

    def __call__(self, key: KeyArray, f: VectorFn, x: Point) -> Estimate:
        """The steepest that was found; the same key finds the same."""
        raise NotImplementedError


def pixels(inputs: Num[Array | np.ndarray, "..."]) -> Float[Array, "..."]:
    """Inputs as floats: uint8 levels become level / 255, floats pass unchanged.

    Raises:
        ValueError: If they are neither: whole numbers of another type may be on any scale.

    Examples:
        >>> pixels(np.array([0, 51, 255], np.uint8))
        Array([0. , 0.2, 1. ], dtype=float32)
    """
    if inputs.dtype != np.uint8 and not jnp.issubdtype(inputs.dtype, jnp.floating):
        raise ValueError(f"inputs must be uint8 levels or floats, got {inputs.dtype}")
    # A table, because compilers replace the division by a product that differs in the last bit for half of the levels.
    table = jnp.asarray(np.arange(256, dtype=np.float32) / np.float32(255))
    return table[inputs] if inputs.dtype == np.uint8 else jnp.asarray(inputs)
