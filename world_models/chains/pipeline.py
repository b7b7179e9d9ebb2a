"""Chains of stages: which stage follows which, and whole chains from rollout to score in one run folder."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from world_models.chains import reuse
from world_models.config.schema import Config, flatten, resolve_precisions, to_yaml
from world_models.config.stored import stored_config
from world_models.envs.make import Backend, EnvSpec
from world_models.models.controller import num_features
from world_models.report.report import write_report
from world_models.runs.device import Device
from world_models.runs.folder import Run, begin, read_manifest
from world_models.runs.lineage import status
from world_models.search.components import check_components
from world_models.stages import (
    autoencoder,
    controller,
    convert,
    evaluate,
    mdrnn,
    pixel,
    rollout,
    vae,
)
from world_models.stages.autoencoder import AutoencoderConfig
from world_models.stages.controller import ControllerConfig
from world_models.stages.convert import ConvertConfig
from world_models.stages.evaluate import EvaluateConfig
from world_models.stages.mdrnn import MDRNNConfig
from world_models.stages.pixel import PixelConfig
from world_models.stages.rollout import RolloutConfig
from world_models.stages.runs import RunsConfig
from world_models.stages.vae import VAEConfig

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Stage:
    """A stage: its configuration, what runs, and the stage whose run folder it needs, or one of several: the newest run
    is sought of the first."""

    config: type
    execute: Callable[[Any, Run], None]
    needs: tuple[str, ...] = ()


STAGES = {
    "rollout": Stage(RolloutConfig, rollout.execute),
    "convert": Stage(ConvertConfig, convert.execute),
    "vae": Stage(VAEConfig, vae.execute, ("rollout",)),
    "mdrnn": Stage(MDRNNConfig, mdrnn.execute, ("vae",)),
    "controller": Stage(ControllerConfig, controller.execute, ("mdrnn",)),
    "evaluate": Stage(EvaluateConfig, evaluate.execute, ("controller", "pixel")),
    "pixel": Stage(PixelConfig, pixel.execute, ("rollout",)),
    "autoencoder": Stage(AutoencoderConfig, autoencoder.execute, ("rollout",)),
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


@dataclass
class PixelPipelineConfig:
    """Episodes, a next-frame model of them, its evaluation."""

    rollout: RolloutConfig = field(default_factory=RolloutConfig)
    pixel: PixelConfig = field(default_factory=PixelConfig)
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)


SCHEMAS: dict[str, type] = {name: stage.config for name, stage in STAGES.items()}
SCHEMAS |= {"pipeline": PipelineConfig, "pixel_pipeline": PixelPipelineConfig, "runs": RunsConfig}


def name_of(stage: Any) -> str:
    """The stage that a configuration is of, whichever file of conf/stage gave its values."""
    return next(name for name, schema in SCHEMAS.items() if type(stage) is schema)


def settled(stage: Any, spec: EnvSpec, device: Device) -> Any:
    """A copy of a stage's configuration in which what depends on environment and device is decided."""
    stage = resolve_precisions(stage, device)
    if isinstance(stage, RolloutConfig):
        return rollout.settled(stage, spec)
    if isinstance(stage, ConvertConfig):
        return convert.settled(stage, spec)
    if isinstance(stage, VAEConfig):
        return vae.settled(stage, spec)
    if isinstance(stage, ControllerConfig):
        return controller.settled(stage)
    if isinstance(stage, PixelConfig):
        return pixel.settled(stage, spec, device)
    if isinstance(stage, EvaluateConfig):
        return evaluate.settled(stage, spec)
    if isinstance(stage, AutoencoderConfig):
        return autoencoder.settled(stage, device)
    if isinstance(stage, PipelineConfig):
        sizes = stage.vae.latent_size, stage.mdrnn.hidden_size
        check_components(
            stage.controller.components, num_features(*sizes, stage.controller.features.value)
        )
        return replace(
            stage,
            rollout=rollout.settled(stage.rollout, spec),
            vae=vae.settled(stage.vae, spec),
            controller=controller.settled(stage.controller),
        )
    if isinstance(stage, PixelPipelineConfig):
        return replace(
            stage,
            rollout=rollout.settled(stage.rollout, spec),
            pixel=pixel.settled(stage.pixel, spec, device),
            evaluate=evaluate.settled(stage.evaluate, spec),
        )
    return stage


