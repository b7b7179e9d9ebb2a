"""What a resumed run was built on and has moved since: found by its hash, or named anew."""

from pathlib import Path

from world_models.config.schema import Config, paths_of
from world_models.config.stored import merged
from world_models.runs.folder import display_path
from world_models.runs.past import PastRun
from world_models.runs.places import led_to
from world_models.runs.quotes import in_quotes


def with_moves(
    past: PastRun, old: Config, given: Config, overrides: list[str]
) -> tuple[Config, list[str]]:
    """The configuration `given` and its overrides with every path where it leads now.

    What is named in place of something recorded and is not the same is a ValueError.
    """
    moves = {}
    for key, before in paths_of(old).items():
        after = paths_of(given)[key]
        if before is None or after is None or "/" not in before or key == "outputs":
            continue
        path = led_to(past.path, before)
        now = (
            past.whereabouts(path) if after == before else past.named(path, Path(after).absolute())
        )
        if now != path:
            moves[key] = f"{key}={in_quotes(str(now))}"
    others = [item for item in overrides if item.partition("=")[0] not in moves]
    return merged(given, list(moves.values())), [*others, *moves.values()]


def feeder(past: PastRun, config: Config) -> PastRun | None:
    """The run that feeds a resumed one; one that is gone is a ValueError."""
    if past.manifest["upstream"] is None:
        return None
    path = led_to(past.path, config.upstream)
    if not path.is_dir():
        raise ValueError(
            f"{display_path(path)}, which feeds {past.name}, is gone: bring it back, or name it "
            "with upstream=<run folder>"
        )
    return PastRun(path, past.below)
