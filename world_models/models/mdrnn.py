"""M: the recurrent mixture density network.

It predicts the next latent, the reward and the end of an episode.
"""

import math
from enum import Enum
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from world_models.models.cells import CELLS, Unrolled, of_cell
from world_models.models.draws import Draws

MAX_LOG_SIGMA = 7.0
"""Predicted log standard deviations are cut off here: sigma stays below 1.1e3, never infinite."""

Hidden = tuple[Tensor, Tensor]
Prediction = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]


class Masks(NamedTuple):
    """What M reads of each row while it drops out: 0, or 1 / (1 - dropout) where a value is kept.

    One mask holds for all steps of a sequence (variational dropout, Gal & Ghahramani 2016). Only
    what M reads is masked, never the action, nor what its head reads.
    """

    # (B, L)
    z: Tensor
    # (B, H)
    h: Tensor


class Mixture(Enum):
    """What a mixture component is chosen for: the whole latent, or each of its dimensions."""

    # for all of it: one of K diagonal Gaussians over L dimensions (ctallec/world-models)
    joint = "joint"
    # for each dimension: L independent mixtures of K Gaussians (Ha & Schmidhuber 2018)
    per_dimension = "per_dimension"


class _Predictor(nn.Module):
    """What MDRNN and MDRNNCell share: the sizes, the linear head, the initial state."""

    def __init__(
        self,
        latents: int,
        actions: int,
        hiddens: int,
        gaussians: int,
        *,
        mixture: str = "joint",
        sigma_floor: float = 1e-3,
        cell: str = "lstm",
    ) -> None:
        """`mixture` is a value of Mixture, `cell` a name in CELLS.

        `sigma_floor` is the lowest standard deviation that is ever predicted.
        """
        super().__init__()
        if not 0 <= sigma_floor < math.inf:
            raise ValueError(f"sigma_floor is {sigma_floor}; it must be 0 or more")
        self.config: dict[str, Any] = {
            "latents": latents,
            "actions": actions,
            "hiddens": hiddens,
            "gaussians": gaussians,
            "mixture": mixture,
            "sigma_floor": sigma_floor,
        }
        if cell != "lstm":
            # what was always so is not said
            self.config["cell"] = cell
        self.latents = latents
        self.actions = actions
        self.hiddens = hiddens
        self.gaussians = gaussians
        self.mixture = Mixture(mixture)
        self.sigma_floor = sigma_floor
        self.gmm_linear = nn.Linear(hiddens, (2 * latents + self._choices) * gaussians + 2)
        self.rnn = self._network(cell, actions + latents, hiddens)

    def _network(self, cell: str, inputs: int, hiddens: int) -> nn.Module:
        """What remembers."""
        raise NotImplementedError

    @property
    def _choices(self) -> int:
        """How many components are chosen for one latent."""
        return 1 if self.mixture is Mixture.joint else self.latents

    def get_init_hidden(self, batch_size: int = 1) -> Hidden:
        """The state (h, c) at the start of an episode: zeros, (B, H) each.

        They are on the module's device, in its dtype.
        """
        weight = self.gmm_linear.weight
        h = weight.new_zeros(batch_size, self.hiddens)
        c = weight.new_zeros(batch_size, self.hiddens)
        return h, c

    @property
    def reward_is_trained(self) -> bool:
        """Whether a weight of the reward's head lies outside the range in which all began.

        `nn.Linear` draws them within 1 / sqrt(H), and what is not in the loss stays there.
        """
        bound = self.hiddens**-0.5
        return bool(self.gmm_linear.weight[-2].abs().max() > 1.001 * bound)

    def masks(self, dropout: float, rows: int, draws: Draws) -> Masks:
        """New masks for as many rows; `dropout` in [0, 1) is the probability of a 0."""
        weight = self.gmm_linear.weight
        sizes = (self.latents, self.hiddens)
        return Masks(*(_mask(dropout, weight.new_empty(rows, size), draws) for size in sizes))

    def _head(self, hidden: Tensor) -> Prediction:
        """What the network says from its output, hidden (..., H).

        Returns mus, sigmas (..., K, L), logpi (..., K) or (..., K, L), reward (...), done (...) as
        logits. sigma is the floor plus an exponential, not a clamp: its gradient fades towards the
        floor but is never cut off.
        """
        table = (self.gaussians, self.latents)
        sizes = [self.gaussians * self.latents] * 2 + [self.gaussians * self._choices, 1, 1]
        output = self.gmm_linear(hidden)
        # half precision stops here
        wide = output.to(torch.promote_types(output.dtype, torch.float32))
        mus, logsigmas, logits, reward, done = wide.split(sizes, dim=-1)
        sigmas = self.sigma_floor + logsigmas.clamp(max=MAX_LOG_SIGMA).exp()
        logits = logits if self.mixture is Mixture.joint else logits.unflatten(-1, table)
        logpi = torch.log_softmax(logits, dim=hidden.ndim - 1)
        return (
            mus.unflatten(-1, table),
            sigmas.unflatten(-1, table),
            logpi,
            reward.squeeze(-1),
            done.squeeze(-1),
        )


