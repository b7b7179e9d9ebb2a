"""Numbers by which V and M are judged, each beside its baselines."""
