"""One update that any method fits into, as a pure function that never learns a method's name."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int, PyTree

from lipjax.losses import likeliest
from lipjax.training.optimizers import Optimizer, as_optimizer
from lipjax.types import (
    Batch,
    KeyArray,
    Method,
    Model,
    Network,
    Params,
    Scalar,
    State,
    Terms,
    Variables,
    pixels,
)


class TrainState(NamedTuple):
    """Where a training run stands.

    Attributes:
        step: How many updates were made.
        variables: Parameters and network state.
        optimizer_state: What optax remembers.

    Examples:
        >>> from lipjax import networks
        >>> state = init(jax.random.key(0), networks.mlp(2, widths=()), (4,), optax.adam(1e-3))
        >>> [sum(leaf.size for leaf in jax.tree.leaves(part)) for part in state]  # two means of all 10, and a count
        [1, 10, 21]
    """

    step: Int[Array, ""]
    variables: Variables
    optimizer_state: PyTree


AnyOptimizer: TypeAlias = Optimizer | optax.GradientTransformation
Step: TypeAlias = Callable[[KeyArray, TrainState, Batch], tuple[TrainState, Terms]]


def init(key: KeyArray, network: Network, input_shape: tuple[int, ...], optimizer: AnyOptimizer) -> TrainState:
    """The state before the first update.

    Args:
        key: A typed key.
        network: What is trained.
        input_shape: Shape of one input, without the batch axis.
        optimizer: A value such as `adam(1e-3)`, or any optax transformation.

    Examples:
        >>> from lipjax import networks
        >>> state = init(jax.random.key(0), networks.mlp(2), (4,), optax.sgd(0.1))
        >>> int(state.step)
        0
    """
    return _init(key, network, as_optimizer(optimizer), input_shape)


@partial(jax.jit, static_argnames="input_shape")
def _init(key: KeyArray, network: Network, optimizer: Optimizer, input_shape: tuple[int, ...]) -> TrainState:
    variables = network.init(key, input_shape)
    return TrainState(jnp.zeros((), jnp.int32), variables, optimizer.init(variables.params))


def _joined(terms: Terms, penalties: Terms) -> Terms:
    taken = {"loss", "accuracy"} & (terms.keys() | penalties.keys())
    if clash := taken | (terms.keys() & penalties.keys()):
        raise ValueError(f"{min(clash)!r} names two metrics: give the term of the loss another name")
    return {**terms, **penalties}


def make_step(network: Network, method: Method, optimizer: AnyOptimizer) -> Step:
    """One update as a pure function: perturb, forward, loss and penalties, gradient, optimizer, retract, project.

    Args:
        network: What is trained.
        method: How it differs from plain training.
        optimizer: A value such as `adam(1e-3)`, or any optax transformation.

    Returns:
        `step(key, state, batch) -> (state, metrics)`, for `jit`, `vmap` and `scan`. The key is the same at every
        step: the step's number is folded in. Metrics are the named terms, their sum `loss`, and `accuracy` on the
        (perturbed) batch before the update.

    Raises:
        ValueError: When first called, if two terms have one name, or a term is named `loss` or `accuracy`.

    Examples:
        >>> from lipjax import networks
        >>> from lipjax.training import sgd
        >>> network, optimizer = networks.mlp(2), sgd(0.1)
        >>> state = init(jax.random.key(0), network, (4,), optimizer)
        >>> step = jax.jit(make_step(network, Method(), optimizer))
        >>> state, metrics = step(jax.random.key(1), state, Batch(jnp.ones((8, 4)), jnp.zeros(8, jnp.int32)))
        >>> sorted(metrics), int(state.step)
        (['accuracy', 'cross_entropy', 'loss'], 1)
    """
    optimizer = as_optimizer(optimizer)

    def objective(params: Params, state: State, key: KeyArray, batch: Batch) -> tuple[Scalar, tuple[State, Terms]]:
        model = Model(network, Variables(params, state))
        output, new_state = model(pixels(batch.inputs), train=True)
        terms = _joined(method.loss(model, batch, output), method.penalize(key, model, batch, output))
        loss = jnp.sum(jnp.stack(list(terms.values())))
        accuracy = jnp.mean(jnp.argmax(output.logits, -1) == jax.vmap(likeliest)(jnp.asarray(batch.labels)))
        return loss, (new_state, {**terms, "loss": loss, "accuracy": accuracy})

    def step(key: KeyArray, state: TrainState, batch: Batch) -> tuple[TrainState, Terms]:
        perturb_key, penalty_key, retract_key = jax.random.split(jax.random.fold_in(key, state.step), 3)
        variables, batch = state.variables, batch._replace(inputs=pixels(batch.inputs))
        batch = method.perturb(perturb_key, Model(network, variables), batch)
        gradients, (network_state, metrics) = jax.grad(objective, has_aux=True)(*variables, penalty_key, batch)
        updates, optimizer_state = optimizer.update(gradients, state.optimizer_state, variables.params)
        params = method.retract(retract_key, optax.apply_updates(variables.params, updates))
        variables = Variables(method.project(params), network_state)
        return TrainState(state.step + 1, variables, optimizer_state), metrics

    return step