class MDRNN(_Predictor):
    """M over whole sequences, for training (Ha & Schmidhuber 2018, appendix A.2)."""

    def _network(self, cell: str, inputs: int, hiddens: int) -> nn.Module:
        """See _Predictor."""
        return (
            nn.LSTM(inputs, hiddens) if cell == "lstm" else Unrolled(CELLS[cell](inputs, hiddens))
        )

    def forward(self, actions: Tensor, latents: Tensor) -> Prediction:
        """actions (T, B, A), latents (T, B, L) -> what follows each step.

        Every sequence begins from a zero state. Returns mus (T, B, K, L), sigmas (T, B, K, L),
        logpi (T, B, K), rewards (T, B), dones (T, B) as logits. Where each dimension has a mixture
        of its own, logpi is (T, B, K, L).
        """
        return self.unroll(actions, latents, self.get_init_hidden(latents.shape[1]))[0]

    def unroll(
        self, actions: Tensor, latents: Tensor, hidden: Hidden, masks: Masks | None = None
    ) -> tuple[Prediction, Hidden]:
        """As `forward`, from the state hidden (h, c), each (B, H); with masks, dropping out.

        Also returns the state after the last step.
        """
        if masks is not None:
            output, hidden = self._dropping(actions, latents, hidden, masks)
            return self._head(output), hidden
        h, c = hidden
        output, (h, c) = self.rnn(
            torch.cat([actions, latents], dim=-1), (h.unsqueeze(0), c.unsqueeze(0))
        )
        return self._head(output), (h.squeeze(0), c.squeeze(0))

    def _dropping(
        self, actions: Tensor, latents: Tensor, hidden: Hidden, masks: Masks
    ) -> tuple[Tensor, Hidden]:
        """The LSTM step by step: its own kernel cannot mask what goes from step to step."""
        h, c = hidden
        outputs = []
        for given in torch.cat([actions, latents * masks.z], dim=-1):
            h, c = self._step(given, (h * masks.h, c))
            outputs.append(h)
        return torch.stack(outputs), (h, c)

    def _step(self, given: Tensor, hidden: Hidden) -> Hidden:
        """One step: what is read (B, A+L) and the state -> the next state."""
        if isinstance(self.rnn, Unrolled):
            after: Hidden = self.rnn.cell(given, hidden)
            return after
        weights: Any = self.rnn.all_weights
        return torch.lstm_cell(given, hidden, *weights[0])

    def carry_on(
        self,
        actions: Tensor,
        latents: Tensor,
        carried: tuple[Tensor, ...],
        rows: Tensor,
        fresh: Tensor,
        masks: Masks | None = None,
    ) -> tuple[Prediction, Hidden]:
        """As `unroll`, for R of N carried states (h, c), each (N, H).

        Batch column i goes on from row rows[i], (R,). Where fresh (R,) is true it begins from zero
        instead. Also returns all N states with those R replaced. No gradient goes back through
        them (truncated backpropagation through time).
        """
        h, c = (state[rows].masked_fill(fresh.unsqueeze(1), 0) for state in carried)
        outputs, after = self.unroll(actions, latents, (h, c), masks)
        h, c = (
            state.index_copy(0, rows, new.detach())
            for state, new in zip(carried, after, strict=True)
        )
        return outputs, (h, c)


