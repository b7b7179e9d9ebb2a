"""What the report says of an evaluation: of an agent beside a random policy, or of a next-frame
model beside guesses."""

from pathlib import Path
from typing import Any

import numpy as np

from world_models.figures import plots
from world_models.figures.plots import BLUE, GREY
from world_models.figures.wording import number, plus_minus
from world_models.measures.horizons import skill
from world_models.measures.rows import HeadScore, HorizonRow
from world_models.report.headline import SKILL, Headline
from world_models.report.heads import HEAD_CAPTIONS, add_calibration, head_findings
from world_models.report.next_frames import ERROR_CAPTIONS, FILM, add_errors, error_findings
from world_models.report.page import Section
from world_models.report.set_aside import add_set_aside
from world_models.report.verdict import Finding
from world_models.runs.files import read_json
from world_models.runs.metrics import read_rows
from world_models.runs.rows import rows_of
from world_models.runs.statistics import Summary

TITLE = "Evaluation"
LEAD = "The agent on episodes that it has never met, beside a policy that acts at random."
LEAD_OF_PIXELS = "A next-frame model that goes on by itself, beside guesses without a model."
HEADS_A_CHAIN = True
RETURNS = "Return of every episode"
RETURNS_NOTE = "Below each row: the mean with its 95 % interval"
COLOURS = {"agent": BLUE, "random": GREY}
CAPTIONS = (RETURNS, "best episode", "median episode", "worst episode")
CAPTIONS_OF_PIXELS = (*ERROR_CAPTIONS, *HEAD_CAPTIONS, FILM)


def headline(folder: Path) -> Headline | None:
    """The agent's mean return, or the skill of a next-frame model."""
    if not (folder / "scores.json").is_file():
        return None
    path = folder / "scores.json"
    scores = read_json(path)
    try:
        if "horizons" in scores:
            return Headline(SKILL, skill(list(rows_of(HorizonRow, scores["horizons"]))), True)
        return Headline("mean return", float(scores["mean"]), True, float(scores["std"]))
    except (KeyError, TypeError, AttributeError):
        raise ValueError(f"{path} is damaged: it holds no scores; evaluate again") from None


def findings(folder: Path) -> list[Finding]:
    """The agent beside the random policy, or a next-frame model beside guesses."""
    if (folder / "rollout_metrics.csv").is_file():
        heads = read_rows(folder / "calibration_scores.csv", HeadScore)
        rows = read_rows(folder / "rollout_metrics.csv", HorizonRow)
        return [*error_findings(rows), *head_findings(heads, "the model")]
    scores = _read_scores(folder)
    if not {"agent", "random"} <= set(scores):
        return []
    return agent_findings(scores["agent"][1], scores["random"][1])


def agent_findings(agent: Summary, random: Summary) -> list[Finding]:
    """One plays better where the intervals of the mean returns do not touch."""
    good, bad = agent.low > random.high, agent.high < random.low
    ours, theirs = _with_interval(agent), _with_interval(random)
    if bad:
        what = f"The random policy plays better than the agent: mean return {theirs} against {ours}"
    elif good:
        what = f"The agent plays better than the random policy: mean return {ours} against {theirs}"
    else:
        what = f"The agent is not clearly better than the random policy: {ours} against {theirs}"
    return [Finding(good, f"{what}.")]


def _with_interval(summary: Summary) -> str:
    low, high = (number(value, summary.mean) for value in (summary.low, summary.high))
    return f"{number(summary.mean)} (95 % interval {low} to {high})"


def fill(section: Section) -> None:
    """Headline, plots, tables and films, as far as the files are there."""
    if (section.folder / "rollout_metrics.csv").is_file():
        section.lead = LEAD_OF_PIXELS
        _fill_pixels(section)
    else:
        _fill_agent(section)


def _fill_pixels(section: Section) -> None:
    add_errors(section, section.rows("rollout_metrics.csv", HorizonRow))
    add_calibration(section, "Model")
    section.show(section.folder / "videos" / "rollout.mp4", FILM, section.videos)


def _fill_agent(section: Section) -> None:
    """Returns of the agent beside those of the random policy, and films of three episodes."""
    add_set_aside(section)
    scores: dict[str, tuple[np.ndarray, Summary]] = {}
    try:
        scores = _read_scores(section.folder)
    except ValueError as error:
        section.note(str(error))
    ranked: list[float] = []
    if "agent" in scores:
        returns, summary = scores["agent"]
        ranked = sorted(returns.tolist(), reverse=True)
        section.headline = (
            plus_minus(summary.mean, summary.std),
            f"mean return ± standard deviation over {len(ranked)} unseen episodes",
        )
        interval = f"{number(summary.low, summary.mean)} to {number(summary.high, summary.mean)}"
        section.facts = [
            ("Mean", number(summary.mean)),
            ("95 % interval", interval),
            ("Median", number(summary.median)),
        ]
        section.facts.append(("Episodes", f"{len(ranked)}"))
    if "random" in scores:
        section.aside = (
            plus_minus(scores["random"][1].mean, scores["random"][1].std),
            "random policy",
        )
    rows = [
        (name, COLOURS[name], returns, (s.mean, s.low, s.high))
        for name, (returns, s) in scores.items()
    ]
    section.plot(plots.strip(rows, RETURNS), RETURNS, note=RETURNS_NOTE)
    for name, place in (("best", 0), ("median", len(ranked) // 2), ("worst", -1)):
        caption = f"{name} episode" + (f" · {number(ranked[place])}" if ranked else "")
        section.show(section.folder / "videos" / f"{name}.mp4", caption, section.videos)


def _read_scores(folder: Path) -> dict[str, tuple[np.ndarray, Summary]]:
    """Returns and summary of the agent and of the random policy, as far as scores.json has them.

    A damaged file is a ValueError.
    """
    path = folder / "scores.json"
    if not path.is_file():
        return {}
    try:
        values = read_json(path)
        found = {"agent": values, "random": values.get("random")}
        return {name: _score(part) for name, part in found.items() if part}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ValueError("scores.json is damaged.") from None


def _score(part: dict[str, Any]) -> tuple[np.ndarray, Summary]:
    low, high = part["interval95"]
    returns = np.asarray(part["returns"], float).reshape(-1)
    return returns, Summary(
        *(float(value) for value in (part["mean"], part["std"], part["median"], low, high))
    )
