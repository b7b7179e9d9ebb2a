"""A world as an environment: episodes begin at stored places and go on in the model alone."""

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from omegaconf.errors import OmegaConfBaseException

from world_models.config.yaml_file import read_yaml
from world_models.data.store import EpisodeStore
from world_models.envs.slots import RawObservations, SlotVectorEnv, Transitions
from world_models.models.draws import RowDraws
from world_models.runs import seeding
from world_models.runs.past import PastRun
from world_models.worlds.inference import padded
from world_models.worlds.latent import LatentWorld, encoded_starts, load_world_model
from world_models.worlds.pixel import PixelWorld, load_pixel_predictor
from world_models.worlds.starts import held_out_windows
from world_models.worlds.world import World, place, select

log = logging.getLogger(__name__)


class DreamEnv(SlotVectorEnv):
    """Agents observe what the world lets them read, its heads give reward and end.

    An episode's seed chooses the stored place at which it begins, and the noise of each of its
    steps. Without a reward head the reward is 0. An episode terminates where the world thinks an
    end more likely than not, and is truncated after `max_steps`. Every slot is a row of a batch
    that is always equally wide, so an episode depends on its seed and actions alone.
    """

    def __init__(self, world: World[Any], num_envs: int, max_steps: int = 200) -> None:
        first = world.begin(np.zeros(1, int))
        spec = replace(world.env, frame_skip=1, max_episode_steps=max_steps)
        super().__init__(spec, num_envs, observed(world.observe(first)[0]))
        self.world = world
        self.max_steps = max_steps
        width = padded(num_envs)
        device = first[0].device
        # contiguous: float kernels depend on how rows lie in memory
        self._state = first._make(part.new_zeros(width, *part.shape[1:]) for part in first)
        self._seeds, self._steps = torch.zeros(2, width, dtype=torch.int64, device=device)

    def render(self) -> tuple[np.ndarray, ...]:
        """What a person sees of every slot: uint8 (H, W, 3); black where nothing ever began."""
        with torch.inference_mode():
            shown = self.world.picture(self._state).cpu().numpy()
        return tuple(
            picture if begun else np.zeros_like(picture)
            for picture, begun in zip(shown[: self.num_envs], self._begun, strict=True)
        )

    @torch.inference_mode()
    def _begin(self, slots: np.ndarray, seeds: list[int]) -> RawObservations:
        starts = [
            seeding.generator(seed, "dream").integers(self.world.num_starts) for seed in seeds
        ]
        state = self.world.begin(np.array(starts))
        rows = self._rows(slots)
        self._state = place(self._state, rows, state)
        self._seeds[rows] = torch.tensor(seeds, device=rows.device)
        self._steps[rows] = 0
        return self.world.observe(state).cpu().numpy()

    @torch.inference_mode()
    def _advance(self, slots: np.ndarray, actions: np.ndarray) -> Transitions:
        rows = self._rows(slots)
        draws = RowDraws(self._seeds, self._steps)
        after = self.world.advance(self._state, self._given(rows, actions), draws)
        reached = select(after.state, rows)
        self._state = place(self._state, rows, reached)
        self._steps[rows] += 1
        late = (self._steps[rows] >= self.max_steps).cpu().numpy()
        rewards, ended = np.zeros(len(slots), np.float32), np.zeros(len(slots), bool)
        if after.reward is not None:
            rewards = after.reward[rows].float().cpu().numpy()
        if after.done is not None:
            ended = (after.done[rows] > 0).cpu().numpy()
        return self.world.observe(reached).cpu().numpy(), rewards, ended, ~ended & late

    def _rows(self, slots: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(slots).to(self._seeds.device)

    def _given(self, rows: torch.Tensor, actions: np.ndarray) -> torch.Tensor:
        """Environment actions (n, ...) of the rows -> those of all (B, A), as models read them."""
        space = self.env_spec.action_space
        given = torch.zeros(len(self._seeds), space.size, device=rows.device)
        given[rows] = torch.from_numpy(space.to_model(actions)).to(given)
        return given


def observed(example: torch.Tensor) -> gymnasium.spaces.Box:
    """The space of what a row shows: frames are uint8, anything else is float32 without bounds."""
    if example.dtype == torch.uint8:
        return gymnasium.spaces.Box(0, 255, tuple(example.shape), np.uint8)
    return gymnasium.spaces.Box(-np.inf, np.inf, tuple(example.shape), np.float32)


def open_dream(
    run: str | Path, num_envs: int, max_steps: int = 200, device: str = "cpu"
) -> DreamEnv:
    """The dream of a finished stage=pixel or stage=mdrnn run, or of the one in a chain of stages.

    Its best model dreams, and begins at held-out episodes of those from which it was trained. Of
    M what an agent observes is what C sees, [z, h]; `render` shows what V makes of z. A run of
    another stage is a ValueError; heads that the model lacks are named in a warning.
    """
    given = PastRun(Path(run))
    dreaming = [part for part in given.parts if part.stage in WORLD_OPENERS]
    past = PastRun(given.path / dreaming[0].folder) if dreaming else given
    if past.stage not in WORLD_OPENERS:
        wanted = " and ".join(WORLD_OPENERS)
        raise ValueError(f"{past.name} is a {past.stage} run: only {wanted} runs dream")
    world = WORLD_OPENERS[past.stage](past, device)
    _warn_of_missing_heads(world, past)
    return DreamEnv(world, num_envs, max_steps)


@torch.inference_mode()
def _warn_of_missing_heads(world: World[Any], run: PastRun) -> None:
    """Say what a dream lacks, after one step of it."""
    state = world.begin(np.zeros(1, int))
    number = torch.zeros(1, dtype=torch.int64, device=state[0].device)
    still = torch.zeros(1, world.env.action_space.size, device=state[0].device)
    after = world.advance(state, still, RowDraws(number, number))
    if after.reward is None:
        key = REWARD_KEYS[run.stage]
        log.warning("%s predicts no rewards: all are 0; train it with %s", run.name, key)
    if after.done is None:
        log.warning(
            "%s predicts no ends: every episode lasts max_steps; train it with stage.ends=true",
            run.name,
        )


def open_pixel_world(run: PastRun, device: str) -> PixelWorld:
    """The world of a stage=pixel run."""
    predictor = load_pixel_predictor(run.best, device)
    store = predictor.split(EpisodeStore.at(run.input("episodes")))
    space = predictor.env.action_space
    context = predictor.model.context
    return PixelWorld(predictor, held_out_windows(store, context, space, predictor.view))


def open_latent_world(run: PastRun, device: str) -> LatentWorld:
    """The world of a stage=mdrnn run: its M, and the V on whose latents it was trained."""
    model = load_world_model(run.input("vae"), run.best, run.env, device=device)
    store = EpisodeStore.at(run.input("episodes"))
    starts = encoded_starts(model, store)
    return LatentWorld(model, starts, has_reward=_trained_on_rewards(run.path))


def _trained_on_rewards(run: Path) -> bool:
    """Whether M of this stage=mdrnn run has a reward head that means something."""
    path = run / "config.yaml"
    try:
        return bool(read_yaml(path).stage.include_reward)
    except (OmegaConfBaseException, AttributeError, OSError) as error:
        raise ValueError(f"{path} is damaged: {str(error).splitlines()[0]}") from None


REWARD_KEYS = {"pixel": "stage.rewards=true", "mdrnn": "stage.include_reward=true"}
WORLD_OPENERS: dict[str, Callable[[PastRun, str], World[Any]]] = {
    "pixel": open_pixel_world,
    "mdrnn": open_latent_world,
}
