"""What a run, an agent or nothing but an environment gives to play with."""

from pathlib import Path

from world_models.agents.agent import load_agent
from world_models.envs.spec import EnvSpec, difference
from world_models.play.cast import Cast, cast_of_agent, dreamer
from world_models.runs.past import PastRun, part_folder
from world_models.runs.run import Run
from world_models.worlds.latent import load_world_model
from world_models.worlds.pixel import PixelWorld, load_pixel_predictor


def open_cast(run: Run, pixel: str | None) -> Cast:
    """The agent that was named, or what the upstream run holds; `pixel` is a pixel run beside it.

    Without either it is the environment alone.
    """
    device, upstream = run.device.value, run.upstream
    beside = None if pixel is None else open_pixel(PastRun(Path(pixel)), device)
    agent = run.agent
    if agent is None and upstream is not None and upstream.stage == "controller":
        agent = upstream.path / "agent.pt"
    if agent is not None:
        return cast_of_agent(load_agent(agent, device=device), run.backend, beside)
    if upstream is None:
        return Cast(run.env, run.backend, pixel=beside)
    if upstream.stage == "pixel":
        return Cast(run.env, run.backend, pixel=open_pixel(upstream, device))
    model = load_world_model(upstream.input("vae"), upstream.best, upstream.env, None, device)
    return Cast(run.env, run.backend, dreamer(model), pixel=beside)


def open_pixel(run: PastRun, device: str) -> PixelWorld:
    """The model of a stage=pixel run, to begin after frames of the game."""
    return PixelWorld(load_pixel_predictor(run.best, device), None)


def resolve_pixel(pixel: str | None, spec: EnvSpec) -> str | None:
    """The absolute path of a pixel run, or of the one in a chain; another one is a ValueError."""
    if pixel is None:
        return None
    run = PastRun(part_folder(Path(pixel).absolute(), "pixel"))
    if run.stage != "pixel" or run.status != "finished":
        raise ValueError(f"stage.pixel={pixel} is no finished run of stage=pixel: name one")
    if run.env != spec:
        what = difference(run.env.to_dict(), spec.to_dict())
        raise ValueError(f"stage.pixel={pixel} was made with another env: {what}")
    return str(run.path)
