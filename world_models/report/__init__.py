"""The report page of a run and of a sweep, and the one number by which a run is compared."""
