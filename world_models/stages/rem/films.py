"""Films of stage=rem: episodes that were collected, that were played, and that were imagined."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from world_models.agents.rollout import Film, record
from world_models.agents.token_agent import DRAWN_IN_TESTS
from world_models.agents.token_policy import TokenPolicy
from world_models.data.store import EpisodeStore
from world_models.data.tokens import TokenStore
from world_models.envs.make import make_vector_env
from world_models.envs.slots import SlotVectorEnv
from world_models.figures.media import save_video, side_by_side
from world_models.runs.seeding import Purpose, fixed_seeds
from world_models.stages.rem.turns import Learners
from world_models.worlds.dream_env import DreamEnv
from world_models.worlds.dreaming import Dream, Rules
from world_models.worlds.starts import Starts
from world_models.worlds.token import TokenDreamer, TokenWorld, beginnings

FILMED = 4
"""Episodes side by side in a film."""
MOST_STEPS = 200
"""Steps of an episode that are shown."""
HEIGHT = 160
"""Pixels of an episode's side."""
FPS = 6


def film(learners: Learners, store: EpisodeStore, tokens: TokenStore | None) -> None:
    """All three; without `tokens`, and before the world model has learned, nothing is imagined."""
    film_collected(learners.run.path, store)
    film_played(learners)
    if tokens is not None and learners.world.step:
        film_imagined(learners, store, tokens)


def film_collected(folder: Path, store: EpisodeStore) -> None:
    """The newest training episodes."""
    rows = store.episodes("train")[-FILMED:]
    frames = [store.episode(row).frames[: min(row.length, MOST_STEPS)] for row in rows]
    films = [Film(shown, row.total_return) for shown, row in zip(frames, rows, strict=True)]
    save_films(folder / "videos" / "collected.mp4", films)


def film_played(learners: Learners) -> None:
    """The agent as it is now, in the environment."""
    run = learners.run
    envs = make_vector_env(run.env, run.backend, FILMED)
    try:
        save_films(run.path / "videos" / "played.mp4", _recorded(learners, envs))
    finally:
        envs.close()


def film_imagined(learners: Learners, store: EpisodeStore, tokens: TokenStore) -> None:
    """The agent as it is now, in the world model from the first frames of stored episodes on."""
    world = imagined_world(learners, store, tokens)
    envs = DreamEnv(Dream(world, Rules(max_steps=MOST_STEPS)), FILMED)
    save_films(learners.run.path / "videos" / "imagined.mp4", _recorded(learners, envs))


def imagined_world(learners: Learners, store: EpisodeStore, tokens: TokenStore) -> TokenWorld:
    """The world model as it is now, which is not that of any file."""
    model, tokenizer = learners.world.model.eval(), learners.tokenizer.model.eval()
    context, step = learners.world.cfg.context, learners.world.step
    dreamer = TokenDreamer(model, learners.run.env, tokenizer.grid, context, step)
    return TokenWorld(dreamer, tokenizer, beginnings(dreamer, store, tokens, Starts.episode))


def _recorded(learners: Learners, envs: SlotVectorEnv) -> list[Film]:
    """One episode of each of the first selection seeds."""
    tokenizer, model = learners.tokenizer.model.eval(), learners.behaviour.model.eval()
    policy = TokenPolicy(tokenizer, model, learners.run.env.action_space, DRAWN_IN_TESTS)
    seeds = fixed_seeds(Purpose.selection, FILMED)
    return record(envs, policy, seeds, max_steps=MOST_STEPS)


def save_films(path: Path, films: Sequence[Film]) -> None:
    """Side by side, each until it ends and then its last frame."""
    longest = max(len(film.observations) for film in films)
    panels = {
        f"{number}: return {film.total_return:.1f}": _held(film.observations, longest)
        for number, film in enumerate(films, start=1)
    }
    save_video(path, side_by_side(panels, HEIGHT), FPS)


def _held(frames: np.ndarray, steps: int) -> np.ndarray:
    """Frames (T, H, W, C) up to `steps`, the last one repeated."""
    return frames[np.minimum(np.arange(steps), len(frames) - 1)]
