"""How an actor-critic learns: on steps that a world of tokens imagines, and on real ones."""

from dataclasses import dataclass
from typing import Any, TypeVar, cast

import torch
from torch import Tensor

from world_models.data.token_episodes import History, TokenEpisodes
from world_models.envs.spec import EnvSpec
from world_models.learning.learner import Learner, steady_training
from world_models.learning.rollouts import Imagination, Rollout, imagined, real
from world_models.losses import actor_critic_loss, lambda_returns, normalised
from world_models.models.actor_critic import ActorCritic
from world_models.models.draws import StreamDraws
from world_models.models.token_choice import Drawing
from world_models.models.tokenizers.tokenizer import Tokenizer
from world_models.runs import seeding
from world_models.runs.metrics import MetricsLog
from world_models.runs.numbers import require_not_negative, require_positive
from world_models.runs.progress import ProgressBar
from world_models.runs.run import Run
from world_models.runs.training import adamw

Parts = TypeVar("Parts", bound=tuple[Tensor, ...])

KIND = "actor_critic"
"""Of its checkpoints, and of its seeds."""


@dataclass
class BehaviourLearning:
    """An actor-critic and how it learns.

    A batch has `batch_size` rows. Each begins at a frame that was really seen, after `burn_in`
    frames before it from which only memory is taken, and goes on for `horizon` steps.
    """

    channels: int = 48  # after the first convolution; the second has half of them
    hidden: int = 128  # units of the LSTM
    action_inputs: bool = True  # whether it is told what was done
    batch_size: int = 64  # rows of an update
    horizon: int = 8  # steps that a row goes on for
    drawing: Drawing = Drawing.independent  # how the tokens of its frames are drawn
    burn_in: int = 8  # frames before them, from which only memory is taken
    discount: float = 0.97  # of a reward, for each step until it comes
    trace: float = 0.95  # lambda of the returns
    entropy_weight: float = 0.03  # of the entropy of the actions in the loss
    learning_rate: float = 1e-3  # of AdamW
    weight_decay: float = 0.01  # of AdamW
    grad_clip: float = 3.0  # largest norm of a gradient; 0: any
    # as published: values are one number, advantages are as they are, and steps after an imagined
    # end are learned from
    parity: bool = False

    def __post_init__(self) -> None:
        require_positive("stage", self, "channels", "hidden", "batch_size", "horizon")
        require_positive("stage", self, "learning_rate")
        require_not_negative("stage", self, "burn_in", "entropy_weight", "weight_decay")
        require_not_negative("stage", self, "grad_clip")
        for name in ("discount", "trace"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"stage.{name} is {getattr(self, name)}; it must lie in [0, 1]")


