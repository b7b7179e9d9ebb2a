"""From a composed configuration, or the folder of an earlier run, to a running stage.

What needs torch is imported where it is used: commands that only look do not wait for it.
"""

import contextlib
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from world_models.chains import catalogue
from world_models.chains.catalogue import Row
from world_models.chains.chain import backend_for, require_page, run_chain, run_stage
from world_models.chains.closing import say_what_follows
from world_models.chains.upstream import Upstream, find_upstream
from world_models.cli.console import set_verbosity
from world_models.cli.first_look import look_at
from world_models.cli.following import num_threads, require_processes, require_shared
from world_models.cli.moved import feeder, with_moves
from world_models.config.compose import Composed
from world_models.config.schema import (
    Config,
    WandbMode,
    check_resumable,
    resolve_precisions,
    to_yaml,
    with_base,
)
from world_models.config.stage import Chain, Look, Setting, Stage
from world_models.config.stored import env_keys, merged, stored_config
from world_models.envs.make import Backend, EnvSpec, resolve_backend
from world_models.envs.trust import require_trust
from world_models.runs import ranks
from world_models.runs.device import Workers, resolve_device
from world_models.runs.folder import dated_folder, require_own_files
from world_models.runs.heap import keep_freed
from world_models.runs.metrics import together
from world_models.runs.numbers import num_cores
from world_models.runs.past import PastRun, time_after, top_runs
from world_models.runs.places import seen_from
from world_models.runs.provenance import provenance
from world_models.runs.run import Run, begin
from world_models.runs.scripts import Scripts
from world_models.runs.tensorboard import require_tensorboard, tensorboard_mirror
from world_models.runs.times import now
from world_models.runs.wandb import require_wandb, wandb_mirror

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Prepared:
    """A run that can start: nothing is written yet."""

    config: Config
    row: Row
    env: EnvSpec
    upstream: Upstream | None
    # the moment for which it was prepared
    before: str

    @property
    def feeder(self) -> PastRun | None:
        """The run that feeds it."""
        return None if self.upstream is None else self.upstream.run

    @property
    def makes_run(self) -> bool:
        """Whether it is done in a folder of its own."""
        return isinstance(self.row, Chain) or self.row.makes_run(self.config.stage)


def start(composed: Composed) -> None:
    """A new run in a folder of its own, or a look at what is there."""
    set_verbosity(composed.config.verbosity.value)
    require_shared(catalogue.row(composed.stage))
    outputs = Path(composed.config.outputs)
    look = _look(composed)
    if look is not None:
        look(outputs)
        return
    ready = _ready(composed, time_after(top_runs(outputs.absolute())))
    if not ready.makes_run:
        _only_show(ready)
        return
    start_in(dated_folder(outputs.absolute() / ready.env.folder_name), composed, ready)


def _look(composed: Composed) -> Look | None:
    row = catalogue.row(composed.stage)
    return row.look(composed.config.stage) if isinstance(row, Stage) else None


def prepare(composed: Composed, before: str) -> Prepared:
    """Decide what is left open and find the upstream, as it was at the moment `before`.

    Mistakes are ValueErrors; nothing is written.
    """
    ready = None if _look(composed) is not None else _ready(composed, before)
    if ready is None or not ready.makes_run:
        raise ValueError(
            f"stage={composed.stage} only looks at what is there: it makes no run, so there is "
            "nothing to sweep"
        )
    return ready


def _ready(composed: Composed, before: str) -> Prepared:
    config, row = composed.config, catalogue.row(composed.stage)
    env = look_at(config.env)
    check_root_keys(config, row, env)
    upstream = find_upstream(config, row, env, composed.choices["experiment"], before)
    config = resolve(config, row, env, upstream)
    require_processes(row, config)
    return Prepared(config, row, env, upstream, before)


