"""Plots, pictures, videos, and numbers as people write them."""
