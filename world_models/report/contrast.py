"""Runs side by side: what differs in their configurations, and which differ in the seed alone."""

import string
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from world_models.config.schema import Config
from world_models.config.yaml_file import read_yaml
from world_models.report.headline import Headline, headline
from world_models.runs.past import PastRun
from world_models.runs.places import led_to
from world_models.runs.quotes import as_typed
from world_models.runs.results import AgentScores, read_scores

BEHIND = "upstream."
"""Before a key of the run that feeds another."""
FREE = {item.name for item in fields(Config) if item.metadata.get("resume") == "free"}
CHANCE = {"seed", "upstream", "agent"}
"""Keys in which runs of one kind may differ: chance, and what was trained with another chance."""
MOST_TOLD = 3
"""Keys that stand beside the letter of a run."""
OF_THE_MACHINE = {"backend", "workers", "max_workers", "num_workers", "deadline"}


@dataclass(frozen=True)
class Shown:
    """A run, under the letter that stands for it."""

    label: str
    run: PastRun
    # dotted key -> value as it is typed, also of the runs behind it
    config: dict[str, str]
    # the number by which it is compared; None where there is none yet
    headline: Headline | None
    # returns of the agent, of an evaluation
    episodes: list[float]

    @property
    def kind(self) -> tuple[tuple[str, str], ...]:
        """What runs have in common that differ in chance alone."""
        own = [(key, value) for key, value in self.config.items() if counts(key)]
        return (("", self.run.stage), *own)


@dataclass(frozen=True)
class Group:
    """Runs that differ in chance alone, and have a score."""

    members: list[Shown]
    # what tells them from other runs, as it is typed; empty where nothing does
    told: str = ""

    @property
    def name(self) -> str:
        """The letters, and what they stand for."""
        return named(self.label, self.told)

    @property
    def label(self) -> str:
        """The letters of its runs."""
        return ", ".join(member.label for member in self.members)

    @property
    def headline(self) -> Headline:
        """That of its first run."""
        found = self.members[0].headline
        assert found is not None, self.label
        return found

    @property
    def scores(self) -> list[float]:
        """A score of each run."""
        return [member.headline.value for member in self.members if member.headline]

    @property
    def episodes(self) -> list[float]:
        """The returns of all episodes."""
        return [value for member in self.members for value in member.episodes]


def shown(folders: Sequence[Path]) -> list[Shown]:
    """The runs in these folders; one that is none, or damaged, is a ValueError."""
    return [_shown(label(number), PastRun(folder)) for number, folder in enumerate(folders)]


def _shown(name: str, run: PastRun) -> Shown:
    return Shown(name, run, config_of(run), headline(run.path), _episodes(run))


def label(number: int) -> str:
    """A to Z, then AA to AZ, and so on."""
    letters = string.ascii_uppercase
    ahead = label(number // len(letters) - 1) if number >= len(letters) else ""
    return ahead + letters[number % len(letters)]


def _episodes(run: PastRun) -> list[float]:
    """Of an evaluation, or of the last one of a chain."""
    parts = [part for part in run.parts if part.stage == "evaluate"]
    path = (run.path / parts[-1].folder if parts else run.path) / "scores.json"
    scores = read_scores(path) if path.is_file() else None
    return scores.returns if isinstance(scores, AgentScores) else []


def config_of(run: PastRun) -> dict[str, str]:
    """Dotted key -> value, of a run and of all that fed it, as far as they are there."""
    content = OmegaConf.to_container(read_yaml(run.path / "config.yaml"))
    found = {**dict(_flat(content)), "stage": run.stage}
    stored = run.manifest.get("upstream")
    feeder = PastRun(led_to(run.path, stored)) if stored else None
    if feeder is None or not feeder.is_one:
        return found
    return found | {f"{BEHIND}{key}": value for key, value in config_of(feeder).items()}


def _flat(content: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in content.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", as_typed(value)


def counts(key: str) -> bool:
    """Whether a key makes another kind of run, and is not of chance or of the machine."""
    own = key[key.rfind(BEHIND) + len(BEHIND) :] if BEHIND in key else key
    first, last = own.partition(".")[0], own.rpartition(".")[2]
    return first not in FREE | CHANCE and last not in OF_THE_MACHINE


def differences(runs: Sequence[Shown]) -> dict[str, list[str]]:
    """Key -> its value in each run, of the keys in which they differ; a dash where there is none.

    Where runs lie, and what was behind them, is no difference: keys of what was behind are there.
    """
    keys = dict.fromkeys(key for run in runs for key in run.config)
    found = {key: [run.config.get(key, "–") for run in runs] for key in keys}
    plain = {key: row for key, row in found.items() if len(set(row)) > 1}
    return {key: row for key, row in plain.items() if key.rpartition(".")[2] != "upstream"}


def groups(runs: Sequence[Shown]) -> list[Group]:
    """Runs with a score, those that differ in chance alone taken together."""
    found: dict[Any, list[Shown]] = {}
    for run in runs:
        if run.headline is not None:
            found.setdefault(run.kind, []).append(run)
    said = told(runs)
    return [Group(members, said[members[0].label]) for members in found.values()]


def told(runs: Sequence[Shown]) -> dict[str, str]:
    """Letter -> the keys, with their values, in which a run is of another kind than others."""
    keys = sorted((key for key in differences(runs) if counts(key)), key=lambda key: key != "stage")
    return {run.label: _typed([key for key in keys if key in run.config], run) for run in runs}


def _typed(keys: list[str], run: Shown) -> str:
    words = [f"{key}={run.config[key]}" for key in keys[:MOST_TOLD]]
    return ", ".join([*words, "…"] if len(keys) > MOST_TOLD else words)


def named(letters: str, said: str) -> str:
    """Letters of runs with what they stand for."""
    return f"{letters}: {said}" if said else letters