def execute(cfg: Config, run: Run) -> None:
    """Run every stage in a folder of its own inside `run`; finished ones are skipped, begun ones resumed.

    With `reuse=true` a stage that is not begun is taken from elsewhere, if it was finished there just as it would be here.
    """
    names = [item.name for item in fields(cfg.stage)]
    run.manifest["parts"] = [{"folder": name, "stage": name} for name in names]
    run.save_manifest()
    parts: dict[str, Path] = {}
    for item in fields(cfg.stage):
        config, part = part_of(cfg, run, item.name, next(reversed(parts.values()), None))
        reuse.check(run, part)
        if cfg.reuse and not _is_begun(part.path):
            given = reuse.products(parts)
            with reuse.turn(item.name, config, part, given):
                source = reuse.find(item.name, config, part, given)
                if source is None:
                    _run_part(item.name, config, part, run)
                else:
                    reuse.take(run, part, source)
        else:
            _run_part(item.name, config, part, run)
        parts[item.name] = part.path


def _run_part(name: str, config: Config, part: Run, whole: Run) -> None:
    if _is_begun(part.path) and status(part.path) == "finished":
        _require_unchanged(part, name, config)
        log.info("%s: finished already", name)
    else:
        _open(part, name, config, whole)
        run_stage(name, config, part)


def part_of(cfg: Config, run: Run, name: str, upstream: Path | None) -> tuple[Config, Run]:
    """Configuration and run of one stage of a pipeline."""
    backend = backend_for(name, cfg.env.backend)
    env = replace(cfg.env, backend=backend)
    fed_by = f"../{upstream.name}" if upstream else "latest"
    config = replace(cfg, stage=getattr(cfg.stage, name), env=env, upstream=fed_by, reuse=False)
    return config, replace(
        run, path=run.path / name, upstream=upstream, manifest={}, backend=backend.value
    )


def _is_begun(path: Path) -> bool:
    return (path / "manifest.json").is_file()


def _open(part: Run, name: str, config: Config, whole: Run) -> None:
    """Fill the folder of a new part; note in that of a begun one which budgets have grown."""
    if not _is_begun(part.path):
        part.path.mkdir(exist_ok=True)
        overrides = (whole.path / "overrides.yaml").read_text().splitlines()
        choices = {**whole.manifest["choices"], "stage": name}
        begin(part, name, to_yaml(config), [line.removeprefix("- ") for line in overrides], choices)
        return
    part.manifest = read_manifest(part.path)
    grown = [
        f"stage.{key}={value}" for key, (_, value) in _changes(part.path, name, config).items()
    ]
    if grown:
        entry = {**whole.manifest["resumed"][-1], "overrides": grown}
        part.manifest["resumed"] = [*part.manifest["resumed"], entry]


def _require_unchanged(part: Run, name: str, config: Config) -> None:
    """What follows a finished stage was built on it, so its keys are settled."""
    for key, (before, after) in _changes(part.path, name, config).items():
        raise ValueError(
            f"stage.{name}.{key} cannot change from {before} to {after}: {name} is finished; start a new pipeline"
        )


def _changes(path: Path, name: str, config: Config) -> dict[str, tuple[Any, Any]]:
    """Keys of a part, run-time ones left out, whose values are not those it was last run with: (before, now)."""
    stored = stored_config(path, read_manifest(path), STAGES[name].config)
    before = {key: value for key, value, _ in flatten(stored.stage)}
    new = [(key, value) for key, value, rule in flatten(config.stage) if rule != "free"]
    return {key: (before[key], value) for key, value in new if before[key] != value}


def backend_for(stage: str, backend: Backend) -> Backend:
    """The backend that a stage plays on."""
    return BACKEND_OF_SCORES.get(backend, backend) if stage == "evaluate" else backend


def run_stage(name: str, config: Config, run: Run) -> None:
    """Execute one stage in its run folder and write the folder's report, also of a run that ends early."""
    log.info("%s in %s", name, run.name)
    try:
        with run.recording():
            STAGES[name].execute(config.stage, run)
    finally:
        report(run)


def report(run: Run) -> None:
    """Write report.html; that it cannot be written is said, and ends no run."""
    try:
        log.debug("wrote %s", write_report(run.path))
    except (ValueError, OSError) as error:
        log.warning("no report of %s: %s", run.name, error)
