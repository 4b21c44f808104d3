"""Constants to the one transform graph, and the graph on rows."""
