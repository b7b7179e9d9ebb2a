"""From a composed configuration, or the folder of an earlier run, to a running stage."""

import logging
import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from world_models.agents.trained import find_agent, settled_agent
from world_models.chains import pipeline
from world_models.chains.pipeline import SCHEMAS, STAGES, backend_for
from world_models.config.compose import Composed
from world_models.config.schema import Config, WandbMode, check_resumable, to_yaml
from world_models.config.stored import env_keys, merged, stored_config
from world_models.envs.make import Backend, EnvSpec, make_spec, resolve_backend
from world_models.pools.choose import require_ray
from world_models.runs.chains import CHAINS
from world_models.runs.device import Workers, resolve_device
from world_models.runs.folder import Run, begin, dated_folder, now, read_manifest, shown
from world_models.runs.lineage import check_upstream, latest, status
from world_models.runs.numbers import num_cores
from world_models.runs.provenance import provenance
from world_models.runs.wandb import require_wandb, wandb_mirror
from world_models.stages.convert import ConvertConfig, verify
from world_models.stages.runs import RunsConfig, list_runs

log = logging.getLogger(__name__)


def set_up_logging(prefix: str = "") -> None:
    """Show what runs say on stderr, `prefix` before each line."""
    form = f"%(asctime)s  {prefix}%(message)s"
    logging.basicConfig(format=form, datefmt="%H:%M:%S", stream=sys.stderr, force=bool(prefix))
    logging.getLogger("world_models").setLevel(logging.DEBUG)
    set_verbosity("info")


def set_verbosity(verbosity: str) -> None:
    """What the console shows; log.txt of a run always holds everything."""
    level = {"debug": logging.DEBUG, "info": logging.INFO, "quiet": logging.WARNING}[verbosity]
    for handler in logging.getLogger().handlers:
        handler.setLevel(level)


@dataclass(frozen=True)
class Prepared:
    """A run that can start: nothing is written yet."""

    config: Config
    stage: str
    spec: EnvSpec
    upstream: Path | None


def start(composed: Composed) -> None:
    """A new run in a folder of its own, or a look at what is there."""
    set_verbosity(composed.config.verbosity.value)
    config, stage = composed.config, composed.config.stage
    if isinstance(stage, RunsConfig):
        list_runs(Path(config.outputs))
    elif isinstance(stage, ConvertConfig) and stage.verify:
        verify(stage)
    else:
        ready = prepare(composed, now())
        start_in(
            dated_folder(Path(config.outputs).absolute() / ready.spec.folder_name), composed, ready
        )


def _only_looks(stage: Any) -> bool:
    return isinstance(stage, RunsConfig) or (isinstance(stage, ConvertConfig) and stage.verify)


def prepare(composed: Composed, before: str) -> Prepared:
    """Decide what is left open and find the upstream, as it was at the moment `before`; mistakes are ValueErrors."""
    stage = pipeline.name_of(composed.config.stage)
    if _only_looks(composed.config.stage):
        raise ValueError(
            f"stage={stage} only looks at what is there: it makes no run, so there is nothing to sweep"
        )
    spec = make_spec(composed.config.env)
    config = settle(composed.config, stage, spec)
    upstream = find_upstream(config, stage, spec.to_dict(), composed.choices["experiment"], before)
    return Prepared(config, stage, spec, upstream)


def start_in(path: Path, composed: Composed, ready: Prepared) -> None:
    """Fill the folder of a new run and start it there."""
    set_verbosity(composed.config.verbosity.value)
    upstream = ready.upstream
    if ready.config.upstream == "latest" and upstream:
        log.info("upstream: %s", shown(upstream))
    config = replace(
        ready.config, upstream=os.path.relpath(upstream, path) if upstream else "latest"
    )
    run = open_run(config, path, ready.spec.to_dict(), upstream)
    choices = {
        **composed.choices,
        "env_keys": env_keys(composed.config.env, composed.choices["env"]),
    }
    begin(run, ready.stage, to_yaml(config), composed.overrides, choices)
    execute(ready.stage, config, run)


