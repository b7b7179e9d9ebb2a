"""A run as one object: its numbers, its agent in its dream and outside, its world."""

import logging
from pathlib import Path

import numpy as np
import pytest

import world_models
from world_models.agents.agent import Agent
from world_models.envs.make import Backend, make_vector_env
from world_models.runs.metrics import read_csv
from world_models.worlds.dream_env import open_dream


def test_tables_are_the_files(finished: Path) -> None:
    run = world_models.load(finished)
    assert run.path == finished and repr(run) == f"<a pipeline run: {finished}>"
    assert list(run.parts) == ["rollout", "vae", "mdrnn", "controller", "evaluate"]
    files = {path.relative_to(finished).with_suffix("") for path in finished.glob("*/*.csv")}
    assert set(run.metrics) == {*map(str, files)}
    rows = read_csv(finished / "vae" / "val_metrics.csv")
    table = run.metrics["vae/val_metrics"]
    assert list(table) == list(rows[0])
    np.testing.assert_array_equal(table["loss"], [float(row["loss"]) for row in rows])
    assert run.metrics["vae/baselines"]["name"].tolist() == ["PCA", "mean image"]


def test_keys_are_for_reading(finished: Path) -> None:
    config = world_models.load(finished).config
    assert (config.seed, config.stage.vae.latent_size, config.env.id) == (
        0,
        4,
        "WorldModels/Pellet-v0",
    )
    with pytest.raises(Exception, match="read-only"):
        config.seed = 3


def test_the_agent_plays_behind_v_and_m_as_it_plays_frames(finished: Path) -> None:
    run = world_models.load(finished)
    envs, seeds = run.real(3, autoreset_mode="Disabled"), [5, 6, 7]
    frames_of = make_vector_env(run.env, Backend.auto, 3)
    seen, _ = envs.reset(seed=seeds)
    frames, _ = frames_of.reset(seed=seeds)
    run.reset(3)
    for _ in range(8):
        actions = run.agent(seen)
        np.testing.assert_array_equal(actions, run.act(frames))
        seen, rewards, *_ = envs.step(actions)
        frames, same, *_ = frames_of.step(actions)
        np.testing.assert_array_equal(rewards, same)
    with pytest.raises(ValueError, match=r"call agent\.reset"):
        world_models.load(finished).agent(frames)


def test_it_plays_in_the_dream_that_the_run_is_of(finished: Path) -> None:
    run = world_models.load(finished / "controller")
    ours = run.dream(3, max_steps=6, temperature=0.5, end=None)
    theirs = open_dream(finished / "mdrnn", 3, 6, temperature=0.5, end=None)
    seen, _ = ours.reset(seed=[1, 2, 3])
    np.testing.assert_array_equal(seen, theirs.reset(seed=[1, 2, 3])[0])
    assert ours.single_observation_space == run.real(1).single_observation_space
    after, *_ = ours.step(run.agent(seen))
    np.testing.assert_array_equal(after, theirs.step(run.agent(seen))[0])
    assert (after != seen).any() and run.world.num_starts == run.open_world().num_starts


def test_a_run_without_an_agent_has_a_world(
    finished: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = world_models.load(finished / "mdrnn")
    with caplog.at_level(logging.WARNING):
        seen, _ = run.dream(2).reset(seed=1)
    assert seen.shape == run.real(2).reset(seed=1)[0].shape
    with pytest.raises(ValueError, match="finish or resume the stage that makes one"):
        _ = run.agent
    with pytest.raises(ValueError, match="only pixel, mdrnn, token_world and rem runs dream"):
        _ = world_models.load(finished / "vae").world


def test_an_agent_alone_dreams_from_where_episodes_begin(finished: Path, tmp_path: Path) -> None:
    whole = world_models.load(finished)
    whole.save(tmp_path / "agent.pt")
    alone = world_models.load(tmp_path / "agent.pt")
    assert isinstance(alone.agent, Agent) and alone.metrics == alone.parts == {}
    seen, _ = alone.dream(2, max_steps=3).reset(seed=0)
    first, _ = alone.real(16).reset(seed=0)
    assert (
        seen.shape[1:] == first.shape[1:]
        and not seen[:, whole.agent.world.vae.config["latent_size"] :].any()
    )
    assert alone.agent(seen).shape == (2,)
    with pytest.raises(ValueError, match="the config lies in its run's folder"):
        _ = alone.config


def test_frames_in_place_of_a_number_are_dreamt_on(finished: Path) -> None:
    run = world_models.load(finished)
    frames, actions = np.zeros((3, 64, 64, 3), np.uint8), np.zeros(5, np.int64)
    film = run.dream(frames, actions, 2)
    np.testing.assert_array_equal(film, run.agent.dream(frames, actions, 2))
    assert run.reconstruct(frames).shape == frames.shape


def test_a_world_of_tokens(token_world_run: Path) -> None:
    run = world_models.load(token_world_run)
    seen, _ = run.dream(2, max_steps=2).reset(seed=3)
    assert seen.dtype == np.uint8 and seen.shape == run.real(2).reset(seed=3)[0].shape
