"""Several processes of torchrun: what they can do together, and what all but the first one do."""

import logging
import signal

from world_models.chains import catalogue
from world_models.chains.catalogue import Row
from world_models.config.schema import Config
from world_models.config.stage import Stage
from world_models.runs import ranks
from world_models.runs.device import Device
from world_models.runs.heap import keep_freed
from world_models.runs.numbers import num_cores
from world_models.runs.run import Run


def require_shared(row: Row) -> None:
    """A stage of which one process does all the work is a ValueError where there are several."""
    if ranks.world_size() > 1 and (not isinstance(row, Stage) or row.shared_out is None):
        raise ValueError(
            f"stage={row.name} cannot be shared out among the {ranks.world_size()} processes of "
            "torchrun: vae, mdrnn, pixel, tokenizer and token_world can; start it with "
            "python -m world_models.main"
        )


def require_no_sweep() -> None:
    """A sweep is a ValueError where there are several processes."""
    if ranks.world_size() > 1:
        raise ValueError(
            "torchrun shares out one run, not the jobs of a sweep: start the sweep with "
            "python -m world_models.main, or each of its runs with torchrun"
        )


def require_processes(row: Row, config: Config) -> None:
    """Batches that the processes cannot share out evenly, and too few GPUs, are ValueErrors."""
    count = ranks.world_size()
    if count == 1:
        return
    assert isinstance(row, Stage) and row.shared_out is not None, row.name
    for key, size in row.shared_out(config.stage).items():
        if size % count:
            raise ValueError(
                f"{key} makes batches of {size}, which the {count} processes of torchrun cannot "
                f"share out evenly: choose a multiple of {count}"
            )
    if config.device is Device.cuda:
        ranks.use_own_gpu()


def num_threads(config: Config) -> int:
    """The threads that were asked for; else this process's share of the cores."""
    return config.threads or max(1, num_cores() // ranks.on_this_machine())


def follow() -> int:
    """Do one's share of what the first process tells; returns the exit status.

    A follower writes nothing, so a signal may end it anywhere, and the first process speaks for it.
    """
    for signum in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signum, signal.SIG_DFL)
    logging.disable()
    task = ranks.hear()
    if task is None:
        return 0
    name, config, run = task
    try:
        _execute(catalogue.stage(name), config, run)
    except ranks.Lost:
        return 1
    except (ValueError, OSError, RuntimeError) as error:
        ranks.say_why(error)
        return 1
    return 0


def _execute(stage: Stage, config: Config, run: Run) -> None:
    from world_models.runs.threads import use_threads

    assert stage.execute is not None, stage.name
    # at first: what goes wrong from here on can be told
    ranks.join(config.device.value)
    use_threads(num_threads(config))
    keep_freed()
    if config.device is Device.cuda:
        ranks.use_own_gpu()
    stage.execute(config.stage, run)
