"""The episodes of stage=rem: a store that grows, and its tokens."""

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
        if not (self.folder / "manifest.json").is_file():
            return 0
        return sum(row.length for row in self.store.episodes("train"))

    def collect(self, policy: Policy, epoch: int) -> None:
        """Play whole episodes until the steps of an epoch are there; those that are there stay."""
        due, there = self.cfg.steps_by(epoch), self.train_steps
        if there >= due:
            return
        with ProgressBar(f"epoch {epoch}: collect", due, there, "steps") as bar:
            while there < due:
                shard = self._next_shard
                episodes, split = self._played(policy, shard)
                self._add(shard, episodes, [split] * len(episodes))
                if split == "train":
                    steps = sum(episode.length for episode in episodes)
                    there += steps
                    bar.advance(steps)

    @property
    def _next_shard(self) -> int:
        return len(self.store.shards()) if (self.folder / "manifest.json").is_file() else 0

    def _played(self, policy: Policy, shard: int) -> tuple[list[Episode], str]:
        """The episodes of a shard, whose seeds follow from its number, and their split."""
        held_out = shard % self.cfg.val_every == 0
        held_out = held_out and not self.run.env.has_one_level
        purpose = Purpose.validation if held_out else Purpose.collection
        seeds = fresh_seeds(purpose, self.cfg.num_envs, self.run.seed, "rem", shard)
        envs = make_vector_env(self.run.env, self.run.backend, self.cfg.num_envs)
        try:
            episodes = collect(envs, policy, seeds, max_steps=self.cfg.max_steps)
        finally:
            envs.close()
        return episodes, "validation" if held_out else "train"

    def _add(self, shard: int, episodes: list[Episode], splits: list[str]) -> None:
        """Write a shard; it counts from the moment at which the manifest names it."""
        if shard == 0:
            writer = StoreWriter(self.folder, self._meta)
            writer.write_shard(shard, episodes, splits)
            writer.finish()
            return
        with StoreAppender.open(self.folder, self._meta) as appender:
            appender.write_shard(shard, episodes, splits)
            appender.commit()

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
