"""Environments of other people: how they show, what their steps give, what they raise."""

from collections.abc import Callable, Iterator
from typing import Any

import gymnasium
import numpy as np
import pytest

from world_models.envs.make import Backend, EnvConfig, EnvSpec, make_spec, make_vector_env
from world_models.envs.pixels import PixelVectorEnv

# Gymnasium warns of what such environments lack
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
ID = "Tests/Theirs-v0"
BUFFER = np.zeros((40, 40, 3), np.uint8)


def square(number: int) -> np.ndarray:
    """A picture that says a number."""
    return np.full((40, 40, 3), number, np.uint8)


class Theirs(gymnasium.Env):
    """Counts steps, and shows the count plus ten times the seed; parts of it are replaced."""

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"]}  # noqa: RUF012
    observation_space: gymnasium.Space = gymnasium.spaces.Box(-1, 1, (2,))
    action_space: gymnasium.Space = gymnasium.spaces.Discrete(2)

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode = render_mode
        self.number = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.number = 10 * (seed or 0)
        return np.zeros(2, np.float32), {}

    def step(self, action: Any) -> Any:
        self.number += 1
        return np.zeros(2, np.float32), 1.5, False, False, {}

    def render(self) -> Any:
        return square(self.number)


class Shared(Theirs):
    """All environments draw into one buffer."""

    def render(self) -> Any:
        BUFFER[:] = self.number
        return BUFFER


