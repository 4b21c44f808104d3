"""An exported model: its transform, its signatures, and opening it."""
