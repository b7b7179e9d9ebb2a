"""Somebody else's learner in a dream: Stable-Baselines3's PPO."""

import re
import runpy
from pathlib import Path

import pytest
from walker import Walker

pytest.importorskip("stable_baselines3")
from stable_baselines3 import PPO
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import VecMonitor

from world_models.envs.autoreset import Autoreset
from world_models.envs.stable_baselines import StableBaselinesEnv
from world_models.worlds.dream_env import DreamEnv
from world_models.worlds.dreaming import Dream, Rules

EXAMPLE = Path(__file__).parents[2] / "examples/ppo_in_a_dream.py"


def test_the_example_runs(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(EXAMPLE))["main"](str(finished), 1)
    said = re.findall(
        r"(\d+) steps learnt: (\S+) \+- (\S+) in the (\w+)\n", capsys.readouterr().out
    )
    assert [(steps, place) for steps, *_, place in said] == [
        ("0", "dream"),
        ("0", "environment"),
        ("1", "dream"),
        ("1", "environment"),
    ]
    assert len(EXAMPLE.read_text().splitlines()) < 40
    assert {mean for _, mean, _, place in said if place == "environment"} <= {
        f"{eaten / 32:.2f}" for eaten in range(33)
    }, "Pellet's returns are 0 and 1"


@pytest.mark.slow
def test_ppo_learns_in_a_dream() -> None:
    """The walker is paid for its distance, and falls off beyond 5: who stops there earns most."""
    slots = DreamEnv(Dream(Walker(), Rules(max_steps=30)), 16)
    envs = VecMonitor(StableBaselinesEnv(Autoreset(slots, "SameStep")))
    agent = PPO("MlpPolicy", envs, n_steps=64, batch_size=128, seed=0, device="cpu")
    before, _ = evaluate_policy(agent, envs, 32, deterministic=False)
    agent.learn(30_000)
    after, _ = evaluate_policy(agent, envs, 32, deterministic=False)
    best = sum(range(6)) + 25 * 5
    assert before < 60 and after > 0.8 * best, (before, after, best)
