"""Training's parts: records in, compiled model, checkpoints, run directory."""
