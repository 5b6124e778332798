"""Networks: function families as two pure functions, with a record of layers that a system can replace."""

from lipjax.networks.from_linen import from_linen as from_linen
from lipjax.networks.layers import Layers as Layers
from lipjax.networks.layers import vanilla as vanilla
from lipjax.networks.plain import cnn as cnn
from lipjax.networks.plain import mlp as mlp
