"""Methods: what training does differently, as hooks. One file = the formula as a pure function and its constructor."""

from lipjax.methods.adversarial import adversarial as adversarial
from lipjax.methods.chain import chain as chain
