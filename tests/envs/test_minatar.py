"""MinAtar: pictures of its cells, episodes by their seeds, what is stored, random scores."""

import importlib.util
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from commands import newest

from world_models.agents.policy import RandomPolicy
from world_models.agents.rollout import collect, play
from world_models.envs import minatar
from world_models.envs.make import Backend, EnvSpec, make_spec, make_vector_env, resolve_backend
from world_models.envs.minatar import CELL_SIZE, COLOURS, MinAtarConfig, MinAtarGame, draw_cells
from world_models.envs.pixels import PixelVectorEnv
from world_models.envs.quiet import quiet_minatar
from world_models.main import main

minatar_only = pytest.mark.skipif(
    importlib.util.find_spec("minatar") is None, reason='needs the extra "minatar"'
)


@pytest.fixture(autouse=True)
def _installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Specifications need no package."""
    monkeypatch.setattr(minatar, "require_minatar", lambda: None)


def spec_of(game: MinAtarGame = MinAtarGame.breakout, **values: object) -> EnvSpec:
    cfg = MinAtarConfig(id=f"WorldModels/MinAtar-{game}-v0", game=game, **values)  # type: ignore[arg-type]
    return make_spec(cfg)


def slots(num_envs: int, **values: object) -> PixelVectorEnv:
    return make_vector_env(spec_of(**values), Backend.auto, num_envs)  # type: ignore[arg-type]


def test_without_the_package_one_sentence_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(minatar.importlib.util, "find_spec", lambda name: None)
    assert main(["stage=rollout", "env=minatar"]) == 1
    told = capsys.readouterr().err
    assert 'needs the extra "minatar": pip install "world-models[minatar]"' in told


@minatar_only
def test_what_is_stored_says_how_it_was_played() -> None:
    spec = spec_of(MinAtarGame.asterix, sticky=0.0, ramping=False)
    assert spec.id == "WorldModels/MinAtar-asterix-v0"
    assert spec.kwargs == {"sticky": 0.0, "ramping": False, "all_actions": False}
    assert EnvSpec.from_dict(spec.to_dict()) == spec != spec_of(MinAtarGame.asterix)
    assert spec.family.name == "minatar" and spec.action_space.size == 5
    assert resolve_backend(Backend.auto, spec) is Backend.minatar


@minatar_only
def test_what_cannot_be_played_is_refused() -> None:
    with pytest.raises(ValueError, match=r"env\.sticky=1\.0 must be at least 0 and below 1"):
        spec_of(sticky=1.0)
    with pytest.raises(ValueError, match=r"env\.ramping and env\.all_actions, not env\.kwargs\.x"):
        spec_of(kwargs={"x": 1})
    with pytest.raises(ValueError, match=r"MinAtar-pong-v0 is no game of MinAtar: use env\.game"):
        make_spec(MinAtarConfig(id="WorldModels/MinAtar-pong-v0"))


@minatar_only
@pytest.mark.parametrize("game", list(MinAtarGame))
def test_actions_are_those_that_the_game_listens_to_or_all_six(game: MinAtarGame) -> None:
    with quiet_minatar():
        from minatar import Environment
    heeded = Environment(str(game)).minimal_action_set()
    for every, numbers in ((False, heeded), (True, range(6))):
        envs = slots(1, game=game, all_actions=every)
        assert envs.env_spec.action_space.size == len(numbers)
        envs.reset(seed=[0])
        given = spy(envs)
        for action in range(len(numbers)):
            envs.step(np.array([action]))
        assert given == list(numbers)


def spy(envs: PixelVectorEnv) -> list[int]:
    """What the first game is told to do from now on, in place of which nothing happens."""
    given: list[int] = []

    def act(number: int) -> tuple[int, bool]:
        given.append(number)
        return 0, False

    envs._envs[0]._env.act = act  # type: ignore[attr-defined]
    return given


@minatar_only
def test_episodes_of_before_there_was_a_choice_had_all_six() -> None:
    spec = spec_of(all_actions=True)
    stored = spec.to_dict()
    del stored["kwargs"]["all_actions"]
    envs = make_vector_env(EnvSpec.from_dict(stored), Backend.auto, 1)
    assert envs._envs[0].action_space.n == 6  # type: ignore[attr-defined]


def test_each_cell_is_a_square_of_its_channels_colour() -> None:
    channels = np.zeros((10, 10, 4), bool)
    channels[2, 3, 1] = channels[9, 9, 0] = True
    picture = draw_cells(channels)
    assert picture.shape == (40, 40, 3) and picture.dtype == np.uint8
    assert (picture[8:12, 12:16] == COLOURS[1]).all() and (picture[36:, 36:] == COLOURS[0]).all()
    assert picture.any(2).sum() == 2 * CELL_SIZE**2


def test_no_two_things_that_a_cell_may_hold_look_alike() -> None:
    """Nothing, one channel, or two of them."""
    held = [(), *((one,) for one in range(10)), *combinations(range(10), 2)]
    seen = []
    for channels in held:
        cells = np.zeros((10, 10, 10), bool)
        cells[0, 0, list(channels)] = True
        seen.append(draw_cells(cells)[0, 0].astype(int))
    gaps = [np.abs(one - other).max() for one, other in combinations(seen, 2)]
    assert min(gaps) >= 4


@minatar_only
@pytest.mark.parametrize("game", list(MinAtarGame))
def test_a_picture_shows_the_state_of_each_game(game: MinAtarGame) -> None:
    envs = slots(1, game=game, ramping=False, sticky=0.0)
    frames, _ = envs.reset(seed=[5])
    rng = np.random.default_rng(0)
    count = envs.env_spec.action_space.size
    for _ in range(30):
        np.testing.assert_array_equal(frames[0], draw_cells(envs._envs[0]._env.state()))  # type: ignore[attr-defined]
        frames, *_ = envs.step(rng.integers(count, size=1))
        if not envs.alive.all():
            break


@minatar_only
@pytest.mark.parametrize("game", list(MinAtarGame))
def test_an_episode_follows_from_its_seed_whatever_was_played_before(game: MinAtarGame) -> None:
    envs = slots(2, game=game)
    policy = RandomPolicy(envs.env_spec.action_space)
    first, second = collect(envs, policy, [0, 7], max_steps=40)
    # cut in the middle of an episode, in the other slot, after others
    envs.reset(seed=[11, 12])
    for _ in range(25):
        envs.step(np.array([1, 2]))
    again = collect(envs, policy, [7, 0, 5], max_steps=40)
    for one, other in ((first, again[1]), (second, again[0])):
        np.testing.assert_array_equal(one.frames, other.frames)
    assert len(first.frames) != len(second.frames) or (first.frames != second.frames).any()


@minatar_only
def test_sticky_actions_repeat_the_last_one() -> None:
    """The paddle follows its orders without them, and now and then the order before with them."""

    def paddles(sticky: float) -> list[int]:
        envs = slots(1, sticky=sticky)
        envs.reset(seed=[3])
        found = []
        for step in range(60):
            # left and right in turn: the paddle goes to and fro between two cells
            envs.step(np.array([1 if step % 2 else 2]))
            if not envs.alive.all():
                envs.reset(seed=[step])
            found.append(int(envs._envs[0]._env.state()[9, :, 0].argmax()))  # type: ignore[attr-defined]
        return found

    assert len(set(paddles(0.0))) == 2
    assert len(set(paddles(0.5))) > 2


@minatar_only
def test_the_limit_truncates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minatar, "TIME_LIMIT", 12)
    envs = slots(1, game=MinAtarGame.freeway)
    envs.reset(seed=[0])
    flags = [envs.step(np.zeros(1, int))[2:4] for _ in range(12)]
    assert [bool(cut[0]) for _, cut in flags] == [False] * 11 + [True]
    assert not any(ended.any() for ended, _ in flags)


@minatar_only
def test_random_actions_break_half_a_brick_in_breakout() -> None:
    """Young & Tian's own figure is 0.5 +- 0.02 (1000 episodes)."""
    envs = slots(8, all_actions=True)
    scores = play(envs, RandomPolicy(envs.env_spec.action_space), range(400))
    returns = np.array([score.total_return for score in scores])
    error = returns.std() / 20
    assert abs(returns.mean() - 0.5) < 4 * error < 0.25


@minatar_only
def test_a_rollout_has_a_page_with_a_verdict(tmp_path: Path) -> None:
    keys = ["stage=rollout", "env=minatar", "env.game=freeway", "stage.max_steps=20"]
    small = ["stage.episodes=4", "stage.workers=0", f"outputs={tmp_path}"]
    assert main([*keys, *small]) == 0
    assert (newest(tmp_path) / "report.html").is_file()
