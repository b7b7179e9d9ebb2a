"""Episodes with random frames and latents, and a small random M and V to judge on them."""

from collections.abc import Callable
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import pytest
import torch

from world_models.data.episode import TERMINATED, TRUNCATED, Episode
from world_models.data.latents import LatentStore, encode_store
from world_models.data.store import EpisodeStore, StoreWriter
from world_models.envs.actions import ActionSpace
from world_models.envs.preprocess import Preprocessing
from world_models.envs.spec import EnvSpec
from world_models.measures.episodes import LatentEpisodes
from world_models.models.convvae import ConvVAE
from world_models.models.mdrnn import MDRNN
from world_models.worlds.latent import WorldModel

LATENT, HIDDEN, GAUSSIANS = 3, 8, 2
SPACE = ActionSpace("discrete", 4, (), (), (), start=1)
LENGTHS = [
    ("train", 6),
    ("train", 9),
    ("validation", 7),
    ("validation", 2),
    ("train", 1),
    ("validation", 12),
]
META = {
    "env": EnvSpec(
        "Random-v0",
        {},
        Preprocessing((0, 0, 0, 0), 16, False),
        1,
        ActionSpace("box", 2, (0.0, 0.0), (99.0, 99.0), ("affine", "affine")),
        50,
    ).to_dict(),
    "backend": "gymnasium",
    "policy": "random",
    "seed": 0,
    "versions": {},
}
VAE = "a" * 64
# stands where a store without final frames holds another episode's frame
POISON = 1e6


def random_episode(number: int, length: int, draw: np.random.Generator) -> Episode:
    frames = draw.integers(0, 256, (length + 1, 64, 64, 3), dtype=np.uint8)
    actions = draw.integers(1, 5, length + 1)
    rewards = draw.normal(size=length + 1).astype(np.float32)
    done = np.zeros(length + 1, np.uint8)
    done[-2] = TRUNCATED if number % 2 else TERMINATED
    actions[-1] = 0
    rewards[-1] = 0
    return Episode(number, frames, actions, rewards, done)


MakeEpisodes = Callable[..., LatentEpisodes]


@pytest.fixture
def make_episodes(tmp_path: Path) -> MakeEpisodes:
    """make_episodes(lengths=LENGTHS, has_final_frame=True), each call in a folder of its own.

    `lengths` holds (split, length) of each episode; two lie in a shard.
    """

    def make(
        lengths: list[tuple[str, int]] = LENGTHS, has_final_frame: bool = True
    ) -> LatentEpisodes:
        draw = np.random.default_rng(0)
        folder = Path(mkdtemp(dir=tmp_path))
        writer = StoreWriter(folder / "episodes", {**META, "has_final_frame": has_final_frame})
        played = [
            random_episode(number, length, draw) for number, (_, length) in enumerate(lengths)
        ]
        for index in range(0, len(played), 2):
            splits = [split for split, _ in lengths[index : index + 2]]
            writer.write_shard(index // 2, played[index : index + 2], splits)
        writer.finish()
        store = EpisodeStore.open(folder / "episodes")

        def encode(frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            mu, logsigma = draw.normal(size=(2, len(frames), LATENT)).astype(np.float32)
            return torch.from_numpy(mu), torch.from_numpy(logsigma - 1)

        encode_store(encode, store, folder / "latents", VAE)
        if not has_final_frame:
            for row in store.rows:
                path = folder / "latents" / f"shard_{row.shard:05d}_mu.npy"
                mu = np.load(path)
                mu[row.start + row.length] = POISON
                np.save(path, mu)
        return LatentEpisodes(
            store, LatentStore.open(folder / "latents", VAE, store), SPACE.to_model
        )

    return make


MakeWorld = Callable[..., WorldModel]


@pytest.fixture
def make_world() -> MakeWorld:
    """make_world(mixture="joint", gaussians=GAUSSIANS): V and M with random weights."""

    def make(mixture: str = "joint", gaussians: int = GAUSSIANS) -> WorldModel:
        torch.manual_seed(0)
        mdrnn = MDRNN(LATENT, SPACE.size, HIDDEN, gaussians, mixture=mixture)
        with torch.no_grad():
            # so that components, and what M remembers, differ
            mdrnn.gmm_linear.weight.mul_(4)
        env = EnvSpec("Random-v0", {}, Preprocessing((0, 0, 0, 0), 64, False), 1, SPACE, None)
        return WorldModel(ConvVAE(3, LATENT), mdrnn, env)

    return make
