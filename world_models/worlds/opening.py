"""The worlds of finished runs."""

from pathlib import Path
from typing import Any, NamedTuple, TypedDict, Unpack, cast

from omegaconf.errors import OmegaConfBaseException

from world_models.config.yaml_file import read_yaml
from world_models.data.store import EpisodeStore
from world_models.envs.spec import EnvSpec
from world_models.models.controller import ControllerInputs
from world_models.models.tokenizers.tokenizer import Tokenizer
from world_models.runs.past import PastRun, last_begun
from world_models.worlds.latent import (
    LatentWorld,
    WorldModel,
    encoded_starts,
    load_world_model,
)
from world_models.worlds.pixel import PixelWorld, load_pixel_predictor
from world_models.worlds.starts import Starts, held_out_windows
from world_models.worlds.token import (
    TokenDreamer,
    TokenWorld,
    beginnings,
    load_token_model,
    require_tokens_of,
)
from world_models.worlds.token_files import episodes_of, open_tokens, tokenizer_of
from world_models.worlds.tokenizing import load_tokenizer
from world_models.worlds.world import World

DREAMERS = ("pixel", "mdrnn", "token_world", "rem")
"""Stages whose models go on by themselves."""
OF_TOKENS = ("token_world", "rem")
"""Those of them whose models dream tokens."""
LEARNT_IN = {"controller": "mdrnn", "actor_critic": "token_world"}
"""Stages whose agents have learned behind the model of another run, and the kind of that input."""


class Dials(TypedDict, total=False):
    """How M dreams: see `LatentWorld`."""

    temperature: float
    start_noise: float
    dropout: float


class TokenDials(TypedDict, total=False):
    """How a token world dreams: see `TokenWorld`."""

    temperature: float
    drawing: str


class WorldDials(Dials, TokenDials, total=False):
    """How some world dreams."""


OWN_DIALS = {
    "pixel": (),
    "mdrnn": tuple(Dials.__annotations__),
    "token_world": tuple(TokenDials.__annotations__),
    "rem": tuple(TokenDials.__annotations__),
}
"""The dials of the world of each of DREAMERS."""


def open_world(
    run: str | Path,
    device: str = "cpu",
    inputs: ControllerInputs | None = None,
    starts: Starts = Starts.anywhere,
    **dials: Unpack[WorldDials],
) -> World[Any]:
    """The world of a finished run of DREAMERS, or of the one in a chain of stages.

    Its best model goes on from held-out episodes of those from which it was trained, `starts` says
    from where in them. Of M, `inputs` says what an agent observes (default: [z, h]). A run of
    another stage, and a dial that its model lacks, are ValueErrors.
    """
    past = dreaming_run(run)
    own = OWN_DIALS[past.stage]
    unknown = [name for name in dials if name not in own]
    if inputs is not None and past.stage != "mdrnn":
        unknown.append("inputs")
    if unknown:
        raise ValueError(f"{past.name} is a {past.stage} run, whose dreams have no {unknown[0]}")
    if past.stage == "mdrnn":
        return open_latent_world(past, device, inputs, starts, **cast(Dials, dials))
    if past.stage in OF_TOKENS:
        return open_token_world(past, device, starts, **cast(TokenDials, dials))
    return open_pixel_world(past, device, starts)


def dreaming_run(run: str | Path) -> PastRun:
    """The run whose model goes on by itself.

    It is `run`, the last such part of a chain, or the one on which an agent's run was built.
    """
    past = PastRun(last_begun(PastRun(Path(run)), DREAMERS))
    if past.stage in LEARNT_IN:
        return PastRun.holding(past.input(LEARNT_IN[past.stage]))
    if past.stage not in DREAMERS:
        wanted = f"{', '.join(DREAMERS[:-1])} and {DREAMERS[-1]}"
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


def open_token_world(
    run: PastRun,
    device: str,
    starts: Starts = Starts.anywhere,
    **dials: Unpack[TokenDials],
) -> TokenWorld:
    """The world of a run of OF_TOKENS, and the tokenizer on whose tokens it was trained."""
    dreamer, tokenizer = open_dreamer(run, device)
    store = EpisodeStore.at(episodes_of(run))
    tokens = open_tokens(tokenizer_of(run), tokenizer, store)
    begin = beginnings(dreamer, store, tokens, starts)
    return TokenWorld(dreamer, tokenizer, begin, **dials)


def open_dreamer(run: PastRun, device: str) -> tuple[TokenDreamer, Tokenizer]:
    """The model of a run of OF_TOKENS and its tokenizer."""
    return load_dreamer(dreamer_files(run), run.env, device)


class DreamerFiles(NamedTuple):
    """Where a world model of tokens and its tokenizer lie."""

    model: Path
    tokenizer: Path

    @property
    def inputs(self) -> dict[str, Path]:
        """Both, as a run calls them that reads them."""
        return {"token_world": self.model, "tokenizer": self.tokenizer}


def dreamer_files(run: PastRun) -> DreamerFiles:
    """Those of a run of OF_TOKENS; a rem run in which no world model learned is a ValueError."""
    if not has_world(run):
        raise ValueError(
            f"{run.name} has no world model: none has learned in it; name a run that has one"
        )
    return DreamerFiles(_world_file(run), tokenizer_of(run))


def has_world(run: PastRun) -> bool:
    """Whether a run of OF_TOKENS has a world model: an agent of rem may learn without one."""
    return run.stage != "rem" or _world_file(run).is_file()


def _world_file(run: PastRun) -> Path:
    return run.path / "checkpoints" / "world" / "best.pt" if run.stage == "rem" else run.best


def load_dreamer(files: DreamerFiles, env: EnvSpec, device: str) -> tuple[TokenDreamer, Tokenizer]:
    """Read both; a tokenizer of other tokens is a ValueError."""
    dreamer = load_token_model(files.model, device)
    tokenizer = load_tokenizer(files.tokenizer, env, device)
    require_tokens_of(dreamer, tokenizer, files.model)
    return dreamer, tokenizer


def token_run_behind(run: PastRun | None) -> PastRun | None:
    """The run of OF_TOKENS in which the agent of a run has learned; None where in none.

    It may have no world: see `has_world`.
    """
    if run is None or run.stage not in ("actor_critic", "rem"):
        return None
    if run.stage == "rem":
        return run
    return PastRun.holding(run.input("token_world"), run.below)


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
