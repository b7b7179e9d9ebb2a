"""What Hydra does for a sweep: it expands the overrides, and its launchers run the jobs."""

import contextlib
import logging
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial
from itertools import islice
from pathlib import Path

from hydra import initialize_config_dir
from hydra._internal.callbacks import Callbacks
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra._internal.hydra import Hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from world_models.cli import launch
from world_models.cli.console import set_up_logging
from world_models.config.compose import compose_config, config_folder, explain, quoted
from world_models.envs.trust import modules_of, trust, trusted
from world_models.runs.folder import wait_for_writer
from world_models.runs.numbers import all_cores, most_processes, share_cores
from world_models.runs.program import Program, start, started
from world_models.runs.sweeps import MOST_JOBS, Sweep, attempt, read_sweep

log = logging.getLogger(__name__)

LAUNCHER = "hydra/launcher"
GRACE = 10.0  # seconds that an orphaned job has to end
EXTRAS = {"joblib": ': it comes with the extra "sweeps": pip install "world-models[sweeps]"'}


@dataclass(frozen=True)
class Expanded:
    """What a sweep's command line stands for."""

    folder: Path  # where it shall lie
    outputs: Path  # the folder of all runs
    launcher: list[str]  # Hydra's overrides about the launcher
    swept: list[str]  # keys with several values
    jobs: list[list[str]]  # the overrides of every job


def expand(overrides: list[str]) -> Expanded:
    """Expand lists, ranges and globs; a mistake in any job that Hydra sees is a ValueError."""
    with _hydra(overrides) as hydra:
        _require_launcher(hydra, overrides)
        hydras = [item for item in overrides if item.lstrip("+~").startswith(("hydra.", "hydra/"))]
        _require_known(hydras)
        alone = hydra.compose_config("config", hydras, RunMode.MULTIRUN)
        fixed = [f"{key}={value}" for key, value in (alone.hydra.sweeper.params or {}).items()]
        parser = OverridesParser.create(config_loader=hydra.config_loader)
        parsed = parser.parse_overrides(
            [*fixed, *(item for item in overrides if item not in hydras)]
        )
        _require_few_jobs(parsed)
        jobs = BasicSweeper.split_arguments(parsed, None)[0]
        _require_different(jobs)
        # each by itself: where groups are swept, what they have in common is a key only there
        for job in jobs:
            _trust_typed(hydra.config_loader.load_sweep_config(alone, job))
        config = hydra.compose_config("config", [*hydras, *jobs[0]], RunMode.MULTIRUN)
        swept = [item.get_key_element().lstrip("+") for item in parsed if item.is_sweep_override()]
        launcher = [item for item in hydras if is_launcher_key(item)]
        return Expanded(
            Path(config.hydra.sweep.dir).absolute(),
            Path(config.outputs).absolute(),
            launcher,
            swept,
            _with_threads(jobs, config),
        )


def _require_few_jobs(parsed: list[Override]) -> None:
    """Before they are listed: a range may be endless. No key's values are counted further."""
    jobs = 1
    for item in parsed:
        if item.is_discrete_sweep():
            jobs *= len(list(islice(item.sweep_string_iterator(), MOST_JOBS + 1)))
    if jobs > MOST_JOBS:
        raise ValueError(f"a sweep of {jobs} jobs: {MOST_JOBS} is the most, so sweep less")


def _require_different(jobs: list[list[str]]) -> None:
    """One job twice would count as two seeds."""
    for number, job in enumerate(jobs):
        first = jobs.index(job)
        if first < number:
            raise ValueError(
                f"jobs {first} and {number} of the sweep are the same: type each value once"
            )


def _trust_typed(config: DictConfig) -> None:
    """The user named the environment of a job, and with it the module in its id."""
    kwargs = OmegaConf.select(config, "env.kwargs")
    trust(modules_of(str(OmegaConf.select(config, "env.id")), OmegaConf.to_container(kwargs)))


@contextlib.contextmanager
def _hydra(overrides: list[str]) -> Iterator[Hydra]:
    """Hydra with our configuration; what it refuses is a ValueError of one sentence."""
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(config_folder().resolve()), version_base="1.3"):
            hydra = GlobalHydra.instance().hydra
            assert hydra is not None
            yield hydra
    except (HydraException, OmegaConfBaseException) as error:
        raise ValueError(explain(error, overrides)) from None


def is_launcher_key(override: str) -> bool:
    """Whether an override is about who runs the jobs."""
    return override.startswith((f"{LAUNCHER}=", "hydra.launcher."))


