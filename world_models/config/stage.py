"""A stage as one row, and a chain of stages as another: all that others must know of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from world_models.config.parts import at_place
from world_models.envs.spec import EnvSpec
from world_models.runs.device import Device
from world_models.runs.past import PastRun
from world_models.runs.run import Run

Look = Callable[[Path], None]
"""Shows something of what lies below a folder of outputs, and makes no run."""


@dataclass(frozen=True)
class Product:
    """What a stage gives to others: the kind under which they record it, and its file."""

    kind: str
    file: str


@dataclass(frozen=True)
class Setting:
    """What a stage's configuration is resolved for.

    `fed_by` is the stage whose run feeds it; `upstream` is that run, where it exists already: in
    a chain it does not. `agent` is the file of the agent that the root key `agent` names.
    """

    env: EnvSpec
    device: Device
    fed_by: str | None = None
    upstream: PastRun | None = None
    agent: Path | None = None


def as_given(cfg: Any, setting: Setting) -> Any:
    """A configuration that depends on neither environment nor device nor upstream."""
    return cfg


def nothing(cfg: Any) -> None:
    """A configuration that always makes a run, or whose parts always fit each other."""


def always(cfg: Any) -> bool:
    """A stage that makes a run whatever its configuration."""
    return True


@dataclass(frozen=True)
class Stage:
    """One stage. Its row is the last lines of its file, under the name STAGE."""

    name: str
    config: type
    # does the work of a run; None for a stage that makes no run
    execute: Callable[[Any, Run], None] | None = None
    # the stage whose run folder feeds it, or one of several: where no run is named, the newest of
    # the first of which there is one, and with `needs_none` of the first alone
    needs: tuple[str, ...] = ()
    # stages whose run feeds it, too, but only where it is named
    needs_or_named: tuple[str, ...] = ()
    # it also works where none is named and none is there
    needs_none: bool = False
    gives: Product | None = None
    # the tables that it may write, name of the CSV file -> kind of its rows
    tables: Mapping[str, type] = field(default_factory=dict)
    # its run takes the place of a run of that stage where it has the same product
    stands_for: str | None = None
    # decides what depends on the setting and refuses what cannot work, before anything is written
    resolve: Callable[[Any, Setting], Any] = as_given
    # what it shows instead of making a run, where its configuration asks for that
    look: Callable[[Any], Look | None] = nothing
    # whether it makes a run folder; where not, `execute` has the folder of outputs for it
    makes_run: Callable[[Any], bool] = always
    # scores count on the environment's own implementation: `env.backend=auto` means that one
    on_own_backend: bool = False
    # batches that processes of torchrun share out, by the key that sets their size; refuses what
    # they cannot do. None: one process does it all
    shared_out: Callable[[Any], dict[str, int]] | None = None
    # a batch of one row is all it computes at a time, which is no work to share
    on_one_thread: bool = False
    # it plays the agent that the root key `agent` names
    plays_agents: bool = False
    # the stage that eval.sh runs on what was made here
    evaluated_by: str | None = None
    # the world of stage=play that is made here, for play.sh
    played_in: str | None = None


@dataclass(frozen=True)
class ChainPart:
    """One run of a chain: its folder, its stage, and the field of the config that it is of."""

    folder: str
    stage: Stage
    key: str
    # values of this run alone; a relative path is seen from its folder
    changes: dict[str, Any] = field(default_factory=dict)

    def config_of(self, cfg: Any) -> Any:
        """The configuration of this run, from that of the chain."""
        return replace(getattr(cfg, self.key), **self.changes)

    def resolve(self, own: Any, setting: Setting) -> Any:
        """A copy of its stage's configuration that is resolved; a ValueError names its keys."""
        try:
            return self.stage.resolve(own, setting)
        except ValueError as error:
            raise ValueError(at_place(str(error), f"stage.{self.key}", type(own))) from None


@dataclass(frozen=True)
class Chain:
    """Several stages in one run folder. Its row is the last lines of its file, named CHAIN.

    `config` is a dataclass whose fields hold the configurations of the stages, in their order.
    """

    name: str
    config: type
    stages: tuple[Stage, ...]
    # the runs that a configuration asks for; a stage may occur several times
    plan: Callable[["Chain", Any], list[ChainPart]] | None = None

    @property
    def evaluated_by(self) -> str | None:
        """The stage that eval.sh runs on what was made here."""
        named = [stage.evaluated_by for stage in self.stages if stage.evaluated_by is not None]
        return named[-1] if named else None

    @property
    def played_in(self) -> str | None:
        """The world of stage=play that is made here, for play.sh."""
        named = [stage.played_in for stage in self.stages if stage.played_in is not None]
        return named[-1] if named else None

    def parts(self, cfg: Any) -> list[ChainPart]:
        """All runs in their order."""
        if self.plan is not None:
            return self.plan(self, cfg)
        names = [item.name for item in fields(cfg)]
        return [ChainPart(name, self.stage_of(getattr(cfg, name)), name) for name in names]

    def stage_of(self, cfg: Any) -> Stage:
        """The stage that a configuration is of."""
        return next(stage for stage in self.stages if type(cfg) is stage.config)

    def resolve(self, cfg: Any, setting: Setting) -> Any:
        """A copy in which every part is resolved."""
        parts = self.parts(cfg)
        for number, part in enumerate(parts):
            if part.key in [earlier.key for earlier in parts[:number]]:
                # it is resolved; values of its own are refused here where they cannot be
                part.config_of(cfg)
                continue
            feeder = feeder_of(parts, number)
            fed_by = None if feeder is None else feeder.stage.name
            own = part.resolve(getattr(cfg, part.key), replace(setting, fed_by=fed_by))
            cfg = replace(cfg, **{part.key: own})
        return cfg


def feeder_of(parts: Sequence[ChainPart], number: int) -> ChainPart | None:
    """The last part before this one whose run feeds it; None for a stage that needs none."""
    earlier = reversed(parts[:number])
    needs = parts[number].stage.needs
    return next((part for part in earlier if part.stage.name in needs), None)
