"""Methods: what training does differently, as hooks. One file = the formula as a pure function and its constructor."""

from lipjax.methods.adversarial import adversarial as adversarial
from lipjax.methods.chain import chain as chain
from lipjax.methods.l2_nonexpansive import l2_nonexpansive as l2_nonexpansive
from lipjax.methods.l2_nonexpansive import nonexpansive_penalty as nonexpansive_penalty
from lipjax.methods.l2_nonexpansive import with_scales as with_scales
from lipjax.methods.laplacian import laplacian as laplacian
from lipjax.methods.laplacian import laplacian_smoothness as laplacian_smoothness
from lipjax.methods.local_slope import local_slope as local_slope
from lipjax.methods.parseval import parseval as parseval
from lipjax.methods.parseval import parseval_penalty as parseval_penalty
from lipjax.methods.parseval import parseval_retraction as parseval_retraction