def _require_known(overrides: list[str]) -> None:
    """Jobs are always a grid, in numbered folders: keys of Hydra that say otherwise are refused."""
    for item in overrides:
        if not (
            is_launcher_key(item)
            or item.startswith(("hydra.sweep.dir=", "hydra.sweeper.params", "hydra.mode="))
        ):
            raise ValueError(
                f"{item} is of no use: of Hydra's keys a sweep takes {LAUNCHER}, "
                "hydra.launcher.* and hydra.sweep.dir"
            )


def _require_launcher(hydra: Hydra, overrides: list[str]) -> None:
    there = hydra.config_loader.get_group_options(LAUNCHER)
    for choice in [item.partition("=")[2] for item in overrides if item.startswith(f"{LAUNCHER}=")]:
        if choice not in there:
            hint = EXTRAS.get(choice, f"; there are: {', '.join(there)}")
            raise ValueError(f"{LAUNCHER}={choice} is not installed{hint}")


def jobs_at_once(launcher: DictConfig, jobs: int) -> int:
    """How many jobs share this machine's cores: joblib's `n_jobs` (-1: one per core), else one."""
    wanted = OmegaConf.select(launcher, "n_jobs", default=1)
    if wanted == 0:
        raise ValueError(
            "hydra.launcher.n_jobs is 0; it must be a number of jobs, or -1 (one per core)"
        )
    if not -all_cores() <= wanted <= most_processes():
        raise ValueError(
            f"hydra.launcher.n_jobs is {wanted}; at most {most_processes()} jobs run side by side"
        )
    return max(1, min(jobs, wanted if wanted > 0 else all_cores() + 1 + wanted))


def _with_threads(jobs: list[list[str]], config: DictConfig) -> list[list[str]]:
    """Jobs on this machine with their share of its cores as `threads`, where these were not given.

    Results depend on threads in the last bits, so every job keeps them, whoever resumes the sweep.
    """
    share = max(1, all_cores() // jobs_at_once(config.hydra.launcher, len(jobs)))
    given = config.threads or any(item.startswith("threads=") for item in jobs[0])
    if given or config.hydra.runtime.choices[LAUNCHER] not in ("basic", "joblib"):
        return jobs
    return [[*job, f"threads={share}"] for job in jobs]


def launch_jobs(folder: Path, sweep: Sweep, launcher: list[str], numbers: list[int]) -> None:
    """Run some jobs of a sweep; how each went stands in its folder."""
    ours = [*launcher, "hydra.mode=MULTIRUN", quoted(f"hydra.sweep.dir={folder}")]
    with _hydra(launcher) as hydra:
        _require_launcher(hydra, launcher)
        config = hydra.compose_config("config", [*sweep.jobs[numbers[0]], *ours], RunMode.MULTIRUN)
        context = HydraContext(config_loader=hydra.config_loader, callbacks=Callbacks(config))
        plugin = Plugins.instance().instantiate_launcher(
            context, partial(run_job, modules=trusted(), program=started()), config
        )
        plugin.launch(
            [[*sweep.jobs[number], f"hydra.sweep.subdir={number}"] for number in numbers], 0
        )


def run_job(_: DictConfig, modules: Sequence[str], program: Program) -> None:
    """Start or resume one job, in whatever process Hydra's launcher gives it.

    `modules` are those that the user trusts, `program` is what the user started.
    """
    trust(modules)
    start(program)
    info = HydraConfig.get()
    folder, number = Path(info.sweep.dir) / str(info.sweep.subdir), int(info.sweep.subdir)
    if multiprocessing.parent_process() is not None:
        _end_with_parent()
        # joblib's own method is unknown to processes started here
        multiprocessing.set_start_method("spawn", force=True)
        set_up_logging(f"[{number}] ")
    sweep = read_sweep(folder.parent)
    share_cores(jobs_at_once(info.launcher, len(sweep.jobs)))
    values = ", ".join(f"{key}={value}" for key, value in sweep.values(number).items())
    log.info("job %d of %d: %s", number, len(sweep.jobs), values)
    base = sweep.base(folder.parent)
    with attempt(folder):
        if (folder / "manifest.json").is_file():
            wait_for_writer(folder)
            launch.resume(folder, [], base)
        else:
            composed = compose_config(sweep.jobs[number], base)
            launch.start_in(folder, composed, launch.prepare(composed, sweep.began))


def _end_with_parent() -> None:
    """End this process once the one that started it is gone, so that the sweep can be resumed."""
    if _is_orphan():
        os._exit(1)
    _watch_parent()


@cache
def _watch_parent() -> None:
    def watch() -> None:
        while not _is_orphan():
            time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGTERM)  # the run notes that it was interrupted
        time.sleep(GRACE)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _is_orphan() -> bool:
    parent = multiprocessing.parent_process()
    return parent is not None and os.getppid() != parent.pid
