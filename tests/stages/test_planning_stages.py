"""Agents that plan: evaluated and collecting, whatever the number of workers; refused early."""

from pathlib import Path

import numpy as np
import pytest
import torch
from commands import newest, small, small_pipeline

from world_models.agents.agent import load_agent
from world_models.agents.sequences import Guess, Method, PlanConfig
from world_models.data.store import EpisodeStore
from world_models.main import main
from world_models.report.verdict import verdict_of
from world_models.runs.files import read_json

PLAN = ["plan.method=icem", "plan.horizon=3", "plan.candidates=16", "plan.rounds=2"]
KEYS = [f"stage.{key}" for key in PLAN]


@pytest.fixture(scope="module")
def planned(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An evaluation of the finished pipeline's agent, which plans; for reading only."""
    outputs = tmp_path_factory.mktemp("outputs")
    agent = f"agent={finished / 'controller/agent.pt'}"
    assert main(small("evaluate", *KEYS, agent, f"outputs={outputs}")) == 0
    return newest(outputs)


def test_scores_name_the_plan_and_stand_beside_the_controller_alone(
    planned: Path, finished: Path
) -> None:
    scores, alone = (read_json(run / "scores.json") for run in (planned, finished / "evaluate"))
    assert scores["controller"]["returns"] == alone["returns"]
    assert scores["random"] == alone["random"] and len(scores["returns"]) == 5
    cfg = PlanConfig(Method.icem, horizon=3, candidates=16, rounds=2)
    assert scores["plan"] == cfg.to_dict() and scores["plan"]["method"] == "icem"
    assert "plan" not in alone and not (finished / "evaluate/timing.csv").exists()


def test_the_page_and_the_verdict_speak_of_planning(planned: Path) -> None:
    page = (planned / "report.html").read_text()
    assert "method icem, horizon 3, candidates 16, rounds 2" in page and "Real steps/s" in page
    verdict = verdict_of(planned)
    assert verdict is not None
    assert any("than the agent alone on the same episodes" in each for each in verdict.sentences)


@pytest.mark.slow
def test_more_workers_and_a_film_come_to_the_same(
    planned: Path, finished: Path, tmp_path: Path
) -> None:
    agent = f"agent={finished / 'controller/agent.pt'}"
    arguments = small("evaluate", *KEYS, agent, f"outputs={tmp_path}", "stage.workers=2")
    assert main(arguments) == 0
    run = newest(tmp_path)
    assert read_json(run / "scores.json") == read_json(planned / "scores.json")
    films = [(folder / "videos/best.mp4").read_bytes() for folder in (run, planned)]
    assert films[0] == films[1]


def test_an_agent_collects_by_planning(finished: Path, tmp_path: Path) -> None:
    more = ["stage.policy=plan", f"stage.agent={finished}", *KEYS, "stage.episodes=6"]
    assert main(small("rollout", *more, f"outputs={tmp_path}")) == 0
    store = EpisodeStore.open(newest(tmp_path) / "episodes")
    policy = load_agent(finished / "controller/agent.pt").planner(
        PlanConfig(Method.icem, horizon=3, candidates=16, rounds=2)
    )
    episode = store.episode(store.episodes("train")[0])
    policy.reset([episode.seed])
    played = [policy.act(frame[None], np.zeros(1, int))[0] for frame in episode.frames[:-1]]
    np.testing.assert_array_equal(played, episode.actions[:-1])


@pytest.fixture
def blind(finished: Path, tmp_path: Path) -> Path:
    """An agent of an earlier version, whose M was trained without rewards."""
    agent = load_agent(finished / "controller/agent.pt")
    bound = agent.world.mdrnn.hiddens**-0.5
    with torch.no_grad():
        agent.world.mdrnn.gmm_linear.weight[-2].clamp_(-bound, bound)
    agent.save(tmp_path / "blind.pt", half=True)
    state = torch.load(tmp_path / "blind.pt", weights_only=True)
    del state["rewards"]
    torch.save(state, tmp_path / "blind.pt")
    return tmp_path / "blind.pt"


def test_what_an_earlier_version_wrote_is_judged_by_its_weights(
    finished: Path, blind: Path
) -> None:
    assert not load_agent(blind).has_reward
    agent = load_agent(finished / "controller/agent.pt")
    assert agent.has_reward
    with torch.no_grad():
        agent.world.mdrnn.gmm_linear.weight[-2, 0] = 1.0
    assert agent.world.mdrnn.reward_is_trained


def test_no_reward_head_is_refused_before_anything_is_written(
    blind: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outputs = tmp_path / "outputs"
    collect = ["stage.policy=plan", f"stage.agent={blind}"]
    pipeline = ["stage.evaluate.plan.method=cem", "stage.mdrnn.include_reward=false"]
    for arguments in (
        small("evaluate", *KEYS, f"agent={blind}"),
        small("rollout", *collect),
        small_pipeline(*pipeline),
    ):
        assert main([*arguments, f"outputs={outputs}"]) == 1
        error = capsys.readouterr().err
        assert "include_reward=true" in error and error.count("\n") == 1
    assert not outputs.exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["stage.plan.horizon=5"], "stage.plan.horizon is of no use: nothing plans without"),
        (["stage.plan.method=mppi"], "stage.plan.method"),
    ],
)
def test_mistakes_end_in_one_sentence(
    finished: Path,
    arguments: list[str],
    sentence: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    agent = f"agent={finished / 'controller/agent.pt'}"
    outputs = f"outputs={tmp_path / 'outputs'}"
    assert main(small("evaluate", agent, *arguments, outputs)) == 1
    error = capsys.readouterr().err
    assert sentence in error and error.count("\n") == 1


@pytest.mark.parametrize("guess", Guess)
@pytest.mark.parametrize("from_controller", [False, True])
def test_an_agents_rows_plan_the_same_whoever_is_beside_them(
    finished: Path, guess: Guess, from_controller: bool
) -> None:
    cfg = PlanConfig(
        Method.icem,
        horizon=3,
        candidates=16,
        rounds=2,
        guess=guess,
        from_controller=from_controller,
    )
    frames = np.random.default_rng(0).integers(0, 255, (3, 5, 64, 64, 3), np.uint8)

    def played(rows: list[int]) -> np.ndarray:
        policy = load_agent(finished / "controller/agent.pt").planner(cfg)
        policy.reset(rows)
        return np.stack([policy.act(step[rows], np.arange(len(rows))) for step in frames])

    together = played([0, 1, 2, 3, 4])
    np.testing.assert_array_equal(played([3, 1]), together[:, [3, 1]])
    np.testing.assert_array_equal(played([4]), together[:, [4]])
