"""Methods: what training does differently, as hooks. One file = the formula as a pure function and its value."""

from lipjax.methods.adversarial import MADRY_CIFAR10 as MADRY_CIFAR10
from lipjax.methods.adversarial import MADRY_MNIST as MADRY_MNIST
from lipjax.methods.adversarial import adversarial as adversarial
from lipjax.methods.adversarial import fast_adversarial as fast_adversarial
from lipjax.methods.chain import chain as chain
from lipjax.methods.gaussian import gaussian as gaussian
from lipjax.methods.input_gradient import input_gradient as input_gradient
from lipjax.methods.input_gradient import input_gradient_penalty as input_gradient_penalty
from lipjax.methods.jacobian import jacobian as jacobian
from lipjax.methods.jacobian import jacobian_penalty as jacobian_penalty
from lipjax.methods.l2_nonexpansive import l2_nonexpansive as l2_nonexpansive
from lipjax.methods.l2_nonexpansive import nonexpansive_penalty as nonexpansive_penalty
from lipjax.methods.l2_nonexpansive import with_scales as with_scales
from lipjax.methods.laplacian import laplacian as laplacian
from lipjax.methods.laplacian import laplacian_smoothness as laplacian_smoothness
from lipjax.methods.local_linearity import linearity_violation as linearity_violation
from lipjax.methods.local_linearity import local_linearity as local_linearity
from lipjax.methods.local_slope import local_slope as local_slope
from lipjax.methods.mixup import label_smoothing as label_smoothing
from lipjax.methods.mixup import mixup as mixup
from lipjax.methods.offset import offset as offset
from lipjax.methods.offset import offset_cross_entropy as offset_cross_entropy
from lipjax.methods.parseval import parseval as parseval
from lipjax.methods.parseval import parseval_penalty as parseval_penalty
from lipjax.methods.parseval import parseval_retraction as parseval_retraction
from lipjax.methods.trades import trades as trades
from lipjax.types import Method

NAMES: dict[str, type[Method]] = {
    name: value for name, value in globals().items() if isinstance(value, type) and issubclass(value, Method)
}
del NAMES["Method"]
"""All methods by their names."""
