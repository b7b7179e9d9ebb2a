"""Stage rollout: collect episodes into the store."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Any

from world_models.agents.policy import (
    POLICIES,
    BrownianPolicy,
    MixedPolicy,
    Policy,
    RightwardPolicy,
    StickyPolicy,
)
from world_models.agents.quarantine import Quarantine, known_rows, play_all
from world_models.agents.rollout import Score, collect
from world_models.agents.sequences import Method, PlanConfig
from world_models.agents.trained import (
    find_agent,
    load_planner,
    load_player,
    planned_in,
    resolve_agent,
)
from world_models.config.stage import Product, Setting, Stage
from world_models.data.growing import StoreExtender
from world_models.data.overview import write_overview
from world_models.data.store import (
    EpisodeStore,
    StoreWriter,
    open_manifest,
    split_episodes,
    write_shard,
)
from world_models.data.tables import EpisodeLine, SetAsideRow
from world_models.envs.make import Backend, EnvSpec, make_vector_env
from world_models.envs.spec import difference
from world_models.pools.choose import open_pool
from world_models.pools.pool import DEADLINE
from world_models.runs.choices import one_of, require_known
from world_models.runs.metrics import Value
from world_models.runs.numbers import num_workers, require_below_one, require_positive
from world_models.runs.past import part_folder
from world_models.runs.places import led_to
from world_models.runs.progress import ProgressBar
from world_models.runs.provenance import versions
from world_models.runs.rows import TimingRow
from world_models.runs.run import PATH, RUNTIME, Run
from world_models.runs.seeding import Purpose, fresh_seeds


class PolicyName(StrEnum):
    """Who acts while episodes are collected.

    `auto` is brownian for Box actions and sticky for Discrete ones.
    """

    auto = "auto"  # brownian for Box actions, sticky for Discrete ones
    random = "random"  # every action uniform
    brownian = "brownian"  # smooth noise, for Box actions
    sticky = "sticky"  # repeats its action for a while, for Discrete ones
    rightward = "rightward"  # in platform games: sticky, mostly to the right
    mixed = "mixed"  # half of the episodes sticky, half rightward
    car_racing = "car_racing"  # a scripted explorer of CarRacing
    agent = "agent"  # a trained agent
    plan = "plan"  # the agent, planning at each step


@dataclass
class RolloutConfig:
    """A shard of `shard_size` episodes is played side by side.

    `workers`: processes (-1: one per core, 0: this process).
    """

    episodes: int = 128  # how many are collected
    max_steps: int | None = None  # of an episode at most; null: the environment's own limit
    # processes that play (-1: one per core, 0: this one)
    workers: int = field(default=-1, metadata=RUNTIME)
    # seconds without a step, then a worker is replaced
    deadline: float = field(default=DEADLINE, metadata=RUNTIME)
    shard_size: int = 8  # episodes of a file, which one worker plays side by side
    policy: str = field(default="auto", metadata=one_of(POLICIES, PolicyName))  # who plays
    val_fraction: float = 0.1  # share of the episodes that is held out, the last ones
    # who plays, for policy=agent or plan: a name, an agent.pt or the run folder that holds one
    agent: str | None = field(default=None, metadata=PATH)
    noise: float = 0.8  # of policy=agent: each episode explores with its own part of it
    # of policy=agent: up to this share of an episode's steps are taken away from it, some at a time
    bursts: float = 0.0
    # of policy=plan: how it plans
    plan: PlanConfig = field(default_factory=lambda: PlanConfig(Method.icem))
    # rollout run folder with whose episodes the store begins; `episodes` are new ones
    extends: str | None = field(default=None, metadata=PATH)

    def __post_init__(self) -> None:
        require_positive("stage", self, "episodes", "max_steps", "shard_size", "deadline")
        num_workers(self.workers)
        require_below_one("stage", self, "val_fraction", "bursts")
        require_known("stage", self)
        if (self.policy in (PolicyName.agent, PolicyName.plan)) != (self.agent is not None):
            raise ValueError(
                "stage.policy=agent (or plan) and stage.agent=<its name or path> go together: "
                "give both or neither"
            )


@dataclass(frozen=True)
class Shard:
    """A unit of work: the episodes of one shard, or one of them."""

    index: int
    seeds: tuple[int, ...]
    splits: tuple[str, ...]
    # False: played to see whether it can be
    written: bool = True

    def singles(self) -> list["Shard"]:
        """Its episodes, each alone and not written."""
        pairs = zip(self.seeds, self.splits, strict=True)
        return [Shard(self.index, (seed,), (split,), False) for seed, split in pairs]

    def with_seeds(self, seeds: tuple[int, ...]) -> "Shard":
        """The same with as many other seeds."""
        return replace(self, seeds=seeds)


def execute(cfg: RolloutConfig, run: Run) -> None:
    """Write `episodes/`; shards that are there already are kept."""
    folder = run.path / "episodes"
    if cfg.agent is not None:
        cfg = replace(cfg, agent=str(agent_of(cfg, run)))
    writer = open_store(cfg, run, folder)
    finished = writer.finished_shards()
    planned = plan(cfg, run.seed, writer.next_shard)
    missing = [shard for shard in planned if shard.index not in finished]
    args = (cfg, run.env.to_dict(), run.backend.value, folder)
    total = sum(len(shard.seeds) for shard in missing)
    known = known_rows(run.path)
    metrics = run.metrics(None)
    quarantine = Quarantine(metrics, cfg.episodes)
    quarantine.resume(known, cfg.episodes - total)
    with (
        open_pool(
            run.workers,
            cfg.workers,
            build_collector,
            args,
            most=len(missing),
            deadline=cfg.deadline,
        ) as pool,
        ProgressBar("rollout", cfg.episodes, cfg.episodes - total) as bar,
    ):
        play_all(pool, missing, bar.advance, quarantine)
        timing: dict[str, Value] = {
            "steps": bar.work,
            "seconds": round(bar.seconds, 3),
            "rate": round(bar.rate, 1),
        }
    writer.finish()
    write_overview(EpisodeStore.open(folder), run, metrics, timing)


def agent_of(cfg: RolloutConfig, run: Run) -> Path:
    """The file of the agent that plays, noted as an input of the run, as is what it plans in.

    It goes by its name or its path, which is seen from the run's folder where it is relative.
    """
    assert cfg.agent is not None
    path = find_agent(str(led_to(run.path, cfg.agent)) if "/" in cfg.agent else cfg.agent)
    run.add_input("agent", path)
    world = planned_in(path) if cfg.policy == PolicyName.plan else None
    for name, file in ({} if world is None else world.inputs).items():
        run.add_input(name, file)
    return path


def open_store(cfg: RolloutConfig, run: Run, folder: Path) -> StoreWriter:
    """The writer of the run's store: of a new one, or of one that begins with another's shards."""
    meta = _meta(cfg, run, run.env)
    if cfg.extends is None:
        return StoreWriter(folder, meta)
    earlier = led_to(run.path, cfg.extends)
    # says what is to be done where there is none
    open_manifest(earlier)
    return StoreExtender(folder, meta, EpisodeStore.at(run.pin_input("extends", earlier)))


def resolve(cfg: RolloutConfig, setting: Setting) -> RolloutConfig:
    """A copy in which `policy=auto` is decided and paths are absolute.

    `agent` may be a name instead, and `extends` is the manifest of a store. What does not fit is
    refused.
    """
    spec = setting.env
    spec.require_environment()
    agent = None if cfg.agent is None else resolve_agent(cfg.agent, spec)
    if cfg.val_fraction and spec.has_one_level:
        raise ValueError(
            f"with these env keys {spec.id} has a single level, none can be held out: "
            "set stage.val_fraction=0"
        )
    by_default = PolicyName.brownian if spec.action_space.kind == "box" else PolicyName.sticky
    policy = by_default.value if cfg.policy == PolicyName.auto else cfg.policy
    cfg = replace(cfg, policy=policy, agent=agent, extends=resolve_extended(cfg.extends, spec))
    build_policy(cfg, spec)
    return cfg


def resolve_extended(extends: str | None, spec: EnvSpec) -> str | None:
    """The absolute path of the manifest of a store that a run names, by itself or by its run.

    Episodes of another environment are a ValueError.
    """
    if extends is None:
        return None
    path = Path(extends).absolute()
    if path.is_dir():
        path = part_folder(path, "rollout") / "episodes" / "manifest.json"
    manifest, _ = open_manifest(path)
    if manifest["env"] != spec.to_dict():
        what = difference(manifest["env"], spec.to_dict())
        raise ValueError(f"stage.extends={path} was made with another env: {what}")
    return str(path)


def plan(cfg: RolloutConfig, seed: int, first: int = 0) -> list[Shard]:
    """All shards, numbered from `first` on; validation episodes come last.

    Their seeds, and so their tracks or levels, are from a range of their own.
    """
    splits = split_episodes(cfg.episodes, cfg.val_fraction)
    labels = ("rollout", first) if first else ("rollout",)
    train = fresh_seeds(Purpose.collection, splits.count("train"), seed, *labels)
    validation = fresh_seeds(Purpose.validation, splits.count("validation"), seed, *labels)
    seeds, size = [*train, *validation], cfg.shard_size
    return [
        Shard(index, tuple(seeds[start : start + size]), tuple(splits[start : start + size]))
        for index, start in enumerate(range(0, cfg.episodes, size), first)
    ]


def build_collector(
    cfg: RolloutConfig, env: dict[str, Any], backend: str, folder: Path
) -> Callable[[Shard], list[Score]]:
    """What runs in a worker: the function that plays a shard, writes it, and returns its scores."""
    spec = EnvSpec.from_dict(env)
    envs = make_vector_env(spec, Backend(backend), cfg.shard_size)
    policy = build_policy(cfg, spec)

    def collect_shard(shard: Shard) -> list[Score]:
        episodes = collect(envs, policy, shard.seeds, max_steps=cfg.max_steps)
        if shard.written:
            write_shard(folder, shard.index, episodes, list(shard.splits))
        return [Score(item.seed, item.total_return, item.length) for item in episodes]

    return collect_shard


def build_policy(cfg: RolloutConfig, spec: EnvSpec) -> Policy:
    """The policy that `cfg.policy` names; one that does not fit the actions is a ValueError."""
    space, name = spec.action_space, cfg.policy
    if name == PolicyName.agent:
        assert cfg.agent is not None
        return load_player(find_agent(cfg.agent)).policy(cfg.noise, cfg.bursts)
    if name == PolicyName.plan:
        assert cfg.agent is not None
        path = find_agent(cfg.agent)
        return load_planner(path, planned_in(path)).planner(cfg.plan)
    if name == PolicyName.brownian:
        return BrownianPolicy(space, spec.family.brownian_noise(spec))
    if name == PolicyName.mixed:
        return MixedPolicy([StickyPolicy(space), RightwardPolicy(space)])
    return POLICIES[name](space)


def _meta(cfg: RolloutConfig, run: Run, spec: EnvSpec) -> dict[str, Any]:
    facts = {
        "policy": cfg.policy,
        "seed": run.seed,
        "has_final_frame": spec.family.has_final_frame,
    }
    return {"env": run.env.to_dict(), "backend": run.backend.value, **facts, "versions": versions()}


STAGE = Stage(
    "rollout",
    RolloutConfig,
    execute,
    gives=Product("episodes", "episodes/manifest.json"),
    tables={
        "episodes": EpisodeLine,
        "timing": TimingRow,
        "quarantine": SetAsideRow,
    },
    resolve=resolve,
)
