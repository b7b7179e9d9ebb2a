"""Files in other people's layouts, written here by hand.

In them everything says where it belongs: at time t the frame shows t, the action is t, the reward
t. Read into the store, an off-by-one shows at once.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import h5py
import minari
import numpy as np
import pytest
import torch
from minari.data_collector import EpisodeBuffer

from world_models.data.datasets import (
    LatentSequenceDataset,
    ObservationDataset,
    RolloutDataset,
    SequenceDataset,
)
from world_models.data.episode import TERMINATED, TRUNCATED, UNKNOWN_SEED
from world_models.data.interchange.fitting import fit, step_limit
from world_models.data.interchange.formats import (
    Format,
    check_export,
    detect,
    export,
    export_path,
    open_source,
)
from world_models.data.interchange.recording import Alignment
from world_models.data.latents import LatentStore, encode_store
from world_models.data.store import META_KEYS, EpisodeStore, StoreWriter
from world_models.envs.actions import ActionSpace
from world_models.envs.preprocess import Preprocessing
from world_models.envs.spec import EnvSpec

FRAME_SIZE = 32
STEP_LIMIT = 40
BOX_SPACE = ActionSpace("box", 2, (0.0, 0.0), (100.0, 1.0), ("affine", "affine"))
NUMBERED_SPACE = ActionSpace("discrete", 100, (), (), ())
LENGTHS = [6, 3, 11, 2, 5]
VAE = "a" * 64
PRE, POST = Alignment.pre, Alignment.post


def spec_of(
    space: ActionSpace,
    size: int = FRAME_SIZE,
    grayscale: bool = False,
    crop: tuple[int, ...] = (0, 0, 0, 0),
) -> EnvSpec:
    return EnvSpec(
        "Counting-v0", {}, Preprocessing((*crop,), size, grayscale), 1, space, STEP_LIMIT
    )  # type: ignore[arg-type]


def true_frames(length: int, number: int, channels: int = 3) -> np.ndarray:
    """All T+1 frames: red is t, green the number of the episode, and the rest is noise.

    No lossy picture format would keep it.
    """
    frames = np.random.default_rng(number).integers(
        0, 256, (length + 1, FRAME_SIZE, FRAME_SIZE, channels), dtype=np.uint8
    )
    frames[:, 0, 0, 0] = np.arange(length + 1)
    frames[:, 0, 1, 0] = number
    return frames


def true_steps(length: int, number: int, discrete: bool = False) -> dict[str, np.ndarray]:
    steps = np.arange(length)
    actions = steps
    if not discrete:
        actions = np.stack([steps, np.full(length, number / 10)], 1).astype(np.float32)
    return {"actions": actions, "rewards": steps.astype(np.float32)}


def write_npz(folder: Path, alignment: Alignment, discrete: bool = False, **changes: Any) -> Path:
    """ctallec's (post) or TorchWM's (pre) layout.

    It has no seed, no split, no truncation, and is one frame short.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for number, length in enumerate(LENGTHS):
        frames = true_frames(length, number)
        terminals = np.zeros(length, np.float32)
        terminals[-1] = number % 2 == 0
        content = {
            "observations": frames[:-1] if alignment is PRE else frames[1:],
            **true_steps(length, number, discrete),
        }
        np.savez(folder / f"rollout_{number}.npz", **{**content, "terminals": terminals, **changes})
    return folder


def write_humblerl(path: Path, discrete: bool = False, spare: int = 7) -> Path:
    """HumbleRL's layout, with arrays that were grown ahead of need."""
    steps = sum(LENGTHS)
    with h5py.File(path, "w") as file:
        width = 1 if discrete else 2
        states = file.create_dataset(
            "states",
            (steps + spare, FRAME_SIZE, FRAME_SIZE, 3),
            np.uint8,
            maxshape=(None, FRAME_SIZE, FRAME_SIZE, 3),
            chunks=(128, FRAME_SIZE, FRAME_SIZE, 3),
            compression="lzf",
        )
        actions = file.create_dataset(
            "actions", (steps + spare, width), np.int64 if discrete else np.float32
        )
        rewards = file.create_dataset("rewards", (steps + spare,), np.float32)
        episodes = file.create_dataset("episodes", (len(LENGTHS) + 1 + spare,), np.int64)
        start = 0
        for number, length in enumerate(LENGTHS):
            true = true_steps(length, number, discrete)
            states[start : start + length] = true_frames(length, number)[:-1]
            actions[start : start + length] = true["actions"].reshape(length, width)
            rewards[start : start + length] = true["rewards"]
            start += length
            episodes[number + 1] = start
        file.attrs["N_TRANSITIONS"] = steps
        file.attrs["N_GAMES"] = len(LENGTHS)
        file.attrs["CHUNK_SIZE"] = 128
        file.attrs["ACTION_DIM"] = width
        file.attrs["STATE_SHAPE"] = (FRAME_SIZE, FRAME_SIZE, 3)
    return path


