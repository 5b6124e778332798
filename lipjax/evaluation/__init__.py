"""Is it robust? Answers per example, clean, corrupted and attacked, and the field's summary figures.

Every function takes a classifier: a `Model`, or any JAX callable from one input to its logits.

    >>> import jax, jax.numpy as jnp
    >>> from lipjax import attacks, norms
    >>> from lipjax.types import Batch
    >>> f = lambda x: jnp.stack([x.mean(), 0.5])              # your own callable: one image to its logits
    >>> batch = Batch(jnp.array([0.2, 0.9]).reshape(2, 1, 1, 1) * jnp.ones((2, 8, 8, 1)), jnp.array([1, 0]))
    >>> accuracy(f, batch)
    1.0
    >>> robust_accuracy(jax.random.key(0), f, batch, attacks.pgd(norms.linf.ball(0.35)))
    0.5
"""

from lipjax.evaluation.accuracies import accuracy as accuracy
from lipjax.evaluation.accuracies import by_family as by_family
from lipjax.evaluation.accuracies import corruption_accuracy as corruption_accuracy
from lipjax.evaluation.accuracies import mean_corruption_accuracy as mean_corruption_accuracy
from lipjax.evaluation.accuracies import relative_performance as relative_performance
from lipjax.evaluation.accuracies import robust_accuracy as robust_accuracy
from lipjax.evaluation.cascade.cascade import CascadeResult as CascadeResult
from lipjax.evaluation.cascade.cascade import cascade as cascade
from lipjax.evaluation.cascade.suites import Stage as Stage
from lipjax.evaluation.cascade.suites import Suite as Suite
from lipjax.evaluation.cascade.suites import fast as fast
from lipjax.evaluation.cascade.suites import standard as standard
from lipjax.evaluation.corruption_error import ALEXNET_ERRORS as ALEXNET_ERRORS
from lipjax.evaluation.corruption_error import Errors as Errors
from lipjax.evaluation.corruption_error import mean_corruption_error as mean_corruption_error
from lipjax.evaluation.corruption_error import relative_mean_corruption_error as relative_mean_corruption_error
from lipjax.evaluation.examples import Classifier as Classifier
from lipjax.evaluation.examples import attacked as attacked
from lipjax.evaluation.examples import correct as correct
from lipjax.evaluation.examples import corrupted as corrupted
from lipjax.evaluation.examples import logits as logits
from lipjax.evaluation.examples import withstood as withstood
