"""Where models meet environments: policies, the environment loop, evolution, workers."""
