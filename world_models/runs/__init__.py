"""Run folders, checkpoints, metrics, seeds, schedules; no model is known here."""
