"""How a job runs: the local runner, its processes, its progress and its output directory."""
