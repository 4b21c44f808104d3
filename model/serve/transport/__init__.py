"""Transport: how requests come in and who may send them, whatever they ask."""