def _only_show(ready: Prepared) -> None:
    """Do what makes no run."""
    row, config = ready.row, ready.config
    assert isinstance(row, Stage) and row.execute is not None, row
    run = open_run(row, config, Path(config.outputs).absolute(), ready.env, ready.feeder)
    row.execute(config.stage, run)


def start_in(path: Path, composed: Composed, ready: Prepared) -> None:
    """Fill the folder of a new run and start it there."""
    set_verbosity(composed.config.verbosity.value)
    upstream, config = ready.feeder, ready.config
    if config.upstream == "latest" and ready.upstream:
        say_upstream(ready.upstream)
    fed_by = seen_from(upstream.path, path) if upstream else "latest"
    config = replace(config, upstream=fed_by)
    run = open_run(ready.row, config, path, ready.env, upstream)
    made_env = env_keys(composed.config.env, composed.choices["env"])
    choices = {**composed.choices, "env_keys": made_env}
    row = ready.row
    typed = composed.overrides
    scripts = Scripts(row.evaluated_by, row.played_in)
    begin(run, row.name, to_yaml(config), typed, choices, scripts, ready.before)
    execute(row, config, run)


def say_upstream(upstream: Upstream) -> None:
    """Say which run was taken, and which newer one was not."""
    newer = upstream.left_out
    if newer is None:
        log.info("upstream: %s", upstream.run.name)
        return
    stands = {"failed": "has failed", "running": "still runs"}.get(newer.status, "is interrupted")
    log.info(
        "upstream: %s; a newer run, %s, %s and was left out",
        *(upstream.run.name, newer.name, stands),
    )


def check_root_keys(config: Config, row: Row, env: EnvSpec) -> None:
    """Root keys that this stage has no use for, or that need what is not there, are ValueErrors."""
    if env.max_episode_steps is None:
        raise ValueError(
            f"{env.id} has no step limit, so its episodes might never end: give one with "
            "env.kwargs.max_episode_steps=1000"
        )
    _require_mirror(config)
    if config.reuse and not isinstance(row, Chain):
        raise ValueError(
            f"reuse=true is of no use: stage={row.name} is one stage, and only a pipeline takes "
            "finished ones"
        )
    if config.workers is Workers.ray:
        from world_models.pools.choose import require_ray

        require_ray()
    if config.agent is not None and not (isinstance(row, Stage) and row.plays_agents):
        raise ValueError(
            f"agent={config.agent} is of no use: stage={row.name} plays no trained agent, "
            "stage=evaluate does"
        )


def _require_mirror(config: Config) -> None:
    if config.wandb.mode is not WandbMode.disabled:
        require_wandb(config.wandb.mode.value)
    if config.tensorboard:
        require_tensorboard()


def resolve(config: Config, row: Row, env: EnvSpec, upstream: Upstream | None) -> Config:
    """A copy in which every automatic choice is a fact; what cannot work is refused."""
    if config.agent is not None:
        from world_models.agents.trained import resolve_agent

        config = replace(config, agent=resolve_agent(config.agent, env))
    device = resolve_device(config.device)
    backend = resolve_backend(config.env.backend, env)
    if config.env.backend is Backend.auto:
        backend = backend_for(row, backend)
    setting = Setting(env, device, agent=_agent_file(config))
    if upstream is not None:
        setting = Setting(env, device, upstream.stage, upstream.run)
    stage = row.resolve(resolve_precisions(config.stage, device), setting)
    own_env = replace(config.env, backend=backend)
    return replace(config, device=device, env=own_env, stage=stage)


def open_run(row: Row, config: Config, path: Path, env: EnvSpec, upstream: PastRun | None) -> Run:
    """The run as stages see it; sets the threads, and what becomes of freed memory."""
    from world_models.runs.threads import use_threads

    keep_freed()
    if isinstance(row, Stage) and row.on_one_thread:
        use_threads(1)
    else:
        use_threads(num_threads(config))
        if not config.threads:
            say_if_busy(os.getloadavg()[0])
    return Run(
        path,
        config.seed,
        config.device,
        config.env.backend,
        env,
        upstream,
        agent=_agent_file(config),
        workers=config.workers,
    )


