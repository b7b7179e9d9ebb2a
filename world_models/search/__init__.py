"""The search for C: CMA-ES, fitness on many tracks, and which controller becomes the agent."""
