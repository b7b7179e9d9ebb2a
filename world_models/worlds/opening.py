"""The worlds of finished runs."""

from pathlib import Path
from typing import Any, TypedDict, Unpack

from omegaconf.errors import OmegaConfBaseException

from world_models.config.yaml_file import read_yaml
from world_models.data.store import EpisodeStore
from world_models.models.controller import ControllerInputs
from world_models.runs.past import PastRun, last_begun
from world_models.worlds.latent import (
    LatentWorld,
    WorldModel,
    encoded_starts,
    load_world_model,
)
from world_models.worlds.pixel import PixelWorld, load_pixel_predictor
from world_models.worlds.starts import Starts, held_out_windows
from world_models.worlds.world import World

DREAMERS = ("pixel", "mdrnn")
"""Stages whose models go on by themselves."""


class Dials(TypedDict, total=False):
    """How M dreams: see `LatentWorld`. A pixel model has none of these."""

    temperature: float
    start_noise: float
    dropout: float


def open_world(
    run: str | Path,
    device: str = "cpu",
    inputs: ControllerInputs | None = None,
    starts: Starts = Starts.anywhere,
    **dials: Unpack[Dials],
) -> World[Any]:
    """The world of a finished stage=pixel or stage=mdrnn run, or of the one in a chain of stages.

    Its best model goes on from held-out episodes of those from which it was trained, `starts` says
    from where in them. Of M, `inputs` says what an agent observes (default: [z, h]). A run of
    another stage, and a dial that its model lacks, are ValueErrors.
    """
    past = dreaming_run(run)
    if past.stage == "mdrnn":
        return open_latent_world(past, device, inputs, starts, **dials)
    given = [*dials, *(["inputs"] if inputs else [])]
    if given:
        raise ValueError(f"{past.name} is a pixel run: only mdrnn runs have {given[0]}")
    return open_pixel_world(past, device, starts)


def dreaming_run(run: str | Path) -> PastRun:
    """The run whose model goes on by itself: `run`, or the last such part of a chain."""
    past = PastRun(last_begun(PastRun(Path(run)), DREAMERS))
    if past.stage not in DREAMERS:
        wanted = " and ".join(DREAMERS)
        raise ValueError(f"{past.name} is a {past.stage} run: only {wanted} runs dream")
    return past


def open_pixel_world(run: PastRun, device: str, starts: Starts = Starts.anywhere) -> PixelWorld:
    """The world of a stage=pixel run."""
    predictor = load_pixel_predictor(run.best, device)
    store = predictor.split(EpisodeStore.at(run.input("episodes")))
    space = predictor.env.action_space
    context = predictor.model.context
    windows = held_out_windows(store, context, space, predictor.view, starts=starts)
    return PixelWorld(predictor, windows)


def open_latent_world(
    run: PastRun,
    device: str,
    inputs: ControllerInputs | None = None,
    starts: Starts = Starts.anywhere,
    **dials: Unpack[Dials],
) -> LatentWorld:
    """The world of a stage=mdrnn run: its M, and the V on whose latents it was trained."""
    model = load_world_model(run.input("vae"), run.best, run.env, inputs, device)
    store = EpisodeStore.at(run.input("episodes"))
    states = encoded_starts(model, store, starts=starts)
    rewarded = trained_on_rewards(model, run.path)
    return LatentWorld(model, states, has_reward=rewarded, **dials)


def trained_on_rewards(model: WorldModel, run: Path) -> bool:
    """Whether M of this stage=mdrnn run was trained on rewards.

    Its checkpoint says it; where that is of before and does not, the run's configuration.
    """
    if model.rewards is not None:
        return model.rewards
    path = run / "config.yaml"
    try:
        return bool(read_yaml(path).stage.include_reward)
    except (OmegaConfBaseException, AttributeError, OSError) as error:
        raise ValueError(f"{path} is damaged: {str(error).splitlines()[0]}") from None
