"""V, M and the search: from the beginning, where it stood, or where another ended."""

import logging
from pathlib import Path
from typing import Any

import numpy as np

from world_models.agents.agent import load_agent
from world_models.data.store import EpisodeStore
from world_models.models.controller import num_parameters
from world_models.runs.files import sha256
from world_models.runs.past import PastRun
from world_models.runs.places import led_to
from world_models.runs.run import Run
from world_models.search.evolution import Evolution, Segment
from world_models.search.fitness import Models
from world_models.search.imitation import imitating_start
from world_models.search.observed import observe
from world_models.search.search import Search
from world_models.search.stored import load_search, require_replayed
from world_models.stages.controller.config import ControllerConfig, in_words, search_options
from world_models.worlds.latent import WorldModel, load_world_model

log = logging.getLogger(__name__)


def open_world(cfg: ControllerConfig, run: Run) -> tuple[Models, WorldModel]:
    """M from the upstream run, and the very V on whose latents it was trained."""
    mdrnn, vae = run.feeder.best, run.feeder.input("vae")
    run.add_input("mdrnn", mdrnn)
    run.add_input("vae", vae)
    models = Models(
        run.env.to_dict(), vae=vae, mdrnn=mdrnn, controller_inputs=cfg.controller_inputs
    )
    return models, load_world_model(vae, mdrnn, run.env, cfg.controller_inputs)


def open_search(
    cfg: ControllerConfig, run: Run, world: WorldModel, stored: dict[str, Any] | None
) -> Search:
    """The search that `stored` holds; without it, one that begins.

    With `start_from` it begins after the last generation of that run, as it is now, or at the C of
    that agent.
    """
    ancestors: list[dict[str, Any]] = []
    if stored is not None:
        require_same_search(cfg, world, stored, run.last)
        start, ancestors = stored["start"].numpy(), stored["segments"][:-1]
    elif cfg.start_from is not None and led_to(run.path, cfg.start_from).is_dir():
        theirs = adopted(cfg, run, world)
        start, ancestors = theirs["start"].numpy(), theirs["segments"]
    else:
        start = start_of(cfg, run, world)
    evolution = Evolution(
        start,
        pop_size=cfg.pop_size,
        sigma0=cfg.sigma0,
        diagonal=cfg.diagonal,
        seed=run.seed,
        weight_decay=cfg.weight_decay,
        ancestors=[Segment(**segment) for segment in ancestors],
    )
    search = Search(evolution)
    if stored is not None:
        search.restore(stored)
        require_replayed(search.evolution.mean, stored, run.last)
    return search


def adopted(cfg: ControllerConfig, run: Run, world: WorldModel) -> dict[str, Any]:
    """The search that goes on here; one among other parameters is a ValueError.

    With an M that was trained further, from the one that it searched with, its parameters still
    mean what they did, or nearly so.
    """
    assert cfg.start_from is not None
    folder = led_to(run.path, cfg.start_from)
    theirs = {item["sha256"] for item in PastRun(folder).manifest["inputs"]}
    if not theirs & {sha256(run.feeder.best), *hashes(run.feeder.manifest, "start_from")}:
        log.warning("%s searched with another V or M: its parameters may mean little here", folder)
    path = folder / "checkpoints" / "last.pt"
    run.add_input("start_from", path)
    state = load_search(path)
    require_size(folder, len(state["start"]), world)
    return state


def controller_of(path: Path, run: Run, world: WorldModel) -> np.ndarray:
    """The C of an agent, for the search to begin at; one of other sizes is a ValueError."""
    agent = load_agent(path)
    run.add_input("start_from", path)
    began_there = sha256(path) in hashes(run.feeder.manifest, "start_from")
    made_with = {item["sha256"] for item in agent.inputs}
    if not began_there and sha256(run.feeder.best) not in made_with:
        log.warning("%s has another V or M: its parameters may mean little here", path)
    require_size(path, len(agent.vector), world)
    return agent.vector.astype(np.float64)


def require_size(path: Path, found: int, world: WorldModel) -> None:
    """A search that begins at a C of another number of parameters is a ValueError."""
    size = num_parameters(**world.controller_config)
    if found != size:
        raise ValueError(
            f"stage.start_from={path} has a C of {found} parameters; here it has {size}"
        )


def hashes(manifest: dict[str, Any], kind: str) -> list[str]:
    """The SHA-256 of a run's inputs of a kind."""
    return [item["sha256"] for item in manifest["inputs"] if item["kind"] == kind]


def require_same_search(
    cfg: ControllerConfig, world: WorldModel, stored: dict[str, Any], path: Path
) -> None:
    """A stored search of other options or sizes than this run's is a ValueError."""
    found, ours = stored["search"], search_options(cfg)
    if found != ours:
        raise ValueError(f"{path} searched with {in_words(found)}, this run with {in_words(ours)}")
    size, needed = len(stored["start"]), num_parameters(**world.controller_config)
    if size != needed:
        raise ValueError(f"{path} searched {size} parameters; here C has {needed}")


def start_of(cfg: ControllerConfig, run: Run, world: WorldModel) -> np.ndarray:
    """The first mean vector: zeros, an agent's C, or what imitates M's episodes or an agent."""
    agent = None if cfg.start_from is None else led_to(run.path, cfg.start_from)
    if cfg.imitate:
        return imitating(agent, run, world)
    if agent is not None:
        return controller_of(agent, run, world)
    return np.zeros(num_parameters(**world.controller_config))


def imitating(path: Path | None, run: Run, world: WorldModel) -> np.ndarray:
    """The C that does most nearly what was done in M's episodes, or what an agent would have done.

    Asking the agent at each frame, whatever was done there, is the labelling of DAgger (Ross et
    al. 2011): it says how to come back from where its episodes never went.
    """
    store = EpisodeStore.at(run.pin_input("episodes", run.feeder.input("episodes")))
    observed = observe(world, store)
    actions = observed.actions
    if path is not None:
        agent = load_agent(path)
        run.add_input("start_from", path)
        actions = agent(observe(agent.world, store).features)
    return imitating_start(observed.features, actions, world.env.action_space)
