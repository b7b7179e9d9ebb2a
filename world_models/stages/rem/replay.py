"""The episodes of stage=rem: a store that grows, and its tokens."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from world_models.agents.policy import Policy
from world_models.agents.rollout import collect
from world_models.data.episode import Episode
from world_models.data.growing import StoreAppender
from world_models.data.store import EpisodeStore, StoreWriter
from world_models.envs.make import make_vector_env
from world_models.runs.progress import ProgressBar
from world_models.runs.provenance import versions
from world_models.runs.run import Run
from world_models.runs.seeding import Purpose, fresh_seeds
from world_models.stages.rem.config import Collecting

SHARDS_PER_EPOCH = 4
"""About as many shards are written in an epoch of short episodes."""


@dataclass(frozen=True)
class Replay:
    """All episodes so far. Which are collected in an epoch is known from the store alone."""

    cfg: Collecting
    run: Run

    @property
    def folder(self) -> Path:
        """Where the store lies."""
        return self.run.path / "episodes"

    @property
    def store(self) -> EpisodeStore:
        """As it is now."""
        return EpisodeStore.open(self.folder)

    @property
    def train_steps(self) -> int:
        """Steps of all training episodes; 0 without a store."""
        return _steps(self._so_far)

    def collect(self, policy: Policy, epoch: int) -> None:
        """Play whole episodes until the steps of an epoch are there; those that are there stay."""
        store = self._so_far
        due, there = self.cfg.steps_by(epoch), _steps(store)
        if there >= due:
            return
        with ProgressBar(f"epoch {epoch}: collect", due, there, "steps") as bar:
            while there < due:
                shard = 0 if store is None else len(store.shards())
                episodes, split = self._played(policy, shard, self._size(store))
                store = self._add(shard, episodes, [split] * len(episodes))
                if split == "train":
                    steps = sum(episode.length for episode in episodes)
                    there += steps
                    bar.advance(steps)

    @property
    def _so_far(self) -> EpisodeStore | None:
        return self.store if (self.folder / "manifest.json").is_file() else None

    def _size(self, store: EpisodeStore | None) -> int:
        if store is None:
            return shard_size(self.cfg, [])
        last = store.shards()[-1]
        return shard_size(self.cfg, [row.length for row in store.episodes() if row.shard == last])

    def _played(self, policy: Policy, shard: int, size: int) -> tuple[list[Episode], str]:
        """The episodes of a shard, whose seeds follow from its number, and their split."""
        held_out = shard % self.cfg.val_every == 0
        held_out = held_out and not self.run.env.has_one_level
        purpose = Purpose.validation if held_out else Purpose.collection
        seeds = fresh_seeds(purpose, size, self.run.seed, "rem", shard)
        envs = make_vector_env(self.run.env, self.run.backend, self.cfg.num_envs)
        try:
            episodes = collect(envs, policy, seeds, max_steps=self.cfg.max_steps)
        finally:
            envs.close()
        return episodes, "validation" if held_out else "train"

    def _add(self, shard: int, episodes: list[Episode], splits: list[str]) -> EpisodeStore:
        """Write a shard; it counts from the moment at which the manifest names it."""
        if shard == 0:
            writer = StoreWriter(self.folder, self._meta)
            writer.write_shard(shard, episodes, splits)
            writer.finish()
            return self.store
        with StoreAppender.open(self.folder, self._meta) as appender:
            appender.write_shard(shard, episodes, splits)
            return appender.commit()

    @property
    def _meta(self) -> dict[str, Any]:
        run = self.run
        facts = {
            "policy": "rem",
            "seed": run.seed,
            "has_final_frame": run.env.family.has_final_frame,
        }
        return {
            "env": run.env.to_dict(),
            "backend": run.backend.value,
            "versions": versions(),
            **facts,
        }

    def first_of(self, epoch: int) -> int | None:
        """The number of the first episode that was collected in an epoch; None where none was."""
        before = self.cfg.steps_by(epoch - 1)
        for index, steps in self._steps_before():
            if before <= steps < self.cfg.steps_by(epoch):
                return index
        return None

    def _steps_before(self) -> Iterator[tuple[int, int]]:
        """Of the first training episode of each shard its number, and the steps before it."""
        steps, shard = 0, -1
        for row in self.store.episodes("train"):
            if row.shard != shard:
                yield row.index, steps
                shard = row.shard
            steps += row.length


def shard_size(cfg: Collecting, lengths: list[int]) -> int:
    """Episodes of the next shard, where those before were of these lengths.

    It is a multiple of the environments: at least each of them once, and as many as come to a share
    of an epoch. A store of many small shards is slow to open.
    """
    usual = sum(lengths) / len(lengths) if lengths else math.inf
    rounds = round(cfg.steps / SHARDS_PER_EPOCH / usual / cfg.num_envs)
    return cfg.num_envs * max(1, rounds)


def _steps(store: EpisodeStore | None) -> int:
    """Of all training episodes."""
    return 0 if store is None else sum(row.length for row in store.episodes("train"))