class BehaviourLearner(Learner[ActorCritic]):
    """An actor-critic that learns in a run, by itself or (`part`) beside other models.

    Tokenizer and world only serve it: it changes nothing of them. What an update reads is a
    function of the run's seed, its step, and the episodes that there are.
    """

    def __init__(
        self,
        cfg: BehaviourLearning,
        run: Run,
        grid: tuple[int, int],
        code_size: int,
        log_interval: int = 50,
        part: str = "",
    ) -> None:
        require_discrete(run.env)
        self.cfg, self.run = cfg, run
        with seeding.seeded_weights(run.seed, KIND, "weights"):
            model = make_actor_critic(cfg, grid, code_size, run.env.action_space.size)
        model = model.to(run.device.value)
        optimizer = adamw(model, cfg.learning_rate, cfg.weight_decay)
        self.training = steady_training(KIND, model, optimizer, log_interval, part)

    @property
    def model(self) -> ActorCritic:
        """What learns."""
        return self.training.model

    def learn(
        self,
        tokenizer: Tokenizer,
        world: Imagination,
        episodes: TokenEpisodes,
        updates: int,
        metrics: MetricsLog,
        bar: ProgressBar,
    ) -> None:
        """So many updates on steps that the world imagines."""
        places = episodes.places()
        seen = max(self.cfg.burn_in + 1, world.context)
        self.model.train()
        for _ in range(updates):
            rows = places[self._chosen(len(places))]
            rollout = imagined(
                self.model,
                tokenizer,
                world,
                self._before(tokenizer, episodes, rows, seen),
                self.cfg.horizon,
                self._draws(),
                after_ends=self.cfg.parity,
            )
            self._update(rollout, metrics)
            bar.advance(1, len(rows) * self.cfg.horizon)

    def learn_real(
        self,
        tokenizer: Tokenizer,
        episodes: TokenEpisodes,
        rows: Tensor,
        metrics: MetricsLog,
        bar: ProgressBar,
    ) -> None:
        """One update on the steps that were really done from the rows (B,) on.

        The actor learns from its own deeds: they should be of the policy as it is now.
        """
        self.model.train()
        device = self.run.device.value
        history = self._before(tokenizer, episodes, rows, self.cfg.burn_in + 1)
        stretch = on_device(episodes.stretch(rows, self.cfg.horizon), device)
        self._update(real(self.model, tokenizer, history, stretch), metrics)
        bar.advance(1, len(rows) * self.cfg.horizon)

    def _before(
        self, tokenizer: Tokenizer, episodes: TokenEpisodes, rows: Tensor, steps: int
    ) -> History:
        """The `steps` frames up to those of the rows (B,), which the model takes for usual."""
        history = on_device(episodes.history(rows, steps), self.run.device.value)
        self.model.get_used_to(tokenizer.codes(history.tokens[:, -1]))
        return history

    def _chosen(self, count: int) -> Tensor:
        """The items of this step's batch, uniform among `count`."""
        draw = seeding.generator(self.run.seed, KIND, "batch", self.step)
        return torch.from_numpy(draw.integers(count, size=self.cfg.batch_size))

    def _draws(self) -> StreamDraws:
        """The noise of this step's rollout."""
        device = self.run.device.value
        return StreamDraws(
            seeding.torch_generator(self.run.seed, KIND, "draws", self.step, device=device)
        )

    def _update(self, rollout: Rollout, metrics: MetricsLog) -> None:
        loss, terms = behaviour_loss(self.cfg, self.model, rollout)
        self.training.update(loss, {"loss": loss, **terms}, metrics, self.cfg.grad_clip)


def on_device(values: Parts, device: str) -> Parts:
    """A NamedTuple of tensors, each moved."""
    moved: Any = values
    return cast(Parts, moved._make(value.to(device) for value in values))


def make_actor_critic(
    cfg: BehaviourLearning, grid: tuple[int, int], code_size: int, actions: int
) -> ActorCritic:
    """A new actor-critic of the size that the keys say."""
    return ActorCritic(
        code_size,
        grid,
        actions,
        channels=cfg.channels,
        hidden=cfg.hidden,
        action_inputs=cfg.action_inputs,
        value_bins=0 if cfg.parity else 128,
        centred=not cfg.parity,
    )


def require_discrete(env: EnvSpec) -> None:
    """Actions that cannot be chosen one by one are a ValueError."""
    if env.action_space.kind != "discrete":
        raise ValueError(
            f"the actor-critic chooses among numbered actions, and those of {env.id} are a "
            "Box: choose another environment"
        )


def behaviour_loss(
    cfg: BehaviourLearning, model: ActorCritic, rollout: Rollout
) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss of a rollout, and its terms.

    "return" is the mean of what follows a step, "value" the mean of what the critic expected.
    """
    returns = lambda_returns(
        rollout.rewards,
        rollout.next_values,
        rollout.ends,
        rollout.cuts,
        cfg.discount,
        cfg.trace,
    )
    values = model.value_of(rollout.values.detach())
    advantages = returns - values
    if not cfg.parity:
        # the critic lags behind returns that rise: whatever is done would seem good
        advantages = normalised(advantages, rollout.mask)
    loss, terms = actor_critic_loss(
        rollout.logits,
        rollout.actions,
        advantages,
        model.value_error(rollout.values, returns),
        rollout.mask,
        cfg.entropy_weight,
    )
    shares = rollout.mask / rollout.mask.sum().clamp(min=1)
    facts = {"reward": rollout.rewards, "return": returns, "value": values}
    return loss, terms | {name: (shares * told).sum() for name, told in facts.items()}