def say_if_busy(load: float) -> None:
    """On a machine that is busy, threads that wait for each other cost more than they give."""
    if num_cores() > 1 and load > num_cores() / 2:
        log.info(
            "other work keeps %.1f of %d cores busy: threads=1 may be several times as fast",
            load,
            num_cores(),
        )


def _agent_file(config: Config) -> Path | None:
    if config.agent is None:
        return None
    from world_models.agents.trained import find_agent

    return find_agent(config.agent)


@contextlib.contextmanager
def _mirrored(config: Config, run: Run) -> Iterator[None]:
    """Inside, the run's metrics also go where the configuration says."""
    with contextlib.ExitStack() as stack:
        mirrors = []
        if config.wandb.mode is not WandbMode.disabled:
            given = (config.wandb.mode.value, config.wandb.project, run.path)
            mirrors.append(stack.enter_context(wandb_mirror(*given)))
        if config.tensorboard:
            mirrors.append(stack.enter_context(tensorboard_mirror(run.path)))
        run.mirror = together(mirrors) if mirrors else None
        yield


def execute(row: Row, config: Config, run: Run) -> None:
    """Do the work of a run folder that is filled, and say what follows."""
    ranks.tell((row.name, config, run), run.device.value)
    with _mirrored(config, run):
        if isinstance(row, Chain):
            run_chain(row, config, run)
        else:
            run_stage(row, config, run)
    say_what_follows(row, run)


def resume(path: Path, overrides: list[str], base: Path | None = None) -> None:
    """Continue a run from its folder.

    Longer budgets and run-time keys may be given, and stay given. Relative paths in its
    configuration begin at `base` (None: at the working folder).
    """
    past = PastRun(path.absolute())
    catalogue.require_stage(past.name, past.stage)
    row = catalogue.row(past.stage)
    require_shared(row)
    old = stored_config(past, row.config)
    given = merged(old, overrides)
    check_resumable(old, given, past.path)
    set_verbosity(given.verbosity.value)
    if past.status == "finished" and not overrides and not isinstance(row, Chain):
        log.info("%s is finished", past.name)
        require_page(past)
        return
    _require_mirror(given)
    parts = row.parts(given.stage) if isinstance(row, Chain) else []
    require_own_files(past.path, links={part.folder for part in parts})
    if past.status != "finished" or overrides:
        require_trust(past.env.id, past.env.kwargs)
    base = base or Path.cwd()
    past = PastRun(past.path, Path(with_base(given, base).outputs).absolute())
    config, overrides = with_moves(past, old, given, overrides)
    _go_on(past, row, config, overrides, base)


def _go_on(past: PastRun, row: Row, config: Config, overrides: list[str], base: Path) -> None:
    """Open an earlier run with this configuration, note the resumption, and do its work."""
    fed_by = feeder(past, config)
    config = with_base(config, base)
    config = replace(config, device=resolve_device(config.device))
    require_processes(row, config)
    run = open_run(row, config, past.path, past.env, fed_by)
    resumed = [*past.manifest["resumed"], resumption(run, overrides)]
    run.manifest = {**past.manifest, "resumed": resumed}
    warn_of_changes(run.manifest)
    execute(row, config, run)


def resumption(run: Run, overrides: list[str]) -> dict[str, Any]:
    """What the manifest keeps of one resumption."""
    return {
        "at": now(),
        "overrides": overrides,
        "device": run.device.value,
        "git": provenance()["git"],
    }


def warn_of_changes(manifest: dict[str, Any]) -> None:
    """Say what may keep the last bit from being equal."""
    current = {**provenance(), "device": manifest["resumed"][-1]["device"]}
    for key in ("machine", "threads", "versions", "device", "git"):
        if manifest[key] != current[key]:
            log.warning(
                "%s: not what the run began with, so numbers may differ from an "
                "uninterrupted run's",
                key,
            )
