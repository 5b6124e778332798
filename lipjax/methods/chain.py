"""Several methods as one."""

import jax

from lipjax.types import Batch, KeyArray, Method, Model, Network, Output, Params, Scalar, Terms


class Chain(Method):
    """What all the methods do, in their order; made by `chain`.

    Attributes:
        methods: The methods, at most one of them with a loss of its own.
    """

    methods: tuple[Method, ...] = ()

    def check(self) -> None:
        if (count := len(self._with_loss())) > 1:
            raise ValueError(f"at most one method may replace the loss, got {count}")

    def _with_loss(self) -> list[Method]:
        return [method for method in self.methods if method.replaces_loss]

    @property
    def replaces_loss(self) -> bool:
        """Whether one of them does."""
        return bool(self._with_loss())

    def perturb(self, key: KeyArray, model: Model, batch: Batch) -> Batch:
        """All perturbations, one after another."""
        for index, method in enumerate(self.methods):
            batch = method.perturb(jax.random.fold_in(key, index), model, batch)
        return batch

    def penalize(self, key: KeyArray, model: Model, batch: Batch, output: Output) -> Terms:
        """The terms of all."""
        terms: dict[str, Scalar] = {}
        for index, method in enumerate(self.methods):
            new = method.penalize(jax.random.fold_in(key, index), model, batch, output)
            if clash := terms.keys() & new.keys():
                raise ValueError(f"two methods name a penalty term {sorted(clash)[0]!r}")
            terms.update(new)
        return terms

    def loss(self, model: Model, batch: Batch, output: Output) -> Terms:
        """The loss of the one that replaces it."""
        return (self._with_loss() or [Method()])[0].loss(model, batch, output)

    def retract(self, key: KeyArray, params: Params) -> Params:
        """All retractions, one after another."""
        for index, method in enumerate(self.methods):
            params = method.retract(jax.random.fold_in(key, index), params)
        return params

    def project(self, params: Params) -> Params:
        """All projections, one after another."""
        for method in self.methods:
            params = method.project(params)
        return params

    def extend(self, network: Network) -> Network:
        """The network with what all of them train beside it."""
        for method in self.methods:
            network = method.extend(network)
        return network


def chain(*methods: Method) -> Chain:
    """One method that does what all the methods do, in their order.

    Perturbations, retractions and projections are composed, penalty terms are collected. Each method gets a key of
    its own.

    Args:
        *methods: Methods, at most one of them with a loss of its own.

    Returns:
        The joint method; with no methods, plain training.

    Raises:
        ValueError: If two methods replace the loss; or, when the penalties are first computed, if two of them
            name a term alike.

    Examples:
        >>> class halve(Method):
        ...     def project(self, params):
        ...         return params / 2
        >>> float(chain(halve(), halve()).project(jax.numpy.array(8.0)))
        2.0
    """
    return Chain(methods)
