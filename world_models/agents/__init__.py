"""Where models meet environments: policies, the environment loop, the agent in one file."""
