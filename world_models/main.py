"""The command line: compose the configuration, open the run folder, dispatch the stage."""

import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import hydra
import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from world_models import pipeline
from world_models.config import (
    Composed,
    Config,
    WandbMode,
    check_resumable,
    compose_config,
    config_folder,
    from_yaml,
    options,
    register,
    resolve_precisions,
    to_yaml,
    typed,
)
from world_models.envs.make import Backend, make_spec, resolve_backend
from world_models.pipeline import STAGES, PipelineConfig, backend_for
from world_models.runs.device import resolve_device
from world_models.runs.files import read_json, write_json
from world_models.runs.folder import Run, begin, dated_folder, read_manifest, shown
from world_models.runs.lineage import check_upstream, latest
from world_models.runs.provenance import provenance
from world_models.runs.report import write_report
from world_models.runs.wandb import wandb_mirror
from world_models.stages.runs import RunsConfig, list_runs

log = logging.getLogger("world_models")

SCHEMAS: dict[str, type] = {name: stage.config for name, stage in STAGES.items()}
SCHEMAS |= {"pipeline": PipelineConfig, "runs": RunsConfig}
HYDRA_FLAGS = ("-m", "--multirun", "-c", "--cfg", "-p", "--package", "-i", "--info", "--resolve", "--version")

HELP = """world-models: train, look at and extend world models.

  python -m world_models.main stage=<stage> [env=<env>] [experiment=<experiment>] [key=value ...]
  python -m world_models.main -m stage=<stage> key=value1,value2        a sweep
  python -m world_models.main resume=<run folder>                       continue a run
  python -m world_models.main stage=<stage> --cfg job                   show every key and its value

stage       {stages}
env         {envs}
experiment  {experiments}

Root keys: seed, device=auto|cpu|cuda, threads, verbosity=debug|info|quiet, upstream=latest|<run folder>, outputs, wandb.mode.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status. Mistakes end in one sentence on stderr."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    logging.basicConfig(format="%(asctime)s  %(message)s", datefmt="%H:%M:%S", stream=sys.stderr)
    log.setLevel(logging.DEBUG)
    _console_level("info")
    register(SCHEMAS)
    try:
        if {"-h", "--help"} & set(arguments):
            sys.stdout.write(HELP.format(stages=_list("stage"), envs=_list("env"), experiments=_list("experiment")))
        elif set(arguments) & set(HYDRA_FLAGS):
            _run_hydra(arguments)
        else:
            launch(arguments)
    except KeyboardInterrupt:
        return 130
    except (ValueError, OSError, RuntimeError) as error:
        return _complain(error)
    return 0


def _complain(error: Exception) -> int:
    sys.stderr.write(f"error: {error}\n")
    if log.isEnabledFor(logging.DEBUG) and logging.getLogger().handlers[0].level <= logging.DEBUG:
        logging.getLogger().exception("traceback")
    return 1


def _list(group: str) -> str:
    return " ".join(options(group))


def _console_level(verbosity: str) -> None:
    level = {"debug": logging.DEBUG, "info": logging.INFO, "quiet": logging.WARNING}[verbosity]
    for handler in logging.getLogger().handlers:
        handler.setLevel(level)


def launch(arguments: list[str]) -> None:
    """Start a run, or continue the one that `resume=` names."""
    folders = [item.partition("=")[2] for item in arguments if item.startswith("resume=")]
    overrides = [_quoted(item) for item in arguments if not item.startswith("resume=")]
    if folders:
        resume(Path(folders[-1]), overrides)
    else:
        start(compose_config(overrides))


def _quoted(override: str) -> str:
    """Paths may hold characters that mean something in Hydra's grammar."""
    key, _, value = override.partition("=")
    if key not in ("upstream", "outputs", "stage.agent") or value[:1] in ("'", '"') or value in ("", "latest", "null"):
        return override
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"{key}='{escaped}'"


def start(composed: Composed, sweep: Path | None = None) -> None:
    """A new run; with `sweep`, in that job's folder."""
    config, choices = composed.config, composed.choices
    _console_level(config.verbosity.value)
    stage = choices["stage"]
    if stage == "runs":
        list_runs(Path(config.outputs))
        return
    spec = make_spec(config.env)
    config = settle(config, stage, spec)
    outputs = Path(config.outputs).absolute()
    upstream = find_upstream(config, stage, spec.to_dict(), choices["experiment"], outputs, sweep)
    path = sweep or dated_folder(outputs / spec.folder_name)
    config = replace(config, upstream=os.path.relpath(upstream, path) if upstream else "latest")
    run = new_run(config, path, spec.to_dict(), upstream)
    begin(run, stage, to_yaml(config), composed.overrides, choices)
    execute(stage, config, run, composed.overrides)