def write_minari(name: str, actions: gymnasium.Space, lengths: list[int]) -> None:
    """A data set as Minari itself writes one: pictures inside a Dict, kept as JPEG.

    JPEG leaves constant pictures as they are.
    """
    observations = gymnasium.spaces.Dict(
        {
            "picture": gymnasium.spaces.Box(0, 255, (FRAME_SIZE, FRAME_SIZE, 3), np.uint8),
            "time": gymnasium.spaces.Box(0, 255, (1,)),
        }
    )
    buffers = []
    for number, length in enumerate(lengths):
        times = np.arange(length + 1)
        ends = np.arange(length) == length - 1
        shades = 20 * times[:, None, None, None]
        pictures = np.broadcast_to(shades, (length + 1, FRAME_SIZE, FRAME_SIZE, 3)).astype(np.uint8)
        discrete = isinstance(actions, gymnasium.spaces.Discrete)
        done = times[:-1] if discrete else np.stack([times[:-1]] * 2, 1).astype(np.float32)
        buffers.append(
            EpisodeBuffer(
                seed=40 + number,
                observations={"picture": pictures, "time": times[:, None].astype(np.float32)},
                actions=done,
                rewards=times[:-1].astype(np.float64),
                terminations=ends & (number % 2 == 0),
                truncations=ends & (number % 2 == 1),
                infos={},
            )
        )
    with pytest.warns(UserWarning):
        minari.create_dataset_from_buffers(
            name, buffers, observation_space=observations, action_space=actions
        )


def read_all(
    path: Path,
    alignment: Alignment | None,
    space: ActionSpace,
    folder: Path,
    image_key: str | None = None,
    **env: Any,
) -> EpisodeStore:
    """What is at `path` as a native store."""
    spec = spec_of(space, **env)
    source = open_source(
        path, detect(path), alignment, image_key, step_limit(spec), spec.preprocessing
    )
    facts = {"backend": "unknown", "policy": "unknown", "seed": 0, "versions": {}, **source.origin}
    facts |= {"env": spec.to_dict(), "has_final_frame": source.has_final_frame}
    writer = StoreWriter(folder, {key: facts[key] for key in META_KEYS})
    recordings = [source.read(index) for index in range(len(source))]
    for shard, first in enumerate(range(0, len(source), 2)):
        chunk = recordings[first : first + 2]
        writer.write_shard(
            shard, [fit(item, spec) for item in chunk], [item.split or "train" for item in chunk]
        )
    writer.finish()
    return EpisodeStore.open(folder)


def check_order(store: EpisodeStore, valid_last: bool) -> None:
    """Frame, action and reward of one row belong together.

    The next row's frame is the next one.
    """
    assert store.has_final_frame is valid_last
    for row in store.rows:
        episode = store.episode(row)
        times = episode.frames[:, 0, 0, 0].astype(int)
        actions = episode.actions[:-1] if episode.actions.ndim == 1 else episode.actions[:-1, 0]
        assert actions.tolist() == episode.rewards[:-1].tolist() == times[:-1].tolist()
        changes = np.diff(times)
        assert (changes[:-1] == 1).all() and changes[-1] == valid_last
        assert (episode.frames[:, 0, 1, 0] == row.index).all()


@pytest.mark.parametrize("discrete", [False, True])
def test_frames_saved_before_the_step(tmp_path: Path, discrete: bool) -> None:
    files = write_npz(tmp_path / "rollouts", PRE, discrete)
    store = read_all(files, PRE, NUMBERED_SPACE if discrete else BOX_SPACE, tmp_path / "store")
    check_order(store, valid_last=False)
    assert [row.length for row in store.rows] == LENGTHS, "no step is lost"
    assert [row.total_return for row in store.rows] == [sum(range(length)) for length in LENGTHS]


@pytest.mark.parametrize("discrete", [False, True])
def test_frames_saved_after_the_step(tmp_path: Path, discrete: bool) -> None:
    files = write_npz(tmp_path / "rollouts", POST, discrete)
    store = read_all(files, POST, NUMBERED_SPACE if discrete else BOX_SPACE, tmp_path / "store")
    check_order(store, valid_last=True)
    assert [row.length for row in store.rows] == [length - 1 for length in LENGTHS], (
        "the first step has no frame"
    )
    assert [store.episode(row).frames[-1, 0, 0, 0] for row in store.rows] == LENGTHS


