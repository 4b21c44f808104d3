"""What a report says of two towers: what is found, for whom, and of an index."""
