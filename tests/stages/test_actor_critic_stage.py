"""Stage actor_critic: what it is fed with, exact resumption, what it leaves."""

from pathlib import Path

import numpy as np
import pytest
from agents.token_agents import pellet
from commands import misfits, newest, small
from equality import assert_equal_runs, fails_at

import world_models
from world_models.agents.rollout import record
from world_models.agents.sequences import Method, PlanConfig
from world_models.agents.token_agent import TokenAgent
from world_models.agents.token_planning import token_planner
from world_models.data.store import EpisodeStore
from world_models.learning.behaviour import BehaviourLearner
from world_models.main import main
from world_models.runs.files import read_json, sha256
from world_models.runs.metrics import read_csv
from world_models.runs.past import PastRun
from world_models.search.fitness import Block, Models, build_player
from world_models.worlds.opening import dreamer_files, open_world
from world_models.worlds.token import TokenWorld

PLAN = PlanConfig(Method.icem, horizon=2, candidates=4, rounds=1, elites=2)


@pytest.fixture(scope="module")
def whole(token_world_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    outputs = tmp_path_factory.mktemp("actor_critic")
    assert main(small("actor_critic", f"upstream={token_world_run}", f"outputs={outputs}")) == 0
    return newest(outputs)


def test_ctrl_c_then_resume_equals_uninterrupted(
    whole: Path, token_world_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(BehaviourLearner, "_update", fails_at(6, BehaviourLearner._update))
        command = small("actor_critic", f"upstream={token_world_run}", f"outputs={tmp_path}")
        assert main(command) == 130
    run = newest(tmp_path)
    assert main([f"resume={run}"]) == 0
    assert_equal_runs(whole, run)


@pytest.mark.parametrize("named", ["agent", "upstream"])
def test_it_plans_in_the_world_in_which_it_has_learned(
    named: str, whole: Path, token_world_run: Path, tmp_path: Path
) -> None:
    keys = [f"stage.plan.{name}={value}" for name, value in PLAN.to_dict().items()]
    outputs = f"outputs={tmp_path}"
    assert main(small("evaluate", *keys, f"{named}={whole}", "stage.episodes=2", outputs)) == 0
    run = newest(tmp_path)
    scores = read_json(run / "scores.json")
    assert scores["plan"] == PLAN.to_dict() and len(scores["controller"]["returns"]) == 2
    inputs = {item["kind"]: item["sha256"] for item in read_json(run / "manifest.json")["inputs"]}
    own, files = whole / "agent.pt", dreamer_files(PastRun(token_world_run))
    kinds = {"agent": own, "token_world": files.model, "tokenizer": files.tokenizer}
    assert inputs == {kind: sha256(path) for kind, path in kinds.items()}


def test_a_worker_plans_in_the_world_that_it_is_told(whole: Path, token_world_run: Path) -> None:
    world, seeds = open_world(token_world_run), (3, 4)
    assert isinstance(world, TokenWorld)
    models = Models(
        world.env.to_dict(),
        agent=whole / "agent.pt",
        planned_in=dreamer_files(PastRun(token_world_run)),
    )
    block = Block(np.empty((1, 0), np.float32), seeds, max_steps=3, filmed=True, plan=PLAN)
    told = build_player(models, "gymnasium", 2, "cpu")(block)
    again = record(pellet(2), token_planner(world, PLAN), seeds, max_steps=3)
    alone = record(pellet(2), models.load("cpu").policy(), seeds, max_steps=3)
    shown = [[film.observations.tobytes() for film in films] for films in (told, again, alone)]
    assert shown[0] == shown[1] != shown[2]


def test_it_collects_by_planning(whole: Path, token_world_run: Path, tmp_path: Path) -> None:
    keys = [f"stage.plan.{name}={value}" for name, value in PLAN.to_dict().items()]
    more = ["stage.policy=plan", f"stage.agent={whole}", "stage.max_steps=3", "stage.episodes=6"]
    assert main(small("rollout", *keys, *more, f"outputs={tmp_path}")) == 0
    run = newest(tmp_path)
    store, world = EpisodeStore.open(run / "episodes"), open_world(token_world_run)
    assert isinstance(world, TokenWorld)
    episode = store.episode(store.episodes("train")[0])
    policy = token_planner(world, PLAN)
    policy.reset([episode.seed])
    played = [policy.act(frame[None], np.zeros(1, int))[0] for frame in episode.frames[:-1]]
    np.testing.assert_array_equal(played, episode.actions[: len(played)])
    kinds = {item["kind"] for item in read_json(run / "manifest.json")["inputs"]}
    assert kinds == {"agent", "token_world", "tokenizer"}


def test_it_leaves_an_agent_and_says_what_it_rests_on(whole: Path) -> None:
    assert misfits(whole) == []
    agent = world_models.load(whole).agent
    assert isinstance(agent, TokenAgent)
    kinds = {item["kind"] for item in read_json(whole / "manifest.json")["inputs"]}
    assert kinds == {"token_world", "tokenizer", "episodes"}
    assert agent.inputs == read_json(whole / "manifest.json")["inputs"]
    played = read_csv(whole / "played.csv")
    assert [int(row["step"]) for row in played] == [0, 3, 6, 7]
    assert {row["player"] for row in played[1:]} == {"agent"} and played[0]["player"] == "random"
