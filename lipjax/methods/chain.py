"""Several methods as one."""

import jax

from lipjax.types import Batch, KeyArray, Method, Model, Output, Params, Scalar, Terms


def chain(*methods: Method) -> Method:
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

    Example:
        >>> halve = Method(project=lambda params: params / 2)
        >>> float(chain(halve, halve).project(jax.numpy.array(8.0)))
        2.0
    """
    losses = [method.loss for method in methods if method.loss is not None]
    if len(losses) > 1:
        raise ValueError(f"at most one method may replace the loss, got {len(losses)}")

    def perturb(key: KeyArray, model: Model, batch: Batch) -> Batch:
        for index, method in enumerate(methods):
            batch = method.perturb(jax.random.fold_in(key, index), model, batch)
        return batch

    def penalize(key: KeyArray, model: Model, batch: Batch, output: Output) -> Terms:
        terms: dict[str, Scalar] = {}
        for index, method in enumerate(methods):
            new = method.penalize(jax.random.fold_in(key, index), model, batch, output)
            if clash := terms.keys() & new.keys():
                raise ValueError(f"two methods name a penalty term {sorted(clash)[0]!r}")
            terms.update(new)
        return terms

    def project(params: Params) -> Params:
        for method in methods:
            params = method.project(params)
        return params

    def retract(key: KeyArray, params: Params) -> Params:
        for index, method in enumerate(methods):
            params = method.retract(jax.random.fold_in(key, index), params)
        return params

    return Method(perturb, penalize, project, losses[0] if losses else None, retract)
