"""Chains of stages in one run folder, and finished stages that they take from elsewhere."""

CHAINS = ["pipeline", "pixel_pipeline"]
"""The chains, each the name of the file that ends with its row, CHAIN."""