@pytest.mark.parametrize("discrete", [False, True])
def test_humblerl_files(tmp_path: Path, discrete: bool) -> None:
    store = read_all(
        write_humblerl(tmp_path / "x.hdf5", discrete),
        PRE,
        NUMBERED_SPACE if discrete else BOX_SPACE,
        tmp_path / "store",
    )
    check_order(store, valid_last=False)
    assert [row.length for row in store.rows] == LENGTHS
    assert {int(store.episode(row).done[-2]) for row in store.rows} == {TERMINATED}, (
        "games are played until they end"
    )


def test_hdf5_saved_after_the_step(tmp_path: Path) -> None:
    path = write_humblerl(tmp_path / "x.hdf5")
    with h5py.File(path, "r+") as file:
        start = 0
        for number, length in enumerate(LENGTHS):
            file["states"][start : start + length] = true_frames(length, number)[1:]
            start += length
    check_order(read_all(path, POST, BOX_SPACE, tmp_path / "store"), valid_last=True)


@pytest.mark.parametrize(
    "space", [gymnasium.spaces.Discrete(100), gymnasium.spaces.Box(0, 100, (2,))], ids=str
)
def test_minari_data_sets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, space: gymnasium.Space
) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    write_minari("clock/counting-v0", space, [4, 2, 7])
    box = ActionSpace("box", 2, (0.0, 0.0), (100.0, 100.0), ("affine", "affine"))
    ours = NUMBERED_SPACE if isinstance(space, gymnasium.spaces.Discrete) else box
    store = read_all(tmp_path / "clock/counting-v0", None, ours, tmp_path / "store", "picture")
    assert store.has_final_frame and [row.seed for row in store.rows] == [40, 41, 42]
    assert [row.length for row in store.rows] == [4, 2, 7]
    for row, end in zip(store.rows, [TERMINATED, TRUNCATED, TERMINATED], strict=True):
        episode = store.episode(row)
        times = np.arange(row.length + 1)
        assert (episode.frames == 20 * times[:, None, None, None]).all()
        assert episode.actions.reshape(row.length + 1, -1)[:, 0].tolist() == [*times[:-1], 0]
        assert episode.rewards.tolist() == [*times[:-1], 0] and episode.done[-2] == end


def test_a_dict_observation_needs_the_name_of_its_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    write_minari("clock/one-v0", gymnasium.spaces.Discrete(100), [3])
    with pytest.raises(
        ValueError, match=r"say which is the picture, stage.image_key= one of picture, time"
    ):
        read_all(tmp_path / "clock/one-v0", None, NUMBERED_SPACE, tmp_path / "store")
    with pytest.raises(
        ValueError,
        match=r"one-v0/data, episode 0: observations are float32 \(4, 1\), and must be uint8",
    ):
        read_all(tmp_path / "clock/one-v0", None, NUMBERED_SPACE, tmp_path / "store", "time")


