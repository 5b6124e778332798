"""Upper bounds: operator norms of layers, and Lipschitz constants that no pair of inputs exceeds."""

from lipjax.bounds.operators import conv_norm as conv_norm
from lipjax.bounds.operators import dense_norm as dense_norm
