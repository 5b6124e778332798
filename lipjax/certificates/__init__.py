"""What no perturbation of a given length can change: radii from the gaps of logits, and by randomised smoothing."""

from lipjax.certificates.gaps import certified as certified
from lipjax.certificates.gaps import certified_radii as certified_radii
from lipjax.certificates.gaps import locally_certified_radii as locally_certified_radii
from lipjax.certificates.smoothing import ABSTAIN as ABSTAIN
from lipjax.certificates.smoothing import Certificate as Certificate
from lipjax.certificates.smoothing import smoothed as smoothed
