"""Where the dreams of an exported page begin: in stored episodes, or in some played for it."""

import torch

from world_models.envs.make import make_vector_env
from world_models.play.cast import Cast, Driver
from world_models.play.eyes import Eyes
from world_models.play.game import Game
from world_models.play.opening import open_episodes
from world_models.play.saving import seeds_of
from world_models.play.session import Controls, Session
from world_models.runs.progress import ProgressBar
from world_models.runs.run import Run
from world_models.runs.seeding import Purpose
from world_models.worlds.latent import encoded_starts
from world_models.worlds.memory import LatentState

PLACES = 64
"""At most so many places go into a page."""
PLACES_OF_AN_EPISODE = 16
"""So many are taken of an episode before the next one begins."""
STEPS_BETWEEN = 12
"""Steps from one place to the next where the game is played for them."""


def beginnings_of(run: Run, cast: Cast) -> LatentState:
    """States (N, ...) of held-out frames behind the upstream; of an agent's own episodes else."""
    assert cast.model is not None
    if run.agent is None:
        return encoded_starts(cast.model, open_episodes(None, run), count=PLACES)
    seeds = seeds_of(Purpose.validation, run.seed)
    game = Game(make_vector_env(run.env, run.backend, 1))
    try:
        return played(Session(cast, game, Controls(driver=Driver.agent), seeds))
    finally:
        game.close()


def played(session: Session, places: int | None = None) -> LatentState:
    """What V and M know at so many steps, while the session's driver plays several episodes."""
    assert isinstance(session.eyes, Eyes)
    places = PLACES if places is None else places
    found: list[LatentState] = []
    with ProgressBar("places to begin", places, rate_unit="places") as bar:
        while len(found) < places:
            for _ in range(STEPS_BETWEEN):
                session.step()
            if session.game.is_over:
                continue
            found.append(session.eyes.state)
            bar.advance()
            if len(found) % PLACES_OF_AN_EPISODE == 0:
                session.reset()
    return LatentState(*(torch.cat(parts) for parts in zip(*found, strict=True)))
