"""How candidates dream: keys of the search, and the dream that they open."""

from dataclasses import dataclass, field

from world_models.models.controller import ControllerInputs
from world_models.runs.numbers import require_below_one, require_not_negative
from world_models.runs.past import PastRun
from world_models.runs.run import PATH
from world_models.search.dreaming import Dreamers
from world_models.search.dreaming_frames import FrameDreamers
from world_models.worlds.dream_env import DreamEnv
from world_models.worlds.dreaming import Dream, Reward, Rules
from world_models.worlds.latent import WorldModel
from world_models.worlds.opening import Dials, open_latent_world, open_pixel_world
from world_models.worlds.starts import Starts


@dataclass
class DreamConfig:
    """What candidates dream: the rules of an episode, and the dials of M."""

    # what is rewarded
    reward: Reward = Reward.head
    # an episode ends where the predicted probability is above this; null: drawn with it
    end: float | None = 0.5
    # steps after which an episode is cut
    max_steps: int = 200
    # where in held-out episodes it begins
    starts: Starts = Starts.anywhere
    # of what M guesses; 0: always its mode
    temperature: float = 1.0
    # probability that M does not read a number of z or h, all through an episode
    dropout: float = 0.0
    # standard deviation of what is added to the first z
    start_noise: float = 0.0
    # a stage=pixel run that dreams instead of M, in frames that V and M see
    source: str | None = field(default=None, metadata=PATH)

    def __post_init__(self) -> None:
        require_not_negative("stage.dream", self, "temperature", "start_noise")
        require_below_one("stage.dream", self, "dropout")
        if self.source is not None and self.dials != DreamConfig().dials:
            raise ValueError(
                "stage.dream.temperature, dropout and start_noise are dials of M, and "
                "stage.dream.source names a pixel model, which has none of them"
            )
        # refuses what is no rule
        _ = self.rules

    @property
    def rules(self) -> Rules:
        """Of an episode."""
        return Rules(self.reward, self.end, self.max_steps)

    @property
    def dials(self) -> Dials:
        """Of M."""
        return {
            "temperature": self.temperature,
            "dropout": self.dropout,
            "start_noise": self.start_noise,
        }


def open_dreamers(
    cfg: DreamConfig, run: PastRun, device: str, inputs: ControllerInputs
) -> Dreamers:
    """Candidates that play in the dream of a finished stage=mdrnn run.

    One whose M predicts no rewards, where these are what counts, is a ValueError.
    """
    world = open_latent_world(run, device, inputs, cfg.starts, **cfg.dials)
    if cfg.reward is Reward.head and not world.has_reward:
        raise ValueError(
            f"stage.dream.reward=head, and M of {run.name} predicts no rewards: train it with "
            "stage.include_reward=true, or take stage.dream.reward=survival"
        )
    return Dreamers(Dream(world, cfg.rules), inputs.hidden_units)


def open_frame_dreamers(
    cfg: DreamConfig, source: PastRun, model: WorldModel, num_envs: int
) -> FrameDreamers:
    """Candidates that play in the dream of a finished stage=pixel run, `num_envs` at a time.

    One of other frames or actions than V and M see, and one without a reward head where this is
    what counts, are ValueErrors.
    """
    if source.stage != "pixel":
        raise ValueError(
            f"stage.dream.source={source.name} is a {source.stage} run: name a pixel run"
        )
    world = open_pixel_world(source, str(model.device), cfg.starts)
    theirs, ours = world.env, model.env
    shown = (theirs.preprocessing.size, theirs.preprocessing.channels, theirs.action_space)
    if shown != (ours.preprocessing.size, ours.preprocessing.channels, ours.action_space):
        raise ValueError(
            f"stage.dream.source={source.name} dreams frames or actions of another kind than V and "
            "M of the upstream run see"
        )
    if cfg.reward is Reward.head and not world.model.config.get("rewards"):
        raise ValueError(
            f"stage.dream.reward=head, and {source.name} predicts no rewards: train it with "
            "stage.rewards=true, or take stage.dream.reward=survival"
        )
    return FrameDreamers(DreamEnv(Dream(world, cfg.rules), num_envs), model)
