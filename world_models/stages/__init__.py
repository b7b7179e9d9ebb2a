"""One file per stage, each read from top to bottom: config, execute, helpers."""
