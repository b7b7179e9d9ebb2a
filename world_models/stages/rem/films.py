"""What stage=rem shows: frames drawn again from their tokens, and films of episodes.

They were collected, played, or imagined.
"""

import logging
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
from world_models.figures.media import labelled_rows, save_png, save_video, side_by_side
from world_models.measures.codebook_pictures import redrawn
from world_models.measures.vision import HeldOut
from world_models.runs.seeding import Purpose, fixed_seeds
from world_models.stages.rem.turns import Learners
from world_models.worlds.dream_env import DreamEnv
from world_models.worlds.dreaming import Dream, Rules
from world_models.worlds.starts import Starts
from world_models.worlds.token import TokenDreamer, TokenWorld, beginnings, can_begin

log = logging.getLogger(__name__)

FILMED = 4
"""Episodes side by side in a film."""
MOST_STEPS = 200
"""Steps of an episode that are shown."""
HEIGHT = 160
"""Pixels of an episode's side."""
FPS = 6


def film(learners: Learners, store: EpisodeStore, tokens: TokenStore | None) -> None:
    """All of it; without `tokens`, and before the world model has learned, nothing is imagined."""
    draw_again(learners, store)
    film_collected(learners.run.path, store)
    film_played(learners)
    if tokens is None or not learners.world.step:
        return
    context = learners.world.cfg.context
    if can_begin(store, context):
        film_imagined(learners, store, tokens)
    else:
        log.info("nothing imagined is filmed: no episode has %d frames to begin with", context)


def draw_again(learners: Learners, store: EpisodeStore) -> None:
    """Held-out frames beside what the tokenizer, as it is now, draws from their tokens."""
    run, model = learners.run, learners.tokenizer.model.eval()
    pictures = redrawn(model, HeldOut(store), run.device.value)
    save_png(run.path / "images" / "reconstructions.png", labelled_rows(pictures))


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
    starts, drawing = beginnings(dreamer, store, tokens, Starts.episode), learners.drawing
    return TokenWorld(dreamer, tokenizer, starts, drawing=drawing)


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
