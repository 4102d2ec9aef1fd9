"""Real client stacks against the lab, each in a venv of its own: `make stacks`."""
