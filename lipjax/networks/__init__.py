"""Networks: families of functions as values, built from layers that a system replaces."""

from lipjax.networks.cnn import cnn as cnn
from lipjax.networks.cnn import mlp as mlp
from lipjax.networks.from_equinox import from_equinox as from_equinox
from lipjax.networks.from_functions import from_functions as from_functions
from lipjax.networks.from_linen import from_linen as from_linen
from lipjax.networks.from_nnx import from_nnx as from_nnx
from lipjax.networks.from_torch import from_torch as from_torch
from lipjax.networks.linen import linen as linen
from lipjax.networks.per_class import per_class as per_class
from lipjax.networks.resnet import preact_resnet as preact_resnet
from lipjax.networks.resnet import wide_resnet as wide_resnet
