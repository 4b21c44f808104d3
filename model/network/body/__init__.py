"""The body of a network of towers: what stands between the merge and the predictions."""