def settle(config: Config, stage: str, spec: Any) -> Config:
    """Every automatic choice becomes a fact."""
    device = resolve_device(config.device)
    backend = resolve_backend(config.env.backend, spec)
    if config.env.backend is Backend.auto:
        backend = backend_for(stage, backend)
    env = replace(config.env, backend=backend)
    stage_config = pipeline.settled(resolve_precisions(config.stage, device), spec)
    return replace(config, device=device, env=env, stage=stage_config)


def new_run(config: Config, path: Path, env: dict[str, Any], upstream: Path | None) -> Run:
    """The run as stages see it; sets torch's threads."""
    torch.set_num_threads(config.threads or len(os.sched_getaffinity(0)))
    mirror = None
    if config.wandb.mode is not WandbMode.disabled:
        mirror = wandb_mirror(config.wandb.mode.value, config.wandb.project, path)
    return Run(path, config.seed, config.device, config.env.backend.value, env, upstream, mirror)


def find_upstream(
    config: Config, stage: str, env: dict[str, Any], experiment: str | None, outputs: Path, sweep: Path | None
) -> Path | None:
    """The run folder that feeds this stage; a missing or unfitting one is a ValueError."""
    needs = STAGES[stage].needs if stage in STAGES else None
    if needs is None:
        return None
    if config.upstream != "latest":
        return check_upstream(Path(config.upstream).absolute(), stage, needs, env)
    found = latest(outputs, needs, env, experiment, sweep_began(sweep))
    if found is None:
        raise ValueError(
            f"stage={stage} needs a finished {needs} run of {env['id']} with the same env settings and experiment in {shown(outputs)}, "
            f"and there is none: run stage={needs} first, or name one with upstream=<run folder>"
        )
    log.info("upstream: %s", shown(found))
    return found


def sweep_began(sweep: Path | None) -> str:
    """The moment at which `latest` is looked up: now, or for every job of a sweep the moment before its first job."""
    if sweep is None:
        return _now()
    note = sweep.parent / "sweep.json"
    if not note.is_file():
        write_json(note, {"began": _now(), "command": sys.argv})
    return str(read_json(note)["began"])


def _now() -> str:
    return datetime.now().isoformat(timespec="seconds")


def execute(stage: str, config: Config, run: Run, overrides: list[str]) -> None:
    """Do the work of a run folder that is filled."""
    if stage != "pipeline":
        pipeline.run_stage(stage, config, run)
        return
    with run.recording():
        pipeline.execute(config, run, overrides)
    log.info("done; look at %s", shown(write_report(run.path)))


def resume(path: Path, overrides: list[str]) -> None:
    """Continue a run from its folder; longer budgets and run-time keys may be given."""
    path = path.absolute()
    manifest = read_manifest(path)
    stage = manifest["stage"]
    old, new = from_yaml(path / "config.yaml", SCHEMAS[stage], overrides)
    check_resumable(old, new)
    _console_level(new.verbosity.value)
    upstream = (path / manifest["upstream"]).resolve() if manifest["upstream"] else None
    new = replace(new, device=resolve_device(new.device))
    run = new_run(new, path, manifest["env"], upstream)
    run.manifest = manifest
    manifest["resumed"] = [*manifest.get("resumed", []), {"at": _now(), "overrides": overrides}]
    _warn_of_changes(manifest)
    execute(stage, new, run, overrides)


def _warn_of_changes(manifest: dict[str, Any]) -> None:
    now = provenance()
    for key in ("machine", "threads", "versions"):
        if manifest[key] != now[key]:
            log.warning("%s differ from those the run began with: numbers may not be equal to the last bit", key)


def _run_hydra(arguments: list[str]) -> None:
    """Leave sweeps and Hydra's own flags to Hydra."""

    def job(raw: DictConfig) -> None:
        info = HydraConfig.get()
        composed = typed(raw, info)
        folder = Path(info.sweep.dir).absolute() / str(info.sweep.subdir)
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / "manifest.json").exists():
            raise ValueError(f"{shown(folder)} holds a run of another sweep: start this one again")
        start(composed, folder)

    sys.argv = [sys.argv[0], *_flags_first(arguments)]
    hydra.main(config_path=str(config_folder().resolve()), config_name="config", version_base="1.3")(job)()


def _flags_first(arguments: list[str]) -> list[str]:
    """Hydra's parser stops taking overrides at a flag that stands between them."""
    flags, overrides, values = [], [], iter(arguments)
    for item in values:
        if item in ("-c", "--cfg", "-p", "--package"):
            flags += [item, next(values, "")]
        elif item.startswith("-"):
            flags.append(item)
        else:
            overrides.append(_quoted(item))
    return [*flags, *overrides]


if __name__ == "__main__":
    sys.exit(main())
