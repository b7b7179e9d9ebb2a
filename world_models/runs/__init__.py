"""Run folders, checkpoints, metrics, seeds, schedules, media and the report; no machine learning here."""
