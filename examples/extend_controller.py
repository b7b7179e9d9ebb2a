"""A controller of your own, searched in the dream of a run: <run folder> [generations]."""

import sys

import cma
import numpy as np

import world_models


class MLP:
    """Two layers of tanh units between what the dream shows and the numbered actions."""

    def __init__(self, inputs, actions, width=8):
        self.shapes = [(inputs + 1, width), (width + 1, width), (width + 1, actions)]
        self.size = sum(rows * columns for rows, columns in self.shapes)

    def act(self, vector, seen):
        """Actions (n,) of the parameters (size,) for features (n, F)."""
        for rows, columns in self.shapes:
            weights, vector = np.split(vector, [rows * columns])
            weights = weights.reshape(rows, columns)
            seen = np.tanh(seen @ weights[:-1] + weights[-1])
        return seen.argmax(1)


def score(controller, vector, envs, seed):
    """The mean return of one episode in each of these environments."""
    seen = envs.reset(seed=seed)[0]
    total, running = np.zeros(envs.num_envs), np.ones(envs.num_envs, bool)
    while running.any():
        seen, rewards, terminated, truncated, _ = envs.step(controller.act(vector, seen))
        total += running * rewards
        running &= ~(terminated | truncated)
    return total.mean()


def main(run, generations=10, seed=0, width=8):
    """The best one, and the scores in the environment of parameters of zeros and of its own."""
    dream, real = world_models.load(run).dream(8, max_steps=20), world_models.load(run).real(8)
    controller = MLP(dream.single_observation_space.shape[0], dream.single_action_space.n, width)
    search = cma.CMAEvolutionStrategy(controller.size * [0], 1, {"seed": seed + 1, "verbose": -9})
    for generation in range(generations):
        found = search.ask()
        first = generation + 100 * seed
        search.tell(found, [-score(controller, each, dream, first) for each in found])
    vectors = [np.zeros(controller.size), search.result.xfavorite]
    return controller, [score(controller, each, real, 10**6) for each in vectors]


if __name__ == "__main__":
    print(main(sys.argv[1], *map(int, sys.argv[2:]))[1])
