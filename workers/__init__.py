"""Processes, and the only place that plugs doors into activities: settings, worker, embedded stack, simulation, the CLI."""
