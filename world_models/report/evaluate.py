"""What the report says of an evaluation: of an agent beside a random policy, or of a next-frame
model beside guesses."""

from itertools import chain
from pathlib import Path

import numpy as np

from world_models.figures import plots
from world_models.figures.plots import BLUE, GREY, ORANGE
from world_models.figures.wording import number, plus_minus
from world_models.measures.horizons import skill
from world_models.measures.published import published_for
from world_models.measures.rows import HeadScore, HorizonRow
from world_models.measures.token_rows import TokenHorizonRow
from world_models.report.headline import SKILL, Headline
from world_models.report.heads import HEAD_CAPTIONS, add_calibration, head_findings
from world_models.report.next_frames import ERROR_CAPTIONS, FILM, add_errors, error_findings
from world_models.report.page import Listing, Section
from world_models.report.set_aside import add_set_aside
from world_models.report.token_world import HORIZONS, add_horizons, far_ahead
from world_models.report.verdict import Finding
from world_models.runs.metrics import read_rows
from world_models.runs.results import AgentScores, PixelScores, Returns, read_scores
from world_models.runs.rows import TimingRow, rows_of
from world_models.runs.statistics import summarize

TITLE = "Evaluation"
LEAD = "The agent on episodes that it has never met, beside a policy that acts at random."
LEAD_OF_PIXELS = "A next-frame model that goes on by itself, beside guesses without a model."
HEADS_A_CHAIN = True
RETURNS = "Return of every episode"
BESIDE = "Beside other scores"
RETURNS_NOTE = "Below each row: the mean with its 95 % interval"
COLOURS = {"agent": BLUE, "agent alone": ORANGE, "random": GREY}
CAPTIONS = (RETURNS, BESIDE, "best episode", "median episode", "worst episode", HORIZONS)
CAPTIONS_OF_PIXELS = (*ERROR_CAPTIONS, *HEAD_CAPTIONS, FILM)


def headline(folder: Path) -> Headline | None:
    """The agent's mean return, or the skill of a next-frame model."""
    if not (folder / "scores.json").is_file():
        return None
    scores = read_scores(folder / "scores.json")
    if isinstance(scores, PixelScores):
        return Headline(SKILL, skill(list(rows_of(HorizonRow, scores.horizons))), True)
    return Headline("mean return", scores.mean, True, scores.std)


def findings(folder: Path) -> list[Finding]:
    """The agent beside the random policy, or a next-frame model beside guesses."""
    if (folder / "rollout_metrics.csv").is_file():
        heads = read_rows(folder / "calibration_scores.csv", HeadScore)
        rows = read_rows(folder / "rollout_metrics.csv", HorizonRow)
        return [*error_findings(rows), *head_findings(heads, "the model")]
    scores = _agent_scores(folder)
    if scores is None:
        return []
    alone = [] if scores.controller is None else [planning_finding(scores, scores.controller)]
    world = [far_ahead(row) for row in read_rows(folder / "open_loop.csv", TokenHorizonRow)]
    return [*agent_findings(scores, scores.random), *alone, *chain.from_iterable(world)]


def planning_finding(planned: Returns, alone: Returns) -> Finding:
    """Planning helps where the interval of its gain, track by track, is above 0."""
    gain = summarize([a - b for a, b in zip(planned.returns, alone.returns, strict=False)])
    how = "is not clearly better"
    if gain.low > 0 or gain.high < 0:
        how = "plays better" if gain.low > 0 else "plays worse"
    low, high = (number(value, gain.mean) for value in (gain.low, gain.high))
    return Finding(
        gain.low > 0,
        f"Planning {how} than the agent alone on the same episodes: mean return "
        f"{number(planned.mean)} against {number(alone.mean)}, gain {number(gain.mean)} "
        f"(95 % interval {low} to {high}).",
    )


