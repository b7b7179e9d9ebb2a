"""What turns frames into tokens, and tokens into frames: one module for each kind."""