@pytest.mark.parametrize(("alignment", "valid_last"), [(PRE, False), (POST, True)])
def test_the_four_data_sets_pair_what_belongs_together(
    tmp_path: Path, alignment: Alignment, valid_last: bool
) -> None:
    store = read_all(
        write_npz(tmp_path / "rollouts", alignment), alignment, BOX_SPACE, tmp_path / "store"
    )
    steps = sum(LENGTHS) - (alignment is POST) * len(LENGTHS)
    assert len(ObservationDataset(store)) == steps + valid_last * len(LENGTHS)
    single = RolloutDataset(store).__getitems__(range(steps))
    assert torch.equal(single.frames[:, 0, 0, 0].float(), single.actions[:, 0])
    assert torch.equal(single.rewards, single.actions[:, 0])

    windows = SequenceDataset(store, None, seq_len=4)
    batch = windows.__getitems__(range(len(windows)))
    times = batch.frames[..., 0, 0, 0].float()
    inside = batch.mask > 0
    followed = batch.next_mask > 0
    assert torch.equal(times[:, :-1][inside], batch.actions[..., 0][inside])
    assert torch.equal(times[:, 1:][followed], batch.actions[..., 0][followed] + 1)

    def encode(frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        mu = frames[:, 0, :2, 0].float()
        return mu, -mu

    encode_store(encode, store, tmp_path / "latents", VAE)
    latents = LatentStore.open(tmp_path / "latents", VAE, store)
    data = LatentSequenceDataset(store, latents, None, 4, to_model=lambda actions: actions)
    seen = data.__getitems__(range(len(data)))
    z = seen.mu[..., 0]
    followed = seen.next_mask > 0
    assert torch.equal(z[1:][followed], seen.actions[..., 0][followed] + 1)
    assert torch.equal(z[:-1][seen.mask > 0], seen.rewards[seen.mask > 0])
    assert seen.terminated.sum() > 0, "how episodes end can be learnt from either alignment"


def test_an_end_is_told_from_a_time_limit(tmp_path: Path) -> None:
    store = read_all(write_npz(tmp_path / "rollouts", PRE), PRE, BOX_SPACE, tmp_path / "store")
    ends = [int(store.episode(row).done[-2]) for row in store.rows]
    assert ends == [TERMINATED, TRUNCATED, TERMINATED, TRUNCATED, TERMINATED], (
        "terminals as the file says"
    )
    assert {row.seed for row in store.rows} == {UNKNOWN_SEED}
    terminals = np.zeros(STEP_LIMIT)
    terminals[-1] = 1
    frames = true_frames(STEP_LIMIT, 0)
    steps = true_steps(STEP_LIMIT, 0)
    (tmp_path / "long").mkdir()
    np.savez(tmp_path / "long" / "a.npz", observations=frames[:-1], terminals=terminals, **steps)
    long = read_all(tmp_path / "long", PRE, BOX_SPACE, tmp_path / "long_store")
    assert long.episode(long.rows[0]).done[-2] == TRUNCATED, "at the step limit it was the limit"
    np.savez(
        tmp_path / "long" / "a.npz",
        observations=frames[:-1],
        terminals=terminals,
        truncations=0 * terminals,
        **steps,
    )
    told = read_all(tmp_path / "long", PRE, BOX_SPACE, tmp_path / "told_store")
    assert told.episode(told.rows[0]).done[-2] == TERMINATED, "unless the file knows better"


@pytest.fixture
def make_native(tmp_path: Path, make_episode: Callable) -> Callable[..., EpisodeStore]:
    def make(
        space: ActionSpace = BOX_SPACE, has_final_frame: bool = True, grayscale: bool = False
    ) -> EpisodeStore:
        spec = spec_of(space, grayscale=grayscale)
        channels = 1 if grayscale else 3
        meta = {"env": spec.to_dict(), "backend": "gymnasium", "policy": "counting", "seed": 7}
        writer = StoreWriter(
            tmp_path / "native",
            {**meta, "has_final_frame": has_final_frame, "versions": {"numpy": "1"}},
        )
        episodes = []
        for number, length in enumerate(LENGTHS):
            episode = make_episode(
                number, length, discrete=space is NUMBERED_SPACE, size=FRAME_SIZE
            )
            frames = true_frames(length, number, channels)
            actions = episode.actions
            if space is not NUMBERED_SPACE:
                actions = actions * np.float32([1, 0.1])
            rewards = episode.rewards + np.float32(0.1) * (np.arange(length + 1) < length)
            episodes.append(
                type(episode)(
                    episode.seed,
                    frames,
                    actions.astype(episode.actions.dtype),
                    rewards,
                    episode.done,
                )
            )
        splits = ["train", "validation", "train", "train", "validation"]
        for shard, first in enumerate(range(0, len(episodes), 2)):
            writer.write_shard(shard, episodes[first : first + 2], splits[first : first + 2])
        writer.finish()
        return EpisodeStore.open(tmp_path / "native")

    return make


EXPORTS = [
    (Format.npz, PRE),
    (Format.npz, POST),
    (Format.hdf5, PRE),
    (Format.hdf5, POST),
    (Format.minari, None),
]
STORE_KINDS = [{}, {"space": NUMBERED_SPACE}, {"grayscale": True}, {"has_final_frame": False}]


@pytest.mark.parametrize("kind", STORE_KINDS, ids=str)
@pytest.mark.parametrize(("target", "alignment"), EXPORTS, ids=str)
def test_round_trips_lose_nothing(
    make_native: Callable[..., EpisodeStore],
    tmp_path: Path,
    target: Format,
    alignment: Alignment | None,
    kind: dict,
) -> None:
    store = make_native(**kind)
    if alignment is POST and not store.has_final_frame:
        with pytest.raises(
            ValueError, match=r"has no final frames, which stage.alignment=post would save"
        ):
            check_export(store, target, alignment)
        return
    check_export(store, target, alignment)
    written = list(export(store, target, tmp_path, alignment))
    assert [row.index for row in written] == [row.index for row in store.rows]
    path = export_path(target, tmp_path, store)
    assert detect(path) is target
    back = read_all(
        path,
        None,
        kind.get("space", BOX_SPACE),
        tmp_path / "back",
        grayscale=kind.get("grayscale", False),
    )
    assert back.digest() == store.digest(), "every byte of every array, and the whole episode table"


def test_other_readers_find_the_npz_keys_that_they_know(
    make_native: Callable[..., EpisodeStore], tmp_path: Path
) -> None:
    store = make_native()
    list(export(store, Format.npz, tmp_path, PRE))
    files = sorted((tmp_path / "npz").iterdir())
    assert [file.name for file in files] == [f"episode_{number:06d}.npz" for number in range(5)]
    for row, file in zip(store.rows, files, strict=True):
        content = np.load(file, allow_pickle=False)
        episode = store.episode(row)
        assert content["observations"].shape == (row.length, FRAME_SIZE, FRAME_SIZE, 3)
        assert content["observations"].dtype == np.uint8
        assert np.array_equal(content["observations"], episode.frames[:-1])
        assert np.array_equal(content["actions"], episode.actions[:-1])
        assert np.array_equal(content["rewards"], episode.rewards[:-1])
        assert content["terminals"].dtype == np.float32
        assert content["terminals"].tolist() == (episode.done[:-1] == TERMINATED).tolist()
        assert content["truncations"].tolist() == (episode.done[:-1] == TRUNCATED).tolist()


def test_other_readers_find_humblerls_layout(
    make_native: Callable[..., EpisodeStore], tmp_path: Path
) -> None:
    store = make_native(space=NUMBERED_SPACE)
    list(export(store, Format.hdf5, tmp_path, PRE))
    with h5py.File(tmp_path / "episodes.hdf5") as file:
        states = file["states"]
        assert states.dtype == np.uint8 and states.chunks == (128, FRAME_SIZE, FRAME_SIZE, 3)
        assert states.compression == "lzf"
        assert states.maxshape[0] is None and file["actions"].shape == (sum(LENGTHS), 1)
        assert file.attrs["N_TRANSITIONS"] == sum(LENGTHS) and file.attrs["N_GAMES"] == 5
        assert file.attrs["ACTION_DIM"] == 1 and tuple(file.attrs["STATE_SHAPE"]) == (
            FRAME_SIZE,
            FRAME_SIZE,
            3,
        )
        assert file["episodes"][:].tolist() == np.cumsum([0, *LENGTHS]).tolist()
        first, last = file["episodes"][2:4]
        assert np.array_equal(states[first:last], store.episode(store.rows[2]).frames[:-1])
        assert np.array_equal(
            file["rewards"][first:last], store.episode(store.rows[2]).rewards[:-1]
        )


def test_minari_loads_what_we_write_without_loss(
    make_native: Callable[..., EpisodeStore], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = make_native(space=NUMBERED_SPACE)
    list(export(store, Format.minari, tmp_path, None))
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    loaded = minari.load_dataset("Counting-v0/counting-v0")
    assert loaded.total_episodes == 5 and loaded.total_steps == sum(LENGTHS)
    assert loaded.action_space == gymnasium.spaces.Discrete(100)
    for row, episode in zip(store.rows, loaded, strict=True):
        ours = store.episode(row)
        assert episode.observations.dtype == np.uint8
        assert np.array_equal(episode.observations, ours.frames)
        assert np.array_equal(episode.actions, ours.actions[:-1])
        assert episode.terminations.tolist() == (ours.done[:-1] == TERMINATED).tolist()
        assert episode.truncations.tolist() == (ours.done[:-1] == TRUNCATED).tolist()


def test_an_export_of_npz_goes_on_where_it_was_cut(
    make_native: Callable[..., EpisodeStore], tmp_path: Path
) -> None:
    store = make_native()
    for row in export(store, Format.npz, tmp_path, PRE):
        if row.index == 2:
            break
    before = {file: file.stat().st_mtime_ns for file in (tmp_path / "npz").iterdir()}
    list(export(store, Format.npz, tmp_path, PRE))
    assert len(before) == 3
    assert all(file.stat().st_mtime_ns == then for file, then in before.items())
    assert len(list((tmp_path / "npz").iterdir())) == 5


@pytest.mark.parametrize("target", [Format.hdf5, Format.minari])
def test_a_single_file_that_was_cut_has_not_its_name_yet(
    make_native: Callable[..., EpisodeStore], tmp_path: Path, target: Format
) -> None:
    store = make_native()
    alignment = PRE if target is Format.hdf5 else None
    for row in export(store, target, tmp_path, alignment):
        if row.index == 2:
            break
    assert not (tmp_path / "episodes.hdf5").exists() and not (tmp_path / "minari").exists()
    list(export(store, target, tmp_path, alignment))
    back = read_all(export_path(target, tmp_path, store), None, BOX_SPACE, tmp_path / "back")
    assert len(back.rows) == 5


@pytest.mark.parametrize(
    ("grayscale", "crop"), [(False, (0, 0, 0, 0)), (True, (0, 0, 0, 0)), (False, (4, 2, 0, 6))]
)
def test_frames_of_another_size_go_through_the_preprocessing(
    tmp_path: Path, grayscale: bool, crop: tuple
) -> None:
    files = write_npz(tmp_path / "rollouts", PRE)
    store = read_all(
        files, PRE, BOX_SPACE, tmp_path / "store", size=16, grayscale=grayscale, crop=crop
    )
    expected = Preprocessing(crop, 16, grayscale).apply(true_frames(LENGTHS[2], 2)[:-1])
    assert np.array_equal(store.episode(store.rows[2]).frames[:-1], expected)


@pytest.mark.parametrize("grayscale", [False, True])
def test_frames_of_the_right_size_are_not_cropped_again(tmp_path: Path, grayscale: bool) -> None:
    files = write_npz(tmp_path / "rollouts", PRE)
    crop = (4, 2, 0, 6)
    store = read_all(files, PRE, BOX_SPACE, tmp_path / "store", crop=crop, grayscale=grayscale)
    expected = Preprocessing((0, 0, 0, 0), FRAME_SIZE, grayscale).apply(
        true_frames(LENGTHS[2], 2)[:-1]
    )
    assert np.array_equal(store.episode(store.rows[2]).frames[:-1], expected)


def test_grey_frames_need_a_grey_env(
    make_native: Callable[..., EpisodeStore], tmp_path: Path
) -> None:
    list(export(make_native(grayscale=True), Format.npz, tmp_path, PRE))
    with pytest.raises(
        ValueError,
        match=r"its frames are grey and the environment's are not: add env.grayscale=true",
    ):
        read_all(tmp_path / "npz", None, BOX_SPACE, tmp_path / "store")


def test_floats_that_are_whole_numbers_are_numbered_actions(tmp_path: Path) -> None:
    files = write_npz(tmp_path / "rollouts", PRE, discrete=True)
    for file in files.iterdir():
        content = dict(np.load(file))
        np.savez(file, **{**content, "actions": content["actions"].astype(np.float32)[:, None]})
    check_order(read_all(files, PRE, NUMBERED_SPACE, tmp_path / "store"), valid_last=False)


LATENTS_FOR_FRAMES = np.zeros((LENGTHS[0], 2, 32), np.float32)
BAD_NPZ: list[tuple[dict[str, Any], str]] = [
    (
        {"observations": LATENTS_FOR_FRAMES},
        r"rollout_0.npz: observations are float32 \(6, 2, 32\), and must be uint8 \(T, H, W, C\)",
    ),
    (
        {"observations": np.zeros((6, 2, 32, 32), np.uint8)},
        r"observations are no pictures: an array of shape \(2, 32, 32\)",
    ),
    (
        {"actions": np.zeros((5, 2), np.float32)},
        r"differ in length \(6 observations, 5 actions, 6 rewards, 6 terminals\)",
    ),
    ({"actions": np.float32(3)}, r"actions is a single value"),
    (
        {"actions": np.zeros((6, 3), np.float32)},
        r"actions are float32 \(6, 3\), and env.id=Counting-v0 takes floats \(T, 2\)",
    ),
    (
        {"actions": np.zeros((6, 2), np.int64)},
        r"actions are int64 \(6, 2\), and env.id=Counting-v0 takes floats \(T, 2\)",
    ),
    (
        {"actions": np.full((6, 2), 2, np.float32)},
        r"the action of step 0 is \[2. 2.\], outside Box\(0",
    ),
    (
        {"actions": np.full((6, 2), np.nan, np.float32)},
        r"the action of step 0 is \[nan nan\], outside",
    ),
    ({"rewards": np.array([0, 1, np.inf, 0, 0, 0])}, r"the reward of step 2 is not finite"),
    ({"rewards": np.zeros((6, 2))}, r"rewards are float64 \(6, 2\), and must be numbers \(T,\)"),
    ({"seed": np.arange(2)}, r"its seed is int64 \(2,\), and must be one integer"),
    ({"terminals": np.array([0, 1, 0, 0, 0, 1])}, r"terminals is set in row 1 of 6"),
    (
        {"terminals": np.full(6, 0.5)},
        r"terminals are float64 \(6,\), and must be \(T,\) of 0 and 1",
    ),
    ({"split": "test"}, r"its split is 'test', and must be train or validation"),
    (
        {"observations": np.array([object()] * 6)},
        r"rollout_0.npz is truncated, or no .npz file of plain arrays: .*allow_pickle",
    ),
    ({"origin": "{"}, r"its entry 'origin' is damaged"),
    ({"origin": "{}"}, r"its entry 'origin' lacks env, backend"),
    ({"alignment": "both"}, r"states the alignment 'both', which is none"),
    ({"alignment": "post"}, r"states the alignment post: leave out stage.alignment=pre"),
]


@pytest.mark.parametrize(
    ("changes", "sentence"), BAD_NPZ, ids=[sentence[:40] for _, sentence in BAD_NPZ]
)
def test_bad_npz_content_is_one_sentence(
    tmp_path: Path, changes: dict[str, Any], sentence: str
) -> None:
    files = write_npz(tmp_path / "rollouts", PRE)
    first = dict(np.load(files / "rollout_0.npz"))
    np.savez(files / "rollout_0.npz", **{**first, **changes})
    with pytest.raises(ValueError, match=sentence) as caught:
        read_all(files, PRE, BOX_SPACE, tmp_path / "store")
    assert "rollout_0.npz" in str(caught.value) and "\n" not in str(caught.value)


def test_numbered_actions_must_be_whole_and_exist(tmp_path: Path) -> None:
    for actions, sentence in (
        (
            np.full(6, 0.5),
            r"actions are float64 \(6,\), and env.id=Counting-v0 takes whole numbers \(T,\)",
        ),
        (np.full(6, 100), r"the action of step 0 is 100, outside Discrete\(100\)"),
        (np.full((6, 2), 1), r"actions are int64 \(6, 2\)"),
    ):
        files = write_npz(tmp_path / "rollouts", PRE, discrete=True)
        np.savez(
            files / "rollout_0.npz",
            **{**dict(np.load(files / "rollout_0.npz")), "actions": actions},
        )
        with pytest.raises(ValueError, match=sentence):
            read_all(files, PRE, NUMBERED_SPACE, tmp_path / "store")


def test_a_missing_key_names_what_is_there(tmp_path: Path) -> None:
    files = write_npz(tmp_path / "rollouts", PRE)
    np.savez(files / "rollout_9.npz", obs=true_frames(3, 0), actions=np.zeros((4, 2)))
    with pytest.raises(
        ValueError,
        match=r"_9.npz has no 'observations' and no 'rewards' .*its entries are obs, actions",
    ):
        read_all(files, PRE, BOX_SPACE, tmp_path / "store")


@pytest.mark.parametrize("kept", [0, 100, -200])
def test_a_truncated_npz_is_named(tmp_path: Path, kept: int) -> None:
    files = write_npz(tmp_path / "rollouts", PRE)
    path = files / "rollout_3.npz"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ValueError, match=r"rollout_3.npz is truncated, or no .npz file"):
        read_all(files, PRE, BOX_SPACE, tmp_path / "store")


def test_damaged_bytes_inside_an_npz_are_noticed(tmp_path: Path) -> None:
    files = write_npz(tmp_path / "rollouts", PRE)
    path = files / "rollout_3.npz"
    content = bytearray(path.read_bytes())
    content[2000] ^= 255
    path.write_bytes(content)
    with pytest.raises(
        ValueError, match=r"rollout_3.npz is truncated, or no .npz file of plain arrays: .*CRC"
    ):
        read_all(files, PRE, BOX_SPACE, tmp_path / "store")


def test_a_single_row_saved_after_its_step_holds_none(tmp_path: Path) -> None:
    np.savez(
        tmp_path / "a.npz",
        observations=true_frames(1, 0)[1:],
        terminals=np.ones(1),
        **true_steps(1, 0),
    )
    with pytest.raises(
        ValueError,
        match=r"a.npz: a single row, saved after its step, holds no step with a frame before",
    ):
        read_all(tmp_path / "a.npz", POST, BOX_SPACE, tmp_path / "store")
    assert len(read_all(tmp_path / "a.npz", PRE, BOX_SPACE, tmp_path / "store").rows) == 1


def test_files_of_two_kinds_in_one_folder(
    make_native: Callable[..., EpisodeStore], tmp_path: Path
) -> None:
    files = write_npz(tmp_path / "rollouts", PRE)
    list(export(make_native(), Format.npz, tmp_path, PRE))
    (tmp_path / "npz" / "episode_000001.npz").rename(files / "zzz.npz")
    with pytest.raises(
        ValueError, match=r"zzz.npz has the entry 'final_observation', unlike .*rollout_0.npz"
    ):
        read_all(files, PRE, BOX_SPACE, tmp_path / "store")


def change_hdf5(path: Path, name: str, value: Any) -> None:
    with h5py.File(path, "r+") as file:
        del file[name]
        if value is not None:
            file[name] = value


NOT_RISING = r"table 'episodes' does not rise row by row within its 34 transitions"
BAD_HDF5 = [
    ("states", None, r"x.hdf5 has no array 'states': its entries are actions, episodes, rewards"),
    ("episodes", np.array([0, 3, 3, 5, 6, 7]), NOT_RISING),
    ("episodes", np.array([0, 3, 4, 5, 6, 99]), NOT_RISING),
    ("episodes", np.array([0.5, 3]), r"table 'episodes' is float64 \(2,\), and names no episode"),
    ("episodes", np.array([0]), r"table 'episodes' is int64 \(1,\), and names no episode"),
    (
        "states",
        np.zeros((34, 2, 16), np.float32),
        r"x.hdf5, episode 0: observations are float32 \(6, 2, 16\)",
    ),
    (
        "actions",
        np.zeros((34, 5), np.float32),
        r"x.hdf5, episode 0: its actions are float32 \(6, 5\)",
    ),
]


@pytest.mark.parametrize(
    ("name", "value", "sentence"), BAD_HDF5, ids=[item[2][:50] for item in BAD_HDF5]
)
def test_bad_hdf5_content_is_one_sentence(
    tmp_path: Path, name: str, value: Any, sentence: str
) -> None:
    path = write_humblerl(tmp_path / "x.hdf5")
    change_hdf5(path, name, value)
    with pytest.raises(ValueError, match=sentence):
        read_all(path, PRE, BOX_SPACE, tmp_path / "store")


def test_a_truncated_hdf5_file_is_named(tmp_path: Path) -> None:
    path = write_humblerl(tmp_path / "x.hdf5")
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(ValueError, match=r"x.hdf5 is truncated or no HDF5 file"):
        read_all(path, PRE, BOX_SPACE, tmp_path / "store")


def test_a_damaged_minari_data_set_is_named(
    make_native: Callable[..., EpisodeStore], tmp_path: Path
) -> None:
    store = make_native()
    list(export(store, Format.minari, tmp_path, None))
    data = export_path(Format.minari, tmp_path, store) / "data"
    whole = (data / "main_data.hdf5").read_bytes()
    (data / "main_data.hdf5").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"data cannot be read as a Minari data set"):
        read_all(data.parent, None, BOX_SPACE, tmp_path / "store")
    metadata = json.loads((data / "metadata.json").read_text())
    (data / "metadata.json").write_text(json.dumps({**metadata, "total_episodes": 0}))
    with pytest.raises(ValueError, match=r"data holds no episode"):
        read_all(data.parent, None, BOX_SPACE, tmp_path / "store")


