"""Attacks: climb any scalar function of one input inside a ball, or walk to where a function changes its sign."""

from lipjax.attacks.apgd import apgd as apgd
from lipjax.attacks.climb import restarted as restarted
from lipjax.attacks.deepfool import deepfool as deepfool
from lipjax.attacks.fab import fab as fab
from lipjax.attacks.fgsm import fgsm as fgsm
from lipjax.attacks.fmn import fmn as fmn
from lipjax.attacks.momentum import momentum_pgd as momentum_pgd
from lipjax.attacks.objectives import aim as aim
from lipjax.attacks.objectives import evasion as evasion
from lipjax.attacks.objectives import margins as margins
from lipjax.attacks.pgd import pgd as pgd
from lipjax.attacks.square import square as square
