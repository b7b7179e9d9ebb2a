"""The families of environments: one row for each, with all that the rest of the house asks of it.

A new family is a file, a row of `FAMILIES` and a choice in conf/env.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields

from world_models.envs import atari, doom, gymnasium_family, minatar, procgen, recorded
from world_models.envs.actions import Noise
from world_models.envs.config import Backend, EnvConfig
from world_models.envs.keys import Keyboard, any_keys
from world_models.envs.pixels import PixelVectorEnv
from world_models.envs.preprocess import Preprocessing
from world_models.envs.spec import EnvSpec


def _no_obstacle(spec: EnvSpec) -> str:
    return ""


def _needs_nothing() -> None:
    """The package comes with this one."""


def _any_keys(spec: EnvSpec) -> Keyboard:
    return any_keys(spec.action_space)


def _standard_normal(spec: EnvSpec) -> Noise:
    return Noise.standard(spec.action_space.size)


@dataclass(frozen=True)
class Engine:
    """One way to step the environments of a family."""

    # (spec, num_envs, threads) -> the slots
    make: Callable[[EnvSpec, int, int], PixelVectorEnv]
    # one sentence that says why it cannot step this environment, empty where it can
    obstacle: Callable[[EnvSpec], str] = _no_obstacle


@dataclass(frozen=True)
class Levels:
    """What episode seeds mean where several of them may share a level.

    Held-out seeds (from `HELD_OUT` on) have levels of their own, if there is more than one.
    """

    # the level of an episode seed
    level_of: Callable[[EnvSpec, int], int]
    # whether every episode is of the same level, so that none can be held out
    has_one_level: Callable[[EnvSpec], bool]
    # from how many levels the seeds below `HELD_OUT` draw, 0 where there is no limit
    limit: Callable[[EnvSpec], int]
    # arguments that say which levels are played, not how the environment looks
    kwargs: tuple[str, ...]


@dataclass(frozen=True)
class Family:
    """A kind of environments."""

    # of the schema in conf/env
    name: str
    # what a user types
    config: type[EnvConfig]
    # whether an environment id is one of these
    fits: Callable[[str], bool]
    # the description of what was typed; ValueError in one sentence for what cannot be used
    make_spec: Callable[[EnvConfig, Preprocessing], EnvSpec]
    # in order of preference: `auto` is the first that has no obstacle, and the last has none
    engines: Mapping[Backend, Engine]
    # ValueError in one sentence where the family's package is not installed
    require: Callable[[], None] = _needs_nothing
    # packages whose versions a run records
    packages: tuple[str, ...] = ()
    # None where every episode seed is a world of its own
    levels: Levels | None = None
    # False where the frame that comes with the end already belongs to another episode
    has_final_frame: bool = True
    # with which a person plays
    keys: Callable[[EnvSpec], Keyboard] = _any_keys
    # whether all depends on small bright things that move, so that V is judged on them
    bright_movers: bool = False
    # False where there are recordings alone, and nothing to step
    is_played: bool = True
    # how the brownian policy moves
    brownian_noise: Callable[[EnvSpec], Noise] = _standard_normal

    def foreign_keys(self, keys: Iterable[str]) -> list[str]:
        """Those of `keys` that the configuration of this family has not."""
        own = {item.name for item in fields(self.config)}
        return [key for key in keys if key not in own]


FAMILIES: tuple[Family, ...] = (
    Family(
        name="procgen",
        config=procgen.ProcgenConfig,
        fits=procgen.is_procgen,
        make_spec=procgen.make_spec,
        engines={Backend.procgen: Engine(procgen.make_slots)},
        keys=procgen.keys,
        require=procgen.require_procgen,
        packages=("procgen-mirror",),
        levels=Levels(
            level_of=procgen.episode_level,
            has_one_level=procgen.has_one_level,
            limit=procgen.level_limit,
            kwargs=("num_levels", "start_level", "rand_seed"),
        ),
        has_final_frame=procgen.ProcgenVectorEnv.has_final_frame,
    ),
    Family(
        name="take_cover",
        config=doom.TakeCoverConfig,
        fits=doom.is_take_cover,
        make_spec=doom.make_spec,
        engines={Backend.vizdoom: Engine(doom.make_slots)},
        keys=doom.keys,
        require=doom.require_doom,
        packages=("vizdoom",),
        has_final_frame=doom.TakeCoverVectorEnv.has_final_frame,
        bright_movers=True,
    ),
    Family(
        name="minatar",
        config=minatar.MinAtarConfig,
        fits=minatar.is_minatar,
        make_spec=minatar.make_spec,
        engines={Backend.minatar: Engine(minatar.make_slots)},
        keys=minatar.keys,
        require=minatar.require_minatar,
        packages=("minatar",),
    ),
    Family(
        name="atari",
        config=atari.AtariConfig,
        fits=atari.is_atari,
        make_spec=atari.make_spec,
        engines={Backend.ale: Engine(atari.make_slots)},
        keys=atari.keys,
        require=atari.require_atari,
        packages=("ale-py",),
    ),
    Family(
        name="data",
        config=recorded.RecordedConfig,
        fits=recorded.fits,
        make_spec=recorded.make_spec,
        engines={Backend.recorded: Engine(recorded.refuse_slots)},
        is_played=False,
    ),
    Family(
        name="gymnasium",
        config=EnvConfig,
        fits=gymnasium_family.fits,
        make_spec=gymnasium_family.make_spec,
        engines={
            Backend.envpool: Engine(gymnasium_family.make_pool, gymnasium_family.pool_obstacle),
            Backend.gymnasium: Engine(gymnasium_family.make_slots),
        },
        keys=gymnasium_family.keys,
        packages=("envpool",),
        brownian_noise=gymnasium_family.brownian_noise,
    ),
)
"""An environment belongs to the first row that fits its id; the last fits every id."""


def family_of(env_id: str) -> Family:
    """The family of an environment id."""
    return next(family for family in FAMILIES if family.fits(env_id))