class MDRNNCell(_Predictor):
    """M one step at a time, for acting and dreaming; the same weights as an MDRNN."""

    rnn: Any

    def _network(self, cell: str, inputs: int, hiddens: int) -> nn.Module:
        """See _Predictor."""
        return CELLS[cell](inputs, hiddens)

    @classmethod
    def from_mdrnn(cls, mdrnn: MDRNN) -> "MDRNNCell":
        """A cell with a copy of the sequence model's weights, on its device and in its dtype."""
        weight = mdrnn.gmm_linear.weight
        cell = cls(**mdrnn.config).to(device=weight.device, dtype=weight.dtype)
        cell.load_state_dict({of_cell(name): value for name, value in mdrnn.state_dict().items()})
        return cell

    def advance(
        self, action: Tensor, latent: Tensor, hidden: Hidden, masks: Masks | None = None
    ) -> Hidden:
        """Read one step without predicting.

        action (B, A), latent (B, L), hidden (h, c) each (B, H) -> the next (h, c).
        """
        h, c = hidden
        if masks is not None:
            latent, h = latent * masks.z, h * masks.h
        h, c = self.rnn(torch.cat([action, latent], dim=-1), (h, c))
        return h, c

    def foresee(self, h: Tensor) -> Prediction:
        """h (B, H) of the state after a step -> what follows it.

        Returns mus (B, K, L), sigmas (B, K, L), logpi (B, K) or (B, K, L), reward (B,), done (B,)
        as logits.
        """
        return self._head(h)

    def forward(
        self, action: Tensor, latent: Tensor, hidden: Hidden
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Hidden]:
        """Read one step and predict what follows.

        action (B, A), latent (B, L), hidden (h, c) each (B, H). Returns mus (B, K, L), sigmas
        (B, K, L), logpi (B, K) or (B, K, L), reward (B,), done (B,) as logits, and the next (h, c).
        """
        hidden = self.advance(action, latent, hidden)
        return *self._head(hidden[0]), hidden


def sample_latent(
    mus: Tensor,
    sigmas: Tensor,
    logpi: Tensor,
    draws: Draws | None = None,
    temperature: float = 1.0,
) -> Tensor:
    """mus, sigmas (B, K, L), logpi (B, K) or (B, K, L) -> a latent (B, L) from each row's mixture.

    With logpi (B, K) a row's component holds for all dimensions, with (B, K, L) each dimension
    picks its own. Temperature tau divides the logits and multiplies the variances (Ha &
    Schmidhuber 2018, section 4). 0 gives the mean of the most probable component, and needs no
    draws. A negative temperature is a ValueError.
    """
    if temperature < 0:
        raise ValueError(f"temperature must be 0 or more, not {temperature}")
    if temperature == 0:
        return _choose(mus, logpi.argmax(1))
    assert draws is not None, temperature
    component = _draw(torch.softmax(logpi / temperature, dim=1), draws)
    mean = _choose(mus, component)
    sigma = _choose(sigmas, component)
    return mean + sigma * temperature**0.5 * draws.normal(mean)


def _mask(dropout: float, like: Tensor, draws: Draws) -> Tensor:
    """0 with probability `dropout`, else 1 / (1 - dropout), in the shape of `like` (B, ...)."""
    # an exponential is above -log(p) with probability p
    kept = draws.exponential(like) > -math.log1p(-dropout)
    return kept.to(like.dtype) / (1 - dropout)


def mixture_mean(mus: Tensor, logpi: Tensor) -> Tensor:
    """The mean (B, L) of mixtures: mus (B, K, L), logpi (B, K) or (B, K, L)."""
    weights = logpi if logpi.ndim == mus.ndim else logpi.unsqueeze(-1)
    return (weights.exp() * mus).sum(1)


def _draw(weights: Tensor, draws: Draws) -> Tensor:
    """Probabilities (B, K) or (B, K, L) -> a component (B,) or (B, L) for each row, or dimension.

    Of exponential noises with rates `weights`, component k's is the first with probability
    weights[k].
    """
    mixtures = weights.movedim(1, -1)
    # on the CPU argmax takes several times as long
    return (mixtures / draws.exponential(mixtures)).max(-1).indices


def _choose(values: Tensor, component: Tensor) -> Tensor:
    """values (B, K, L), component (B,) or (B, L) -> (B, L)."""
    wanted = component.view(len(values), 1, -1).expand(-1, 1, values.shape[-1])
    return values.gather(1, wanted).squeeze(1)
