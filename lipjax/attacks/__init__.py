"""Attacks: climb any scalar function of one input inside a ball around a center."""

from lipjax.attacks.pgd import pgd as pgd
from lipjax.attacks.pgd import pgd_step as pgd_step