def settle(config: Config, stage: str, spec: EnvSpec) -> Config:
    """Every automatic choice becomes a fact, and what cannot work is refused before anything is written."""
    if spec.max_episode_steps is None:
        raise ValueError(
            f"{spec.id} has no step limit, so its episodes might never end: give one with env.kwargs.max_episode_steps=1000"
        )
    if config.wandb.mode is not WandbMode.disabled:
        require_wandb()
    if config.reuse and stage not in CHAINS:
        raise ValueError(
            f"reuse=true is of no use: stage={stage} is one stage, and only a pipeline takes finished ones"
        )
    if config.workers is Workers.ray:
        require_ray()
    if config.agent is not None:
        if stage != "evaluate":
            raise ValueError(
                f"agent={config.agent} is of no use: stage={stage} plays no trained agent, stage=evaluate does"
            )
        config = replace(config, agent=settled_agent(config.agent, spec))
    device = resolve_device(config.device)
    backend = resolve_backend(config.env.backend, spec)
    if config.env.backend is Backend.auto:
        backend = backend_for(stage, backend)
    env = replace(config.env, backend=backend)
    return replace(
        config, device=device, env=env, stage=pipeline.settled(config.stage, spec, device)
    )


def open_run(config: Config, path: Path, env: dict[str, Any], upstream: Path | None) -> Run:
    """The run as stages see it; sets torch's threads."""
    torch.set_num_threads(config.threads or num_cores())
    mirror = None
    if config.wandb.mode is not WandbMode.disabled:
        mirror = wandb_mirror(config.wandb.mode.value, config.wandb.project, path)
    backend = config.env.backend.value
    agent = find_agent(config.agent) if config.agent is not None else None
    workers = config.workers.value
    return Run(
        path,
        config.seed,
        config.device,
        backend,
        env,
        upstream,
        mirror,
        agent=agent,
        workers=workers,
    )


def find_upstream(
    config: Config, stage: str, env: dict[str, Any], experiment: str | None, before: str
) -> Path | None:
    """The run folder that feeds this stage; a missing or unfitting one is a ValueError."""
    needs = STAGES[stage].needs if stage in STAGES else ()
    if config.agent is not None:
        if config.upstream != "latest":
            raise ValueError(
                f"agent={config.agent} and upstream={config.upstream} both name what to play: give one"
            )
        return None
    if not needs:
        if config.upstream != "latest":
            raise ValueError(
                f"upstream={config.upstream} is of no use: stage={stage} reads no other run"
            )
        return None
    if config.upstream != "latest":
        return check_upstream(Path(config.upstream).absolute(), stage, needs, env)
    found = latest(Path(config.outputs).absolute(), needs[0], env, experiment, before)
    if found is None:
        raise ValueError(
            f"stage={stage} needs a finished {needs[0]} run of {env['id']} with the same env settings and experiment in "
            f"{config.outputs}, and there is none: run stage={needs[0]} first, or name one with upstream=<run folder>"
        )
    return found


def execute(stage: str, config: Config, run: Run) -> None:
    """Do the work of a run folder that is filled."""
    if stage not in CHAINS:
        pipeline.run_stage(stage, config, run)
        return
    try:
        with run.recording():
            pipeline.execute(config, run)
    finally:
        pipeline.report(run)
    log.info("done; look at %s", shown(run.path / "report.html"))


def resume(path: Path, overrides: list[str]) -> None:
    """Continue a run from its folder; longer budgets and run-time keys may be given, and stay given."""
    path = path.absolute()
    manifest = read_manifest(path)
    stage = manifest["stage"]
    if stage not in SCHEMAS:
        raise ValueError(
            f"{shown(path)} is a run of stage {stage}, which this version does not have"
        )
    old = stored_config(path, manifest, SCHEMAS[stage])
    config = merged(old, overrides)
    check_resumable(old, config)
    set_verbosity(config.verbosity.value)
    if status(path) == "finished" and not overrides and stage not in CHAINS:
        log.info("%s is finished", shown(path))
        return
    upstream = (path / manifest["upstream"]).resolve() if manifest["upstream"] else None
    config = replace(config, device=resolve_device(config.device))
    run = open_run(config, path, manifest["env"], upstream)
    run.manifest = {**manifest, "resumed": [*manifest["resumed"], resumption(run, overrides)]}
    warn_of_changes(run.manifest)
    execute(stage, config, run)


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
                "%s: not what the run began with, so numbers may differ from an uninterrupted run's",
                key,
            )
