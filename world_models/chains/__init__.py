"""Chains of stages in one run folder, and finished stages that they take from elsewhere."""