class Seen(Theirs):
    """Renders nothing; observes a grey picture."""

    metadata: dict[str, Any] = {}  # noqa: RUF012
    observation_space = gymnasium.spaces.Box(0, 1, (40, 40), np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        return self.render()[..., 0] / np.float32(255), {}

    def step(self, action: Any) -> Any:
        super().step(action)
        return self.render()[..., 0] / np.float32(255), 1.5, False, False, {}


@pytest.fixture
def register() -> Iterator[Callable[[type[gymnasium.Env]], None]]:
    yield lambda entry: gymnasium.register(ID, entry, max_episode_steps=10)
    gymnasium.registry.pop(ID, None)


Register = Callable[[type[gymnasium.Env]], None]


def spec() -> EnvSpec:
    return make_spec(EnvConfig(id=ID, size=16))


def opened(slots: int = 1) -> PixelVectorEnv:
    return make_vector_env(spec(), Backend.auto, slots)


def changed(**methods: Any) -> type[Theirs]:
    return type("Changed", (Theirs,), methods)


@pytest.mark.parametrize("entry", [Theirs, Shared, Seen])
def test_slots_show_their_own_pictures(register: Register, entry: type[gymnasium.Env]) -> None:
    register(entry)
    envs = opened(3)
    frames, _ = envs.reset(seed=[1, 2, 3])
    assert [frame.mean() for frame in frames] == [10, 20, 30]
    frames, *_ = envs.step(np.zeros(3, int))
    assert [frame.mean() for frame in frames] == [11, 21, 31]
    assert [picture.mean() for picture in envs.render()] == [11, 21, 31]


@pytest.mark.parametrize(
    ("reward", "ended", "expected"),
    [
        (np.array([2.5]), np.array([True]), 2.5),
        (np.float64(2.5), np.True_, 2.5),
        (np.array(2), np.array(1), 2.0),
        (True, 1, 1.0),
        (np.array([[0.5]], np.float16), np.array([[False]]), 0.5),
    ],
)
def test_numbers_in_arrays_are_numbers(
    register: Register, reward: Any, ended: Any, expected: float
) -> None:
    register(changed(step=lambda self, action: (np.zeros(2), reward, ended, ended, {})))
    envs = opened(2)
    envs.reset(seed=[0, 1])
    _, rewards, terminated, truncated, _ = envs.step(np.zeros(2, int))
    assert rewards.tolist() == [expected] * 2
    assert terminated.tolist() == truncated.tolist() == [bool(np.all(ended))] * 2


def raising(self: Theirs, *args: Any, **kwargs: Any) -> Any:
    raise KeyError("a key\nof theirs")


@pytest.mark.parametrize(
    ("methods", "words"),
    [
        ({"render": lambda self: None}, "shows no picture: None came"),
        ({"render": lambda self: [square(1)]}, "shows no picture: a list came"),
        ({"render": lambda self: square(1)[..., :2]}, r"of shape \(40, 40, 2\)"),
        ({"render": raising}, "render: KeyError: 'a key.*of theirs'"),
        ({"step": raising}, "info: KeyError"),
        ({"reset": raising}, "info: KeyError"),
        ({"__init__": raising}, "cannot be made with env.kwargs={}: KeyError"),
        (
            {"reset": lambda self, **_: np.zeros(2)},
            "info: ValueError: a ndarray came in place of 2",
        ),
        ({"reset": lambda self: np.zeros(2)}, "info: TypeError.*'seed'"),
        (
            {"step": lambda self, action: (np.zeros(2), 1.0, False, {})},
            "truncated, info: ValueError.*expected 5, got 4",
        ),
        ({"step": lambda self, action: (0, "one", False, False, {})}, "the reward 'one'"),
        ({"step": lambda self, action: (0, None, False, False, {})}, "the reward None"),
        ({"step": lambda self, action: (0, np.ones(2), False, False, {})}, "the reward array"),
        ({"step": lambda self, action: (0, 1.0, [], False, {})}, r"the end \[\]"),
        ({"metadata": None}, "cannot be made with env.kwargs={}: InvalidMetadata"),
        ({"metadata": {"render_modes": ["human"]}}, "has no pixels"),
    ],
)
def test_what_cannot_be_played_is_refused_by_its_name(
    register: Register, methods: dict[str, Any], words: str
) -> None:
    register(changed(**methods))
    with pytest.raises(ValueError, match=words) as caught:
        spec()
    assert f"env.id={ID}" in str(caught.value) and "\n" not in str(caught.value)


class Panic(BaseException):
    """As Rust's come to Python."""


@pytest.mark.parametrize("kind", [SystemExit, Panic])
def test_who_leaves_the_program_is_refused(register: Register, kind: type[BaseException]) -> None:
    def leaving(self: Theirs, *args: Any) -> Any:
        raise kind("the licence has run out")

    register(changed(step=leaving))
    with pytest.raises(ValueError, match=f"{kind.__name__}: the licence has run out"):
        spec()


def test_ctrl_c_stays_what_it_is(register: Register) -> None:
    def interrupted(self: Theirs, *args: Any) -> Any:
        raise KeyboardInterrupt

    register(changed(step=interrupted))
    with pytest.raises(KeyboardInterrupt):
        spec()


def test_what_they_say_can_be_stored(register: Register) -> None:
    def babbling(self: Theirs, *args: Any) -> Any:
        raise ValueError("a name \udcff of no letter " + "y" * 100_000)

    register(changed(step=babbling))
    with pytest.raises(ValueError, match=r"a name \\udcff of no letter yyy") as caught:
        spec()
    assert len(str(caught.value).encode()) < 2000


@pytest.mark.parametrize("within", [True, False])
def test_pictures_keep_their_size_within_an_episode(register: Register, within: bool) -> None:
    def growing(self: Theirs) -> Any:
        return np.zeros((40 + (self.number % 10 if within else self.number // 10), 40, 3), np.uint8)

    register(changed(render=growing))
    if within:
        with pytest.raises(ValueError, match="shows pictures of 40x40 and of 41x40 pixels in one"):
            spec()
    else:
        envs = opened()
        for seed in (1, 2):
            envs.reset(seed=[seed])
            envs.step(np.array([0]))


def test_who_cannot_be_closed_is_played_all_the_same(
    register: Register, caplog: pytest.LogCaptureFixture
) -> None:
    register(changed(close=raising))
    envs = opened()
    envs.reset(seed=[1])
    envs.close()
    assert "close: KeyError" in caplog.text


def reset_anyhow(self: Theirs, *, seed: int | None = None, options: Any = None) -> Any:
    self.number += 1
    return np.zeros(2, np.float32), {}


@pytest.mark.parametrize(("methods", "warned"), [({"reset": reset_anyhow}, True), ({}, False)])
def test_who_does_not_follow_seeds_is_told(
    methods: dict[str, Any], warned: bool, register: Register, caplog: pytest.LogCaptureFixture
) -> None:
    register(changed(**methods))
    spec()
    assert (f"env.id={ID} begins other episodes each time with one seed" in caplog.text) is warned


def no_memory(self: Theirs, action: Any) -> Any:
    raise MemoryError("theirs")


def test_want_of_memory_is_not_their_mistake(register: Register) -> None:
    register(changed(step=no_memory))
    with pytest.raises(MemoryError):
        spec()


@pytest.mark.parametrize(
    ("env_id", "words"),
    [
        ("ALE/Pong-v5", "pip install ale-py, and type env.id=ale_py:ALE/Pong-v5"),
        ("MiniGrid-Empty-5x5-v0", "env.id=minigrid:MiniGrid-Empty-5x5-v0"),
        ("Mine-v0", "named with its module, env.id=<module>:Mine-v0"),
        ("math:Mine-v0", "is not known to Gymnasium: module math registers no Mine-v0"),
        ("no_such_module:Mine-v0", "type env.trust=no_such_module"),
    ],
)
def test_an_unknown_id_says_where_environments_come_from(
    env_id: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # another test may have imported the package that registers it
    monkeypatch.delitem(gymnasium.registry, env_id, raising=False)
    with pytest.raises(ValueError, match=words):
        make_spec(EnvConfig(id=env_id))
