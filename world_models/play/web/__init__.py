"""A session on pages of a browser, on this machine or beside it."""
