"""From a command line to running stages: starting, resuming, sweeping."""