def test_small_frames_are_nothing_for_minari(make_store: Callable[..., EpisodeStore]) -> None:
    store = make_store()
    store.manifest["env"] = spec_of(BOX_SPACE, size=16).to_dict()
    with pytest.raises(
        ValueError, match=r"Minari keeps no pictures below 32x32, and these are 16x16"
    ):
        check_export(store, Format.minari, None)


def test_what_is_no_source_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.hdf5").write_text("states and actions")
    for name, sentence in (
        ("nothing", r"stage.source=.*nothing does not exist"),
        ("empty", r"stage.source=.*empty holds no episodes: name a run folder"),
        (
            "notes.hdf5",
            r"stage.source=.*notes.hdf5 is neither a video nor an HDF5 or .npz file: "
            r"its first bytes are b'states a'",
        ),
    ):
        with pytest.raises(ValueError, match=sentence):
            detect(tmp_path / name)


def test_alignment_is_never_guessed(
    make_native: Callable[..., EpisodeStore], tmp_path: Path
) -> None:
    both = (
        r"stage.alignment is missing .*stage.alignment=pre if .*before "
        r".*stage.alignment=post if .*after"
    )
    for path in (write_npz(tmp_path / "rollouts", PRE), write_humblerl(tmp_path / "x.hdf5")):
        with pytest.raises(ValueError, match=both):
            read_all(path, None, BOX_SPACE, tmp_path / "store")
    store = make_native()
    list(export(store, Format.minari, tmp_path, None))
    with pytest.raises(
        ValueError,
        match=r"is a Minari data set, which holds every frame: leave out stage.alignment",
    ):
        read_all(export_path(Format.minari, tmp_path, store), PRE, BOX_SPACE, tmp_path / "store")
    with pytest.raises(
        ValueError, match=r"is no Minari data set: leave out stage.image_key=picture"
    ):
        read_all(tmp_path / "x.hdf5", PRE, BOX_SPACE, tmp_path / "store", "picture")
