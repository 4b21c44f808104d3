"""The same job, written as people write it without this project; one module a peer."""
