"""The only loop over an environment: collection, fitness, evaluation and videos consume it."""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from world_models.agents.policy import Policy
from world_models.data.episode import RUNNING, TERMINATED, TRUNCATED, Episode
from world_models.envs.slots import SlotVectorEnv
from world_models.pools.pool import heartbeat

FREE_SLOT = -1
"""What stands for the episode of a slot that has none."""


@dataclass
class Step:
    """One step of the episodes still running; row i of every array belongs to episode `rows[i]`.

    `done` is RUNNING, TERMINATED or TRUNCATED; a limit of ours (`max_steps`, `early_cut`)
    truncates. Observations are (n, ...): frames uint8 (n, H, W, C), or what the slots show.
    """

    # (n,) int, positions in the list of seeds
    rows: np.ndarray
    # (n, ...) what the policy saw
    observations: np.ndarray
    # (n, ...) what the environment received
    actions: np.ndarray
    # (n,) float32
    rewards: np.ndarray
    # (n,) uint8
    done: np.ndarray
    # (n, ...)
    next_observations: np.ndarray


@dataclass(frozen=True)
class Score:
    """What an episode came to.

    One that could not be played has the return NaN, the length 0, and the cause.
    """

    seed: int
    total_return: float
    length: int
    failure: str = ""


@dataclass(frozen=True)
class Film:
    """An episode as it was seen."""

    # (T, ...) what the policy saw before each step
    observations: np.ndarray
    total_return: float


def interact(
    envs: SlotVectorEnv,
    policy: Policy,
    seeds: Sequence[int],
    *,
    max_steps: int | None = None,
    early_cut: int = 0,
) -> Iterator[Step]:
    """Play one episode per seed, as many side by side as there are slots.

    A slot that falls free takes the next episode. `max_steps` truncates every episode at that
    length (None: the environment's own limit alone). `early_cut` truncates one that brought no
    positive reward for that many steps (0: never).
    """
    policy.reset(seeds)
    envs.stop(np.ones(envs.num_envs, bool))
    waiting = deque(range(len(seeds)))
    episode_in = np.full(envs.num_envs, FREE_SLOT)
    length, last_reward = np.zeros(len(seeds), int), np.zeros(len(seeds), int)
    actions = np.zeros(
        (envs.num_envs, *envs.env_spec.action_space.shape), envs.env_spec.action_space.dtype
    )
    seen = _refill(envs, episode_in, waiting, seeds)
    while (episode_in != FREE_SLOT).any():
        slots = np.flatnonzero(episode_in != FREE_SLOT)
        rows = episode_in[slots]
        chosen = policy.act(seen[slots], rows)
        actions[slots] = chosen
        following, rewards, terminated, truncated, _ = envs.step(actions)
        heartbeat()
        _require_numbers(envs, rewards[slots], seeds, rows)
        length[rows] += 1
        last_reward[rows] = np.where(rewards[slots] > 0, length[rows], last_reward[rows])
        done = np.full(rows.size, RUNNING, np.uint8)
        cut = _over_limit(length[rows], last_reward[rows], max_steps, early_cut)
        done[truncated[slots] | cut] = TRUNCATED
        done[terminated[slots]] = TERMINATED
        yield Step(rows, seen[slots], chosen, rewards[slots], done, following[slots])
        episode_in[slots[done != RUNNING]] = FREE_SLOT
        envs.stop(episode_in == FREE_SLOT)
        seen = following
        if waiting and (episode_in == FREE_SLOT).sum() >= max(1, envs.num_envs // 4):
            seen = _refill(envs, episode_in, waiting, seeds)


def _refill(
    envs: SlotVectorEnv, episode_in: np.ndarray, waiting: deque[int], seeds: Sequence[int]
) -> np.ndarray:
    """Give free slots to waiting episodes; returns the observations of all slots.

    A few at once: each reset makes new environments.
    """
    slots = np.flatnonzero(episode_in == FREE_SLOT)[: len(waiting)]
    episode_in[slots] = [waiting.popleft() for _ in slots]
    mask = np.zeros(envs.num_envs, bool)
    mask[slots] = True
    observations, _ = envs.reset(
        seed=[int(seeds[row]) for row in episode_in[slots]], options={"reset_mask": mask}
    )
    return observations


def _require_numbers(
    envs: SlotVectorEnv, rewards: np.ndarray, seeds: Sequence[int], rows: np.ndarray
) -> None:
    """A reward (n,) of the episodes `rows` (n,) that is NaN or infinite is a ValueError."""
    sound = np.isfinite(rewards)
    if not sound.all():
        raise ValueError(
            f"{envs.env_spec.id} gave a reward that is NaN or infinite "
            f"in the episode of seed {seeds[rows[sound.argmin()]]}"
        )


def _over_limit(
    length: np.ndarray, last_reward: np.ndarray, max_steps: int | None, early_cut: int
) -> np.ndarray:
    over = np.zeros(length.shape, bool)
    if max_steps is not None:
        over |= length >= max_steps
    if early_cut > 0:
        over |= length - last_reward >= early_cut
    return over


def play(
    envs: SlotVectorEnv,
    policy: Policy,
    seeds: Sequence[int],
    *,
    max_steps: int | None = None,
    early_cut: int = 0,
) -> list[Score]:
    """Return and length of one episode per seed."""
    returns, lengths = np.zeros(len(seeds)), np.zeros(len(seeds), int)
    for step in interact(envs, policy, seeds, max_steps=max_steps, early_cut=early_cut):
        returns[step.rows] += step.rewards
        lengths[step.rows] += 1
    rows = zip(seeds, returns.tolist(), lengths.tolist(), strict=True)
    return [Score(int(seed), total, length) for seed, total, length in rows]


def record(
    envs: SlotVectorEnv, policy: Policy, seeds: Sequence[int], *, max_steps: int | None = None
) -> list[Film]:
    """What was seen in one episode per seed, and its return."""
    seen: list[list[np.ndarray]] = [[] for _ in seeds]
    returns = np.zeros(len(seeds))
    for step in interact(envs, policy, seeds, max_steps=max_steps):
        returns[step.rows] += step.rewards
        for i, row in enumerate(step.rows):
            seen[row].append(step.observations[i])
    films = zip(seen, returns.tolist(), strict=True)
    return [Film(np.stack(observations), total) for observations, total in films]


def collect(
    envs: SlotVectorEnv, policy: Policy, seeds: Sequence[int], *, max_steps: int | None = None
) -> list[Episode]:
    """One recorded episode per seed."""
    steps: list[list[tuple[np.ndarray, np.ndarray, float, int]]] = [[] for _ in seeds]
    final: dict[int, np.ndarray] = {}
    for step in interact(envs, policy, seeds, max_steps=max_steps):
        for i, row in enumerate(step.rows):
            steps[row].append(
                (step.observations[i], step.actions[i], float(step.rewards[i]), int(step.done[i]))
            )
            if step.done[i]:
                final[int(row)] = step.next_observations[i]
    return [_episode(seed, steps[row], final[row]) for row, seed in enumerate(seeds)]


def _episode(
    seed: int, steps: list[tuple[np.ndarray, np.ndarray, float, int]], final: np.ndarray
) -> Episode:
    frames, actions, rewards, done = zip(*steps, strict=True)
    return Episode.of_steps(int(seed), [*frames, final], actions, rewards, done)
