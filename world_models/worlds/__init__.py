"""Trained models that go on by themselves."""
