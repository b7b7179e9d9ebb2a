"""scores.json and quality.json are read by one reader, which names what cannot be."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from world_models.runs.results import (
    AgentScores,
    PixelScores,
    read_quality,
    read_scores,
)

DOCS = Path(__file__).parents[2] / "docs" / "results"
AGENT = DOCS / "demo" / "evaluate" / "scores.json"
PIXELS = DOCS / "coinrun_pixel" / "seed1" / "evaluate" / "scores.json"
QUALITY = DOCS / "demo" / "vae" / "quality.json"
GONE = object()


def test_what_runs_wrote_is_read() -> None:
    agents = [path for path in DOCS.rglob("scores.json") if "coinrun_pixel" not in path.parts]
    assert len(agents) > 10
    for path in agents:
        scores = read_scores(path)
        assert isinstance(scores, AgentScores) and scores.episodes == len(scores.returns)
        assert scores.mean == pytest.approx(sum(scores.returns) / len(scores.returns))
    pixels = read_scores(PIXELS)
    assert isinstance(pixels, PixelScores) and len(pixels.horizons) == 32
    qualities = [read_quality(path) for path in DOCS.rglob("quality.json")]
    assert len(qualities) > 2
    assert all(len(found.kl_per_latent) == found.latent_size for found in qualities)


def changed(content: Any, place: str, value: Any) -> Any:
    """Content with another value at a place such as random.mean, or nothing there."""
    content = copy.deepcopy(content)
    *way, last = place.split(".")
    inner = content
    for name in way:
        inner = inner[int(name) if isinstance(inner, list) else name]
    if value is GONE:
        del inner[last]
    else:
        inner[int(last) if isinstance(inner, list) else last] = value
    return content


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        ("mean", "high", "mean is 'high'"),
        ("mean", GONE, "mean is missing"),
        ("returns", [], "returns is a list of 0"),
        ("returns.2", None, "returns[2] is None"),
        ("interval95", [1.0], "interval95 is a list of 1"),
        ("std", -1.0, "std is a number"),
        ("std", float("inf"), "std is a number"),
        ("random", GONE, "random is missing"),
        ("random.returns", {}, "random.returns is a dict"),
        ("horizons", [], "horizons is a list of 0"),
        ("horizons", [3], "horizons[0] is 3"),
    ],
)
def test_scores_in_which_something_cannot_be_are_refused(
    place: str, value: Any, words: str, tmp_path: Path
) -> None:
    path = tmp_path / "scores.json"
    path.write_text(json.dumps(changed(json.loads(AGENT.read_text()), place, value)))
    with pytest.raises(ValueError, match=r"scores\.json is damaged: ") as caught:
        read_scores(path)
    assert words.replace("a number", str(value)) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        ("pictures", [], "pictures is a list of 0"),
        ("pictures.0.psnr", "27", "pictures[0].psnr is '27'"),
        ("pictures.1.components", 1.5, "pictures[1].components is"),
        ("at_floor", 1.5, "at_floor is"),
        ("active", -1, "active is -1"),
        ("kl_per_latent", [None], "kl_per_latent[0] is None"),
        ("kl_tolerance", GONE, "kl_tolerance is missing"),
    ],
)
def test_a_quality_in_which_something_cannot_be_is_refused(
    place: str, value: Any, words: str, tmp_path: Path
) -> None:
    path = tmp_path / "quality.json"
    path.write_text(json.dumps(changed(json.loads(QUALITY.read_text()), place, value)))
    with pytest.raises(ValueError, match=r"quality\.json is damaged: ") as caught:
        read_quality(path)
    assert words in str(caught.value)


@pytest.mark.parametrize("content", ["", "[]", "3", '"x"', "{", "null", "\xff"])
def test_what_is_no_table_at_all_is_refused(content: str, tmp_path: Path) -> None:
    path = tmp_path / "scores.json"
    path.write_text(content, encoding="latin-1")
    for read in (read_scores, read_quality):
        with pytest.raises(ValueError, match=r"scores\.json is damaged: "):
            read(path)
