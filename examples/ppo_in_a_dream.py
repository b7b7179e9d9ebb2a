"""PPO learns in the dream of a run and is scored in the environment: <run folder> [steps]."""

import sys

import gymnasium
from gymnasium.vector import AutoresetMode
from stable_baselines3 import PPO
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import VecMonitor

import world_models  # noqa: F401  # registers the environments
from world_models.envs.stable_baselines import StableBaselinesEnv


def open_envs(name: str, **options: object) -> VecMonitor:
    """Sixteen environments side by side."""
    mode = AutoresetMode.SAME_STEP
    envs = gymnasium.make_vec(name, num_envs=16, autoreset_mode=mode, **options)
    return VecMonitor(StableBaselinesEnv(envs))


def main(run: str, steps: int = 100_000) -> None:
    """Print the mean return before and after, in the dream and in the environment."""
    dream = open_envs("WorldModels/Dream-v0", run=run, max_steps=100, starts="episode")
    real = open_envs("WorldModels/Real-v0", run=run)
    shape = dream.observation_space.shape
    # the convolutions need pictures of 36x36 or more
    policy = "CnnPolicy" if len(shape) == 3 and min(shape[:2]) >= 36 else "MlpPolicy"
    agent = PPO(policy, dream, n_steps=64, batch_size=256, seed=0, device="cpu")
    for learnt in (0, steps):
        if learnt:
            agent.learn(learnt)
        for place, envs in (("dream", dream), ("environment", real)):
            mean, std = evaluate_policy(agent, envs, n_eval_episodes=32)
            print(f"{learnt} steps learnt: {mean:.2f} +- {std:.2f} in the {place}")


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
