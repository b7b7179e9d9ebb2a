"""Files of raw scores: one for each algorithm, game -> the scores of its runs."""

from pathlib import Path

import numpy as np
from pydantic import RootModel

from world_models.measures.aggregates import Floats, Games, normalised
from world_models.runs.files import read_json
from world_models.runs.folder import display_path


def read_scores_folder(folder: Path, low: str, high: str) -> dict[str, dict[str, Floats]]:
    """Algorithm -> game -> normalised scores, from the JSON files of a folder.

    The files called `low` and `high` say what is 0 and what is 1. All algorithms must have played
    the same games. ValueError naming the file for what does not go together.
    """
    files = {path.stem: path for path in sorted(folder.glob("*.json"))}
    if not files:
        raise ValueError(f"stage.scores={folder} has no JSON files of scores")
    for name in (low, high):
        if name not in files:
            raise ValueError(
                f"stage.scores={folder} has no {name}.json: it says which score counts as "
                f"{0 if name == low else 1} in each game; choose others with stage.low and "
                "stage.high"
            )
    raw = {name: read_scores_file(path) for name, path in files.items()}
    ends = raw.pop(low), raw.pop(high)
    if not raw:
        raise ValueError(f"stage.scores={folder} has no algorithm beside {low} and {high}")
    _require_same_games(raw, *ends, files)
    return {name: normalised(scores, *ends) for name, scores in raw.items()}


def read_scores_file(path: Path) -> dict[str, Floats]:
    """Game -> scores of its runs (n,), n at least 1; anything else in the file is a ValueError."""
    content = read_json(path)
    try:
        parsed = _Scores.model_validate(content, strict=False).root
        whole = bool(parsed) and all(parsed.values())
    except ValueError:
        whole = False
    if not whole:
        raise ValueError(
            f"{display_path(path)} is no file of scores: it must say game -> list of numbers, one "
            "or more for each game"
        )
    scores = {game: np.array(runs, np.float64) for game, runs in sorted(parsed.items())}
    for game, runs in scores.items():
        if not np.isfinite(runs).all():
            raise ValueError(f"{display_path(path)} has a score of {game} that is not finite")
    return scores


class _Scores(RootModel[dict[str, list[float]]]):
    """What a file holds."""


def _require_same_games(
    raw: dict[str, dict[str, Floats]], low: Games, high: Games, files: dict[str, Path]
) -> None:
    """An aggregate over other games compares nothing."""
    every = sorted({game for scores in raw.values() for game in scores})
    for name, scores in raw.items():
        missing = [game for game in every if game not in scores]
        if missing:
            raise ValueError(
                f"{display_path(files[name])} lacks {missing[0]}, which other algorithms have: "
                "compare what played the same games"
            )
    for game in every:
        if game not in low or game not in high or low[game].mean() == high[game].mean():
            raise ValueError(
                f"{game} cannot be normalised: the files of stage.low and stage.high must both "
                "have it, with different scores"
            )
