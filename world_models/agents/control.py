"""C at work: what it sees in, environment actions out."""

from collections.abc import Sequence

import numpy as np
import torch

from world_models.envs.actions import ActionSpace
from world_models.models.controller import ControllerInputs, act_many
from world_models.runs import seeding
from world_models.worlds.inference import batches


class ControllerPolicy:
    """Plays row i with controller i, from features: in a dream of M, or behind a `Perception`.

    What a row does depends on its own seed, features and controller, bit for bit.
    """

    def __init__(
        self,
        inputs: ControllerInputs,
        space: ActionSpace,
        vectors: np.ndarray,
        noise: float = 0.0,
        device: str | torch.device = "cpu",
    ) -> None:
        """`vectors` (N, parameters), one a row, or (1, parameters) for one that plays every row.

        Each episode draws its own level of exploration, uniform between 0 and `noise`, so that
        good driving and bad are both seen. For Box actions the level is the standard deviation of
        what is added to C's raw output. For Discrete ones it is the share of uniform actions.
        """
        self.inputs = inputs
        self.space = space
        self.noise = noise
        self.vectors = torch.from_numpy(np.asarray(vectors, np.float32)).to(device)

    def reset(self, seeds: Sequence[int]) -> None:
        """Begin one episode per seed."""
        assert len(self.vectors) in (1, len(seeds)), (self.vectors.shape, len(seeds))
        self.rows_of = self.vectors.expand(len(seeds), -1)
        self.generators = (
            [seeding.generator(seed, "policy") for seed in seeds] if self.noise else []
        )
        self.levels = [self.noise * generator.random() for generator in self.generators]

    @torch.inference_mode()
    def act(self, features: np.ndarray | torch.Tensor, rows: np.ndarray) -> np.ndarray:
        """Environment actions (n, ...) of the rows (n,), which see features (n, F).

        A controller whose output is NaN or infinite is a ValueError.
        """
        seen = torch.as_tensor(features, device=self.vectors.device)
        raw = np.concatenate(
            [self._raw(batch.fill(seen), batch.filled) for batch in batches(rows, seen.device)]
        )[: len(rows)]
        require_finite(raw)
        return self._explore(raw, rows)

    def _raw(self, features: torch.Tensor, rows: np.ndarray) -> np.ndarray:
        """C's outputs (n, A) of the rows (n,)."""
        vectors = self.rows_of[torch.from_numpy(rows).to(features.device)]
        return act_many(vectors, features, self.inputs.hidden_units).cpu().numpy()

    def _explore(self, raw: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Environment actions (n, ...) from C's outputs (n, A)."""
        if not self.noise:
            return self.space.from_raw(raw)
        if self.space.kind == "box":
            drawn = [
                self.levels[row] * self.generators[row].standard_normal(raw.shape[1], np.float32)
                for row in rows
            ]
            return self.space.from_raw(raw + np.stack(drawn, dtype=np.float32))
        actions = self.space.from_raw(raw)
        return with_uniform(actions, rows, self.space, self.generators, self.levels)


def with_uniform(
    actions: np.ndarray,
    rows: np.ndarray,
    space: ActionSpace,
    generators: Sequence[np.random.Generator],
    shares: Sequence[float],
) -> np.ndarray:
    """The actions (n, ...) of the rows (n,), of each row its share replaced by uniform ones."""
    for place, row in enumerate(rows.tolist()):
        if generators[row].random() < shares[row]:
            actions[place] = space.sample(generators[row], 1)[0]
    return actions


def require_finite(raw: np.ndarray) -> None:
    """Outputs of controllers (n, A) that are NaN or infinite are a ValueError."""
    if not np.isfinite(raw).all():
        raise ValueError(
            "a controller's output is NaN or infinite: its parameters, "
            "or the weights of V or M, are broken"
        )