def agent_findings(agent: Returns, random: Returns) -> list[Finding]:
    """One plays better where the intervals of the mean returns do not touch."""
    good = agent.between[0] > random.between[1]
    bad = agent.between[1] < random.between[0]
    ours, theirs = _with_interval(agent), _with_interval(random)
    if bad:
        what = f"The random policy plays better than the agent: mean return {theirs} against {ours}"
    elif good:
        what = f"The agent plays better than the random policy: mean return {ours} against {theirs}"
    else:
        what = f"The agent is not clearly better than the random policy: {ours} against {theirs}"
    return [Finding(good, f"{what}.")]


def _with_interval(scores: Returns) -> str:
    episodes = f"{len(scores.returns)} episode{'s' * (len(scores.returns) > 1)}"
    return f"{number(scores.mean)} (95 % interval {_interval(scores)}, {episodes})"


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
    ranked: list[float] = []
    try:
        scores = _agent_scores(section.folder)
    except ValueError as error:
        section.note(str(error))
    else:
        if scores is not None:
            ranked = sorted(scores.returns, reverse=True)
            _add_returns(section, scores)
    add_horizons(section, section.rows("open_loop.csv", TokenHorizonRow))
    for name, place in (("best", 0), ("median", len(ranked) // 2), ("worst", -1)):
        caption = f"{name} episode" + (f" · {number(ranked[place])}" if ranked else "")
        section.show(section.folder / "videos" / f"{name}.mp4", caption, section.videos)


def _add_returns(section: Section, scores: AgentScores) -> None:
    random = scores.random
    section.headline = (
        plus_minus(scores.mean, scores.std),
        f"mean return ± standard deviation over {len(scores.returns)} unseen episodes",
    )
    section.facts = [
        ("Mean", number(scores.mean)),
        ("95 % interval", _interval(scores)),
        ("Median", number(scores.median)),
        ("Episodes", f"{len(scores.returns)}"),
        *_plan_facts(section, scores),
    ]
    who = f"random policy, {len(random.returns)} of the episodes"
    section.aside = (plus_minus(random.mean, random.std), who)
    rows = [
        (name, COLOURS[name], np.asarray(one.returns), (one.mean, *one.between))
        for name, one in (("agent", scores), ("agent alone", scores.controller), ("random", random))
        if one is not None
    ]
    section.plot(plots.strip(rows, RETURNS), RETURNS, note=RETURNS_NOTE)
    section.listings.append(_beside(scores))


def _beside(scores: AgentScores) -> Listing:
    """The agent, its rivals here, and what was published for the environment."""
    ours = [
        ("this agent", scores),
        ("agent alone", scores.controller),
        ("random policy", scores.random),
    ]
    rows = [
        [name, plus_minus(one.mean, one.std), _interval(one), f"{len(one.returns)}"]
        for name, one in ours
        if one is not None
    ]
    rows += [
        [row.who, plus_minus(row.mean, row.std), "–", "100"] for row in published_for(scores.env)
    ]
    return Listing(BESIDE, ["", "mean ± deviation", "95 % interval", "episodes"], rows, 0)


def _interval(scores: Returns) -> str:
    low, high = (number(value, scores.mean) for value in scores.between)
    return f"{low} to {high}"


def _plan_facts(section: Section, scores: AgentScores) -> list[tuple[str, str]]:
    """How the agent planned, and how fast; nothing where it did not."""
    if scores.plan is None:
        return []
    shown = ("method", "horizon", "candidates", "rounds", "from_controller")
    facts = [
        ("Plan", ", ".join(f"{key} {scores.plan[key]}" for key in shown if key in scores.plan))
    ]
    timing = section.rows("timing.csv", TimingRow)
    return [*facts, ("Real steps/s", number(timing[0].rate))] if timing else facts


def _agent_scores(folder: Path) -> AgentScores | None:
    """scores.json of an agent, where there is one; a damaged file is a ValueError."""
    path = folder / "scores.json"
    scores = read_scores(path) if path.is_file() else None
    return scores if isinstance(scores, AgentScores) else None
