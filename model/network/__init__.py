"""The declared network: towers, encoders, merges, heads."""
