"""Learners: what is trained in a turn, alone in a stage or beside others in one run."""
