"""Training: one step that any method fits into, and the loop around it."""

from lipjax.training.loop import fit as fit
from lipjax.training.recorder import Log as Log
from lipjax.training.recorder import NonFiniteLoss as NonFiniteLoss
from lipjax.training.step import Step as Step
from lipjax.training.step import TrainState as TrainState
from lipjax.training.step import init as init
from lipjax.training.step import make_step as make_step
from lipjax.training.step import mean_cross_entropy as mean_cross_entropy
