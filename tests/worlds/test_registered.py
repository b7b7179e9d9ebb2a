"""Dreams, and what they are dreams of, behind Gymnasium's ids."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from commands import newest, small
from envs.test_autoreset import assert_equal
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from gymnasium.wrappers.vector import NormalizeObservation, RecordEpisodeStatistics

import world_models
from world_models.main import main
from world_models.worlds.dream_env import open_dream

ROOT = Path(__file__).parents[2]
DREAM = "WorldModels/Dream-v0"


def made(run: Path, num_envs: int = 3, world: str = "Dream", **options: Any) -> VectorEnv:
    return gymnasium.make_vec(f"WorldModels/{world}-v0", num_envs=num_envs, run=run, **options)


def test_importing_the_package_registers_and_is_light() -> None:
    code = """
import sys, gymnasium, world_models
for name in ("Dream", "Real", "Pellet"):
    assert f"WorldModels/{name}-v0" in gymnasium.registry
assert not {"torch", "hydra", "matplotlib"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("world", "mode"), [*(("Dream", mode) for mode in AutoresetMode), ("Real", "SameStep")]
)
def test_many_are_as_gymnasiums_own_of_single_ones(
    finished: Path, world: str, mode: AutoresetMode | str
) -> None:
    dials: Any = {"max_steps": 5, "end": None, "starts": "episode"}
    options = dials if world == "Dream" else {}
    ours = made(finished, 3, world, autoreset_mode=mode, **options)
    single = gymnasium.make(f"WorldModels/{world}-v0", run=finished, **options)
    assert (single.observation_space, single.action_space) == (
        *(ours.single_observation_space, ours.single_action_space),
    )
    theirs = SyncVectorEnv(
        [lambda: gymnasium.make(f"WorldModels/{world}-v0", run=finished, **options)] * 3,
        autoreset_mode=mode,
    )
    assert_equal(ours.reset(seed=7), theirs.reset(seed=7))
    ended = 0
    for step in range(24):
        actions = np.random.default_rng(step).integers(0, 5, 3)
        one = ours.step(actions)
        assert_equal(one, theirs.step(actions))
        over = one[2] | one[3]
        ended += over.sum()
        if mode is AutoresetMode.DISABLED and over.any():
            again = {"reset_mask": over}
            assert_equal(ours.reset(options={**again}), theirs.reset(options={**again}))
    assert ended >= 3
    assert_equal(ours.render(), theirs.render())


def test_a_dream_passes_gymnasiums_checks(finished: Path) -> None:
    env = gymnasium.make(DREAM, run=str(finished), max_steps=4)
    assert env.spec is not None and env.spec.kwargs["max_steps"] == 4
    with pytest.warns(UserWarning, match="infinity"):
        check_env(env.unwrapped)
    env.reset(seed=0)
    assert env.render().shape == (64, 64, 3) and env.render().any()


def test_dials_are_those_of_open_dream(finished: Path) -> None:
    def shown(**options: Any) -> np.ndarray:
        envs = made(finished, 2, **options)
        envs.reset(seed=[1, 2])
        return envs.step(np.array([0, 1]))[0]

    plain = open_dream(finished, 2)
    plain.reset(seed=[1, 2])
    expected = plain.step(np.array([0, 1]))[0]
    np.testing.assert_array_equal(shown(), expected)
    assert (shown(temperature=0.1) != expected).any()
    first = made(finished, 4, starts="episode").reset(seed=0)[0]
    latents = plain.world.model.mdrnn.latents
    assert not first[:, latents:].any(), "M has read nothing"
    assert made(finished, 4).reset(seed=0)[0][:, latents:].any()


def test_rewards_are_chosen(finished: Path) -> None:
    def rewards(reward: Any) -> list[float]:
        envs = made(finished, 2, reward=reward, starts="episode")
        envs.reset(seed=[1, 2])
        return envs.step(np.array([1, 2]))[1].tolist()

    assert rewards("survival") == [1, 1]
    assert rewards(lambda before, actions, after: actions.argmax(1)) == [1, 2]
    assert rewards("head") not in ([1, 1], [1, 2])


def test_gymnasiums_wrappers_go_on_it(finished: Path) -> None:
    envs = NormalizeObservation(RecordEpisodeStatistics(made(finished, 2, max_steps=4)))
    observations, _ = envs.reset(seed=0)
    for _ in range(12):
        observations, *_ = envs.step(envs.action_space.sample())
    assert max(envs.env.length_queue) == 4 and np.abs(observations).max() < 20
    limited = gymnasium.make(DREAM, run=finished, max_episode_steps=3)
    limited.reset(seed=0)
    assert [limited.step(0)[3] for _ in range(3)] == [False, False, True]


def test_lines_of_the_documentation_run(finished: Path) -> None:
    section = (ROOT / "docs/dreams.md").read_text().split("## As an environment")[1]
    blocks = re.findall(r"```python\n(.*?)```", section.split("\n## ")[0], re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        lines = re.sub('"outputs/.*"', f'"{finished}"', block)
        names: dict[str, Any] = {}
        exec(lines.replace("CarRacing-v3", "WorldModels/Pellet-v0"), names)
        shown = names["pictures"] if "run" in names else names["frames"].reset(seed=0)[0]
        assert shown[0].shape == (64, 64, 3)


@pytest.fixture(scope="module")
def pixels(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a pixel model that sees small grey frames."""
    outputs = tmp_path_factory.mktemp("pixel")
    view = ("stage.grayscale=true", "stage.image_size=32", "stage.rewards=true", "stage.ends=true")
    places = (f"upstream={finished / 'rollout'}", f"outputs={outputs}")
    assert main(small("pixel", *places, *view, "stage.max_steps=1")) == 0
    return newest(outputs)


def test_a_pixel_model_stands_behind_the_same_ids(pixels: Path) -> None:
    dream, real = made(pixels, 2, starts="episode"), made(pixels, 2, "Real")
    assert dream.single_observation_space == real.single_observation_space
    for envs in (dream, real):
        envs.reset(seed=1)
        frames, *_ = envs.step(np.array([1, 2]))
        assert frames.shape == (2, 32, 32, 1) and frames in envs.observation_space
        assert envs.render()[0].any()
    with pytest.raises(ValueError, match="is a pixel run, whose dreams have no temperature"):
        made(pixels, temperature=0.5)


def test_what_cannot_be_is_refused_in_a_sentence(finished: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"agent\.pt is no run folder: it has no manifest"):
        made(finished / "controller/agent.pt")
    with pytest.raises(
        ValueError, match="is a vae run: only pixel, mdrnn, token_world and rem runs dream"
    ):
        made(finished / "vae")
    with pytest.raises(ValueError, match="is no run folder"):
        gymnasium.make(DREAM, run=tmp_path / "nothing")
    with pytest.raises(ValueError, match="reward=fame is none of head, survival, or a function"):
        made(finished, reward="fame")
    with pytest.raises(ValueError, match="starts=end is none of episode, anywhere"):
        made(finished, starts="end")
    with pytest.raises(ValueError, match="0 dreams asked for: at least one is needed"):
        made(finished, 0)
    with pytest.raises(ValueError, match="device=gpu is none: use cpu or cuda"):
        made(finished, device="gpu")
    with pytest.raises(ValueError, match="render_mode=ansi is not known: use rgb_array"):
        made(finished, render_mode="ansi")
    with pytest.raises(ValueError, match="speed is no option of a dream: it has reward, st"):
        made(finished, speed=2)
    assert world_models.envs is not None
