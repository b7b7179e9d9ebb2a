"""M: the recurrent mixture density network that predicts the next latent, the reward and the end of an episode."""

import torch
from torch import Tensor, nn

LOG_SIGMA_RANGE = (-7.0, 7.0)
"""Predicted log standard deviations are clamped to this range: sigma stays within [9e-4, 1.1e3], never 0 or infinite."""

Hidden = tuple[Tensor, Tensor]
Prediction = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]


class _Predictor(nn.Module):
    """What MDRNN and MDRNNCell share: sizes, the linear head, the initial state."""

    def __init__(self, latents: int, actions: int, hiddens: int, gaussians: int) -> None:
        super().__init__()
        self.config = {"latents": latents, "actions": actions, "hiddens": hiddens, "gaussians": gaussians}
        self.latents, self.actions, self.hiddens, self.gaussians = latents, actions, hiddens, gaussians
        self.gmm_linear = nn.Linear(hiddens, (2 * latents + 1) * gaussians + 2)

    def get_init_hidden(self, batch_size: int = 1) -> Hidden:
        """The state (h, c) at the start of an episode: two (B, H) zeros on the module's device, in its dtype."""
        weight = self.gmm_linear.weight
        return weight.new_zeros(batch_size, self.hiddens), weight.new_zeros(batch_size, self.hiddens)

    def _head(self, hidden: Tensor) -> Prediction:
        """hidden (..., H) -> mus (..., K, L), sigmas (..., K, L), logpi (..., K), reward (...), done logit (...)."""
        components, latents = self.gaussians, self.latents
        sizes = [components * latents, components * latents, components, 1, 1]
        output = self.gmm_linear(hidden)
        wide = output.to(torch.promote_types(output.dtype, torch.float32))  # half precision stops here
        mus, logsigmas, logits, reward, done = wide.split(sizes, dim=-1)
        sigmas = logsigmas.clamp(*LOG_SIGMA_RANGE).exp().unflatten(-1, (components, latents))
        logpi = torch.log_softmax(logits, dim=-1)
        return mus.unflatten(-1, (components, latents)), sigmas, logpi, reward.squeeze(-1), done.squeeze(-1)


class MDRNN(_Predictor):
    """M over whole sequences, for training (Ha & Schmidhuber 2018, appendix A.2; joint mixture over the latent)."""

    def __init__(self, latents: int, actions: int, hiddens: int, gaussians: int) -> None:
        super().__init__(latents, actions, hiddens, gaussians)
        self.rnn = nn.LSTM(actions + latents, hiddens)

    def forward(self, actions: Tensor, latents: Tensor) -> Prediction:
        """actions (T, B, A), latents (T, B, L) -> what follows each step, every sequence from a zero state.

        Returns mus (T, B, K, L), sigmas (T, B, K, L), logpi (T, B, K), rewards (T, B), dones (T, B) as logits.
        """
        hidden, _ = self.rnn(torch.cat([actions, latents], dim=-1))
        return self._head(hidden)


class MDRNNCell(_Predictor):
    """M one step at a time, for acting and dreaming; the same weights as an MDRNN."""

    def __init__(self, latents: int, actions: int, hiddens: int, gaussians: int) -> None:
        super().__init__(latents, actions, hiddens, gaussians)
        self.rnn = nn.LSTMCell(actions + latents, hiddens)

    @classmethod
    def from_mdrnn(cls, mdrnn: MDRNN) -> "MDRNNCell":
        """A cell with a copy of the sequence model's weights, on its device and in its dtype."""
        weight = mdrnn.gmm_linear.weight
        cell = cls(**mdrnn.config).to(device=weight.device, dtype=weight.dtype)
        cell.load_state_dict({name.removesuffix("_l0"): value for name, value in mdrnn.state_dict().items()})
        return cell

    def advance(self, action: Tensor, latent: Tensor, hidden: Hidden) -> Hidden:
        """action (B, A), latent (B, L), hidden (h, c) each (B, H) -> the next (h, c), without predicting."""
        h, c = self.rnn(torch.cat([action, latent], dim=-1), hidden)
        return h, c

    def forward(
        self, action: Tensor, latent: Tensor, hidden: Hidden
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Hidden]:
        """action (B, A), latent (B, L), hidden (h, c) each (B, H) -> what follows, and the next (h, c).

        Returns mus (B, K, L), sigmas (B, K, L), logpi (B, K), reward (B,), done (B,) as logits, (h, c).
        """
        hidden = self.advance(action, latent, hidden)
        return *self._head(hidden[0]), hidden


def sample_latent(
    mus: Tensor, sigmas: Tensor, logpi: Tensor, generator: torch.Generator | None = None, temperature: float = 1.0
) -> Tensor:
    """mus (B, K, L), sigmas (B, K, L), logpi (B, K) -> one latent (B, L) drawn from each row's mixture.

    Temperature tau divides the logits and multiplies the variances (Ha & Schmidhuber 2018, section 4);
    0 gives the mean of the most probable component. A negative temperature is a ValueError.
    """
    if temperature < 0:
        raise ValueError(f"temperature must be 0 or more, not {temperature}")
    if temperature == 0:
        return _choose(mus, logpi.argmax(-1))
    weights = torch.softmax(logpi / temperature, dim=-1)
    component = torch.multinomial(weights, 1, generator=generator).squeeze(-1)
    mean, sigma = _choose(mus, component), _choose(sigmas, component)
    noise = torch.randn(mean.shape, generator=generator, device=mean.device, dtype=mean.dtype)
    return mean + sigma * temperature**0.5 * noise


def _choose(values: Tensor, component: Tensor) -> Tensor:
    """values (B, K, L), component (B,) -> (B, L)."""
    return values[torch.arange(len(values), device=values.device), component]
