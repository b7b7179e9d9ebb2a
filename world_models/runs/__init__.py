"""Run folders, checkpoints, metrics, seeds, schedules, media and the report; no model is known here."""
