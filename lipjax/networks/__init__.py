"""Networks: function families as two pure functions, with a record of layers that a system can replace."""

from lipjax.networks.aol import aol as aol
from lipjax.networks.from_linen import from_linen as from_linen
from lipjax.networks.l2_nonexpansive import l2_nonexpansive as l2_nonexpansive
from lipjax.networks.layers import Layers as Layers
from lipjax.networks.layers import vanilla as vanilla
from lipjax.networks.nonexpansive import nonexpansive as nonexpansive
from lipjax.networks.orthogonal import orthogonal as orthogonal
from lipjax.networks.parseval import parseval as parseval
from lipjax.networks.parseval import parseval_lassance as parseval_lassance
from lipjax.networks.plain import cnn as cnn
from lipjax.networks.plain import mlp as mlp
from lipjax.networks.resnet import preact_resnet as preact_resnet
from lipjax.networks.resnet import wide_resnet as wide_resnet
from lipjax.networks.sll import sll as sll
from lipjax.networks.spectral import spectral as spectral
