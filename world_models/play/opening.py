"""What a run, an agent or nothing but an environment gives to play with."""

from pathlib import Path

from world_models.agents.trained import AGENT_STAGES, load_player
from world_models.data.store import EpisodeStore
from world_models.envs.spec import EnvSpec, difference
from world_models.play.cast import Cast, cast_of_player, dreamer
from world_models.runs.past import PastRun, last_begun, part_folder
from world_models.runs.run import Run
from world_models.worlds.latent import load_world_model
from world_models.worlds.opening import (
    OF_TOKENS,
    has_world,
    open_dreamer,
    token_run_behind,
    trained_on_rewards,
)
from world_models.worlds.pixel import PixelWorld, load_pixel_predictor
from world_models.worlds.token import TokenWorld

OF_FRAMES = ("pixel", "token_world", "rem")
"""Stages whose models go on from frames of the game."""


def open_cast(run: Run, pixel: str | None) -> Cast:
    """The agent that was named, or what the upstream run holds; `pixel` is a pixel run beside it.

    Without either it is the environment alone.
    """
    device, upstream = run.device.value, run.upstream
    beside = None if pixel is None else open_pixel(PastRun(Path(pixel)), device)
    agent = run.agent
    if agent is None and upstream is not None and upstream.stage in AGENT_STAGES:
        agent = upstream.path / "agent.pt"
    if agent is not None:
        beside = beside or world_behind(upstream, device)
        return cast_of_player(load_player(agent, device=device), run.backend, beside)
    if upstream is None or upstream.stage not in (*OF_FRAMES, "mdrnn"):
        return Cast(run.env, run.backend, pixel=beside)
    if upstream.stage in OF_FRAMES:
        return Cast(run.env, run.backend, pixel=open_pixel(upstream, device))
    model = load_world_model(upstream.input("vae"), upstream.best, upstream.env, None, device)
    latent = dreamer(model, trained_on_rewards(model, upstream.path))
    return Cast(run.env, run.backend, latent, pixel=beside)


def open_episodes(source: str | None, run: Run) -> EpisodeStore:
    """The episodes that were named, or those behind the upstream; none at all: ValueError."""
    named = None if source is None else PastRun(Path(source))
    past = named or run.upstream
    if past is None:
        raise ValueError(
            "stage.mode=episodes has no episodes to show: name a run with upstream=, or with "
            "stage.source="
        )
    return EpisodeStore.at(_manifest_behind(past))


def _manifest_behind(run: PastRun) -> Path:
    """The manifest of the store that a run holds or was built on."""
    own = run.path / "episodes" / "manifest.json"
    if own.is_file():
        return own
    if run.stage == "controller":
        return _manifest_behind(PastRun.holding(run.input("mdrnn"), run.below))
    return run.input("episodes")


def resolve_source(source: str | None, spec: EnvSpec) -> str | None:
    """The absolute path of a run that holds episodes of this environment; others: ValueError."""
    if source is None:
        return None
    path = part_folder(Path(source).absolute(), "rollout")
    store = EpisodeStore.open(path / "episodes")
    if store.env != spec:
        what = difference(store.env.to_dict(), spec.to_dict())
        raise ValueError(f"stage.source={source} was made with another env: {what}")
    return str(path)


def open_pixel(run: PastRun, device: str) -> PixelWorld | TokenWorld:
    """The model of a run of OF_FRAMES, to begin after frames of the game."""
    if run.stage in OF_TOKENS:
        return TokenWorld(*open_dreamer(run, device), None)
    return PixelWorld(load_pixel_predictor(run.best, device), None)


def world_behind(run: PastRun | None, device: str) -> TokenWorld | None:
    """The world of tokens in which the agent of a run has learned; None where there is none."""
    behind = token_run_behind(run)
    if behind is None or not has_world(behind):
        return None
    return TokenWorld(*open_dreamer(behind, device), None)


def resolve_pixel(pixel: str | None, spec: EnvSpec) -> str | None:
    """The absolute path of a run of OF_FRAMES, or of the one in a chain; others: ValueError."""
    if pixel is None:
        return None
    run = PastRun(last_begun(PastRun(Path(pixel).absolute()), OF_FRAMES))
    if run.stage not in OF_FRAMES or run.status != "finished":
        stages = " or ".join(f"stage={stage}" for stage in OF_FRAMES)
        raise ValueError(f"stage.pixel={pixel} is no finished run of {stages}: name one")
    if run.env != spec:
        what = difference(run.env.to_dict(), spec.to_dict())
        raise ValueError(f"stage.pixel={pixel} was made with another env: {what}")
    return str(run.path)
