"""Chains of stages: which stage follows which, and V-M-C from rollout to score in one run folder."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from world_models.config import Config, flatten, from_yaml, to_yaml
from world_models.envs.make import Backend, EnvSpec
from world_models.runs.folder import Run, begin, read_manifest
from world_models.runs.lineage import status
from world_models.runs.report import write_report
from world_models.stages import controller, evaluate, mdrnn, rollout, vae
from world_models.stages.controller import ControllerConfig
from world_models.stages.evaluate import EvaluateConfig
from world_models.stages.mdrnn import MDRNNConfig
from world_models.stages.rollout import RolloutConfig
from world_models.stages.vae import VAEConfig

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Stage:
    """A stage: its configuration, what runs, and the stage whose run folder it needs."""

    config: type
    execute: Callable[[Any, Run], None]
    needs: str | None


STAGES = {
    "rollout": Stage(RolloutConfig, rollout.execute, None),
    "vae": Stage(VAEConfig, vae.execute, "rollout"),
    "mdrnn": Stage(MDRNNConfig, mdrnn.execute, "vae"),
    "controller": Stage(ControllerConfig, controller.execute, "mdrnn"),
    "evaluate": Stage(EvaluateConfig, evaluate.execute, "controller"),
}
BACKEND_OF_SCORES = {Backend.envpool: Backend.gymnasium}
"""Final scores are on the environment's own implementation."""


@dataclass
class PipelineConfig:
    """All stages of V-M-C."""

    rollout: RolloutConfig = field(default_factory=RolloutConfig)
    vae: VAEConfig = field(default_factory=VAEConfig)
    mdrnn: MDRNNConfig = field(default_factory=MDRNNConfig)
    controller: ControllerConfig = field(default_factory=ControllerConfig)
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)


def settled(stage: Any, spec: EnvSpec) -> Any:
    """A copy of a stage's configuration in which what depends on the environment is decided."""
    if isinstance(stage, RolloutConfig):
        return rollout.settled(stage, spec)
    return replace(stage, rollout=rollout.settled(stage.rollout, spec)) if isinstance(stage, PipelineConfig) else stage


def execute(cfg: Config, run: Run, overrides: list[str]) -> None:
    """Run every stage in a folder of its own inside `run`; finished ones are skipped, begun ones resumed."""
    upstream: Path | None = None
    for item in fields(PipelineConfig):
        path = run.path / item.name
        config, part = part_of(cfg, run, item.name, upstream)
        if _is_begun(path) and status(path) == "finished":
            _require_unchanged(path, item.name, config)
            log.info("%s: finished already", item.name)
        else:
            _open(part, item.name, config, run, overrides)
            run_stage(item.name, config, part)
        upstream = path


def part_of(cfg: Config, run: Run, name: str, upstream: Path | None) -> tuple[Config, Run]:
    """Configuration and run of one stage of a pipeline."""
    backend = backend_for(name, cfg.env.backend)
    env = replace(cfg.env, backend=backend)
    fed_by = f"../{upstream.name}" if upstream else "latest"
    config = replace(cfg, stage=getattr(cfg.stage, name), env=env, upstream=fed_by)
    return config, replace(run, path=run.path / name, upstream=upstream, manifest={}, backend=backend.value)


def _is_begun(path: Path) -> bool:
    return (path / "manifest.json").is_file()


def _require_unchanged(path: Path, name: str, config: Config) -> None:
    """What follows a finished stage was built on it, so its keys are settled."""
    before, _ = from_yaml(path / "config.yaml", STAGES[name].config, [])
    new = {key: value for key, value, rule in flatten(config.stage) if rule != "free"}
    for key, value, rule in flatten(before.stage):
        if rule != "free" and new[key] != value:
            raise ValueError(
                f"stage.{name}.{key} cannot change from {value} to {new[key]}: {name} is finished; start a new pipeline"
            )


def _open(part: Run, name: str, config: Config, whole: Run, overrides: list[str]) -> None:
    if _is_begun(part.path):
        part.manifest = read_manifest(part.path)
    else:
        part.path.mkdir(exist_ok=True)
        begin(part, name, to_yaml(config), overrides, {**whole.manifest["choices"], "stage": name})


def backend_for(stage: str, backend: Backend) -> Backend:
    """The backend that a stage plays on."""
    return BACKEND_OF_SCORES.get(backend, backend) if stage == "evaluate" else backend


def run_stage(name: str, config: Config, run: Run) -> None:
    """Execute one stage in its run folder and write the folder's report."""
    log.info("%s in %s", name, run.name)
    with run.recording():
        STAGES[name].execute(config.stage, run)
    write_report(run.path)
