"""Which run feeds which: the one that is named, or the newest that fits."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from world_models.chains import catalogue
from world_models.config.schema import Config
from world_models.config.stage import Chain, Stage
from world_models.envs.spec import EnvSpec, difference
from world_models.runs.folder import display_path
from world_models.runs.past import PastRun, all_runs, last_begun
from world_models.runs.times import moment


@dataclass(frozen=True)
class Upstream:
    """The run that feeds a stage, and the stage that it is a run of or stands for."""

    run: PastRun
    stage: str
    # a newer run that would have been taken if it had finished
    left_out: PastRun | None = None


def find_upstream(
    config: Config, row: Stage | Chain, env: EnvSpec, experiment: str | None, before: str
) -> Upstream | None:
    """The run that feeds this stage, None where none does.

    A missing or unfitting one is a ValueError.
    """
    needs = row.needs if isinstance(row, Stage) else ()
    named = config.upstream != "latest"
    if config.agent is not None:
        if named:
            raise ValueError(
                f"agent={config.agent} and upstream={config.upstream} both name what to play: "
                "give one"
            )
        return None
    if not needs:
        if named:
            raise ValueError(
                f"upstream={config.upstream} is of no use: stage={row.name} reads no other run"
            )
        return None
    assert isinstance(row, Stage), row
    if named:
        path, outputs = Path(config.upstream).absolute(), Path(config.outputs).absolute()
        return check_upstream(path, row.name, (*needs, *row.needs_or_named), env, outputs)
    return _newest(config, row, env, experiment, before)


def _newest(
    config: Config, row: Stage, env: EnvSpec, experiment: str | None, before: str
) -> Upstream | None:
    outputs = Path(config.outputs).absolute()
    kinds = row.needs[:1] if row.needs_none else row.needs
    for kind in kinds:
        found = latest(outputs, kind, env, experiment, before)
        if found is not None:
            return Upstream(found, kind, newer_unfinished(found, kind, env, outputs, before))
    if row.needs_none:
        return None
    raise ValueError(
        f"stage={row.name} needs a finished {' or '.join(kinds)} run of {env.id} with the same env "
        f"settings and experiment in {config.outputs}, and there is none: "
        f"{_what_to_do(outputs, row.name, kinds, env, before)}"
    )


def _what_to_do(outputs: Path, stage: str, kinds: Sequence[str], env: EnvSpec, before: str) -> str:
    """Where no run fits: there may be one of another experiment."""
    for run in chain.from_iterable(finished(outputs, kind, env, before) for kind in kinds):
        script = run.path / "eval.sh"
        row = catalogue.row(run.stage)
        evaluates = row.evaluated_by == stage and script.is_file()
        by_script = f", or run {display_path(script)}" if evaluates else ""
        experiment = f"experiment={run.manifest['experiment'] or 'null'}"
        return f"{run.name} is one of {experiment}: type upstream={run.name}{by_script}"
    return f"run stage={kinds[0]} first, or name one with upstream=<run folder>"


def latest(
    outputs: Path, stage: str, env: EnvSpec, experiment: str | None, before: str
) -> PastRun | None:
    """The newest finished run that serves as one of `stage`, with this env and experiment.

    It ended before `before` (a time as manifests hold it). Jobs of sweeps are left out.
    """
    found = finished(outputs, stage, env, before)
    return next((run for run in found if run.manifest["experiment"] == experiment), None)


def finished(outputs: Path, stage: str, env: EnvSpec, before: str) -> Iterator[PastRun]:
    """Finished runs that serve as one of `stage` in this env, newest first; see `latest`."""
    end = moment(before)
    for run in _fitting(outputs, stage, env):
        ended = run.manifest.get("ended") or run.manifest["created"]
        if run.manifest["status"] == "finished" and moment(ended) <= end:
            yield run


def newer_unfinished(
    taken: PastRun, stage: str, env: EnvSpec, outputs: Path, before: str
) -> PastRun | None:
    """The newest run that began after `taken` and would serve in its place if it had finished."""
    first, end = moment(taken.manifest["created"]), moment(before)
    experiment = taken.manifest["experiment"]
    for run in _fitting(outputs, stage, env):
        fits = run.manifest["experiment"] == experiment and run.manifest["status"] != "finished"
        if fits and first < moment(run.manifest["created"]) <= end:
            return run
    return None


def _fitting(outputs: Path, stage: str, env: EnvSpec) -> Iterator[PastRun]:
    """Runs that serve as one of `stage` in this env, newest first; jobs of sweeps are left out."""
    for run in reversed(all_runs(outputs)):
        swept = (outputs / "sweeps") in run.path.parents
        if not swept and run.manifest["env"] == env.to_dict() and serves(run, stage):
            yield run


def serves(run: PastRun, stage: str) -> bool:
    """Whether a run gives what runs of `stage` give.

    Converted episodes, for example, stand for collected ones.
    """
    if run.stage == stage:
        return True
    if run.stage not in catalogue.names():
        return False
    row = catalogue.row(run.stage)
    if not isinstance(row, Stage) or row.stands_for != stage or row.gives is None:
        return False
    return (run.path / row.gives.file).is_file()


def check_upstream(
    path: Path, stage: str, needs: Sequence[str], env: EnvSpec, outputs: Path
) -> Upstream:
    """A named upstream must be a finished run of one of the stages, and of the env.

    A chain stands for its last part that is a run of one of them. What it was built on and has
    moved is looked for below `outputs`.
    """
    if not path.is_dir():
        what = "is no folder" if path.exists() else "does not exist"
        raise ValueError(f"upstream={PastRun(path).name} {what}: name the folder of a run")
    run = part_of_chain(PastRun(path, outputs), needs)
    served = [name for name in needs if serves(run, name)]
    if not served:
        wanted = " or ".join(needs)
        raise ValueError(
            f"upstream={run.name} is a {run.stage} run; stage={stage} needs a {wanted} run"
        )
    if run.status != "finished":
        raise ValueError(
            f"upstream={run.name} is not finished ({run.status}): "
            f"continue it with resume={run.name}"
        )
    if run.manifest["env"] != env.to_dict():
        what = difference(run.manifest["env"], env.to_dict())
        raise ValueError(f"upstream={run.name} was made with another env: {what}")
    return Upstream(run, served[0])


def part_of_chain(run: PastRun, needs: Sequence[str]) -> PastRun:
    """The last part of a chain that is a run of one of these stages, of those that are begun.

    The run itself, where it has none.
    """
    path = last_begun(run, needs)
    if path.is_symlink() and not path.exists():
        gone = PastRun(path.resolve()).name
        raise ValueError(f"upstream={run.name} took its {path.name} from {gone}, which is gone")
    return PastRun(path, run.below) if path != run.path and path.is_dir() else run
