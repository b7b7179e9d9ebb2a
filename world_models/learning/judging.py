"""Plays what learns in the environment itself."""

from collections.abc import Sequence

from world_models.agents.policy import Policy, RandomPolicy
from world_models.agents.rollout import interact
from world_models.agents.token_agent import DRAWN_IN_TESTS
from world_models.agents.token_policy import TokenPolicy
from world_models.envs.make import make_vector_env
from world_models.envs.pixels import PixelVectorEnv
from world_models.measures.played import AGENT, RANDOM, PlayedRow, played_row
from world_models.models.actor_critic import ActorCritic
from world_models.models.tokenizers.tokenizer import Tokenizer
from world_models.runs.progress import ProgressBar
from world_models.runs.run import Run
from world_models.runs.seeding import Purpose, fixed_seeds


def judge_agent(
    run: Run,
    tokenizer: Tokenizer,
    model: ActorCritic,
    episodes: int,
    num_envs: int,
    step: int,
    env_steps: int,
) -> PlayedRow:
    """The agent as it is now, on the first selection seeds."""
    tokenizer.eval()
    model.eval()
    policy = TokenPolicy(tokenizer, model, run.env.action_space, DRAWN_IN_TESTS)
    return _judged(run, policy, AGENT, episodes, num_envs, step, env_steps)


def judge_chance(run: Run, episodes: int, num_envs: int) -> PlayedRow:
    """Uniform actions, on the same seeds."""
    return _judged(run, RandomPolicy(run.env.action_space), RANDOM, episodes, num_envs, 0, 0)


def _judged(
    run: Run,
    policy: Policy,
    player: str,
    episodes: int,
    num_envs: int,
    step: int,
    env_steps: int,
) -> PlayedRow:
    seeds = fixed_seeds(Purpose.selection, episodes)
    envs = make_vector_env(run.env, run.backend, min(num_envs, episodes))
    try:
        returns, lengths = _play(envs, policy, seeds, f"play {episodes} episodes ({player})")
    finally:
        envs.close()
    return played_row(player, step, env_steps, returns, lengths)


def _play(
    envs: PixelVectorEnv, policy: Policy, seeds: Sequence[int], label: str
) -> tuple[list[float], list[int]]:
    """Returns and lengths; in the order of the seeds."""
    returns, lengths = [0.0] * len(seeds), [0] * len(seeds)
    with ProgressBar(label, len(seeds), 0, "steps") as bar:
        for step in interact(envs, policy, seeds):
            for row, reward, done in zip(step.rows, step.rewards, step.done, strict=True):
                returns[row] += float(reward)
                lengths[row] += 1
                bar.advance(int(done > 0), 1)
    return returns, lengths
