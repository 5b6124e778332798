"""Training: one step that any method fits into, the loop around it, and optimisers and schedules as values."""

from lipjax.training.interruption import Stopped as Stopped
from lipjax.training.interruption import raising as raising
from lipjax.training.loop import Trainee as Trainee
from lipjax.training.loop import fit as fit
from lipjax.training.loop import fit_together as fit_together
from lipjax.training.optimizers import Optimizer as Optimizer
from lipjax.training.optimizers import adam as adam
from lipjax.training.optimizers import adamw as adamw
from lipjax.training.optimizers import sgd as sgd
from lipjax.training.program import Way as Way
from lipjax.training.recorder import Execution as Execution
from lipjax.training.recorder import Log as Log
from lipjax.training.recorder import NonFiniteLoss as NonFiniteLoss
from lipjax.training.schedules import Schedule as Schedule
from lipjax.training.schedules import constant as constant
from lipjax.training.schedules import cosine as cosine
from lipjax.training.schedules import drops as drops
from lipjax.training.step import Step as Step
from lipjax.training.step import TrainState as TrainState
from lipjax.training.step import init as init
from lipjax.training.step import make_step as make_step
from lipjax.training.trackers import Tracker as Tracker
from lipjax.training.trackers import mlflow as mlflow
from lipjax.training.trackers import tensorboard as tensorboard
from lipjax.training.trackers import wandb as wandb
