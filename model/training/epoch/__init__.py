"""Parts of an epoch: what its rows weigh, which weights are evaluated, whether it is kept."""
