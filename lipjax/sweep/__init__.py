"""Sweeps: many trainings and their measurements, each kept in a directory of its own and computed once.

`cells` say what is trained, `packs` trains several in one program, `computing` does what is missing, `launchers` start
several processes that share the work, `slurm` jobs of a cluster. A cell that one process holds is left to it, whoever
dies leaves all that was finished, and the next one continues: the locks of the operating system and the run directories
are all the state there is.
"""

from lipjax.sweep.cells import Cell as Cell
from lipjax.sweep.cells import grid as grid
from lipjax.sweep.computing import Sweep as Sweep
from lipjax.sweep.computing import run as run
from lipjax.sweep.launchers import local as local
from lipjax.sweep.launchers import num_cores as num_cores
from lipjax.sweep.packs import PACKS as PACKS
from lipjax.sweep.packs import Place as Place
from lipjax.sweep.packs import is_trained as is_trained
from lipjax.sweep.packs import train as train
from lipjax.sweep.packs import train_pack as train_pack
from lipjax.sweep.slurm import slurm as slurm
