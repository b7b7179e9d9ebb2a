"""The configuration: its schema, how it is composed, how an earlier run's is read back."""
