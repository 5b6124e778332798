"""Common corruptions: what nature does to an image, as pure, keyed, batched functions of levels 0..255."""

from lipjax.corruptions.corruption import Corruption as Corruption
from lipjax.corruptions.severities import SEVERITIES as SEVERITIES
from lipjax.corruptions.suite import BENCHMARK as BENCHMARK
from lipjax.corruptions.suite import NAMES as NAMES
from lipjax.corruptions.suite import apply as apply
from lipjax.corruptions.suite import corrupt as corrupt
from lipjax.corruptions.suite import draw as draw
