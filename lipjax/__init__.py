"""lipjax: local Lipschitz robustness in JAX."""
