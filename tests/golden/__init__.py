"""Figures of other makers, and the scripts that wrote them."""
