"""One session: who drives, where it is played, and what goes on exactly as elsewhere."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from world_models.agents.control import ControllerPolicy
from world_models.agents.rollout import collect
from world_models.agents.sequences import Method, PlanConfig
from world_models.data.episode import Episode
from world_models.envs.config import Backend
from world_models.envs.make import make_vector_env
from world_models.models.draws import RowDraws
from world_models.models.pixel import roll_out
from world_models.play.cast import Cast, Driver, Place
from world_models.play.controls import Controls
from world_models.play.distance import BEST_PSNR, psnr
from world_models.play.game import Game
from world_models.play.session import Session
from world_models.play.showing import scene_of
from world_models.runs.files import read_json
from world_models.runs.seeding import Purpose, fixed_seeds
from world_models.worlds.dreaming import Dream, Rules
from world_models.worlds.world import select

STAY: frozenset[str] = frozenset()
ROW = np.zeros(1, int)
FIRST_SEED = 70


def seen(session: Session) -> tuple[Any, ...]:
    """Where a session stands, bit for bit."""
    at = session.game.at
    state = () if session.eyes is None else (part.tolist() for part in session.eyes.state)
    return (at.steps, at.reward, at.total, at.done, session.game.frame.tobytes(), *state)


def go_until_over(session: Session) -> None:
    while not session.here.is_over:
        session.step()


@pytest.mark.parametrize("driver", [Driver.agent, Driver.random])
def test_alone_in_the_game_they_score_what_stage_evaluate_scored(
    driver: Driver, cast: Cast, finished: Path
) -> None:
    scores = read_json(finished / "evaluate/scores.json")
    scores = scores if driver is Driver.agent else scores["random"]
    seeds = fixed_seeds(Purpose.final_test, len(scores["returns"]))
    game = Game(make_vector_env(cast.env, Backend.gymnasium, 1))
    session = Session(cast, game, Controls(driver), iter([*seeds, 0]))
    found = []
    for _ in seeds:
        go_until_over(session)
        found.append((session.game.at.total, session.game.at.steps))
        session.step()
    session.close()
    assert found == list(zip(scores["returns"], scores["lengths"], strict=True))


def test_the_planner_plays_as_it_does_elsewhere_and_in_dreams_too(make: Any, agent: Any) -> None:
    seeds, cfg = [FIRST_SEED, FIRST_SEED + 1], PlanConfig(Method.icem)
    envs = make_vector_env(agent.env, Backend.gymnasium, 2)
    expected = collect(envs, agent.planner(cfg), seeds, max_steps=4)
    session = make(driver=Driver.planner)
    for _ in range(4):
        if session.game.is_over:
            break
        session.step()
        done = len(session.game.tape.actions)
        assert session.game.tape.actions == expected[0].actions[:done].tolist()
    session.turn(place=Place.dream)
    session.step()
    assert session.done.dreamt and session.dream.age == 1


@torch.inference_mode()
def test_a_handed_over_dream_is_a_dream_stepped_by_hand(make: Any, cast: Cast) -> None:
    session = make(driver=Driver.random, temperature=0.7, horizon=6)
    for _ in range(3):
        session.step()
    session.turn(place=Place.dream, driver=Driver.agent)
    state, seed = session.eyes.state, session.dream.seed
    world = replace(cast.latent, temperature=0.7)
    assert torch.equal(session.dream.state.h, state.h) and state.h.any()
    controller = ControllerPolicy(
        world.model.controller_inputs, cast.env.action_space, cast.controller[None]
    )
    controller.reset([0])
    dream, seeds = Dream(world, Rules(max_steps=6)), torch.tensor([seed])
    for step in range(6):
        action = controller.act(world.observe(state), ROW)
        given = torch.from_numpy(cast.env.action_space.to_model(action))
        steps = torch.tensor([step])
        after = dream.step(state, given, RowDraws(seeds, steps), steps)
        state = after.state
        session.step()
        assert session.done.action == action[0] and session.done.dreamt
        assert session.dream.at.reward == after.rewards[0]
        assert session.dream.at.chance == torch.sigmoid(after.done)[0]
        assert all(map(torch.equal, session.dream.state, state))
        if after.ended[0]:
            break
    assert session.dream.is_over


def test_dropout_holds_from_the_next_dream_on(make: Any) -> None:
    session = make(driver=Driver.random, place=Place.dream)
    session.turn(dropout=0.5)
    session.step()
    assert session.dream.state.masks is None
    for place in (Place.game, Place.dream):
        session.turn(place=place)
    assert session.dream.state.masks is not None
    assert torch.equal(session.dream.state.z, session.eyes.state.z)
    session.step()
    session.turn(driver=Driver.planner)
    session.step()
    assert session.dream.age == 2


def test_rewards_that_m_never_learned_are_neither_shown_nor_planned_for(
    make: Any, cast: Cast
) -> None:
    unrewarded = replace(cast, latent=replace(cast.latent, has_reward=False))
    session = make(cast=unrewarded, driver=Driver.agent, place=Place.dream)
    session.step()
    assert session.dream.at.reward is None and np.isnan(session.done.reward)
    assert scene_of(session).header["reward"] == ""
    with pytest.raises(ValueError, match="no planner"):
        session.turn(driver=Driver.planner)


def test_a_pause_changes_nothing(make: Any) -> None:
    sessions = [make(driver=Driver.random), make(driver=Driver.random)]
    for number in range(12):
        if number == 5:
            sessions[1].turn(paused=True)
            for _ in range(4):
                sessions[1].step(frozenset({"left"}))
            sessions[1].turn(paused=False)
        for session in sessions:
            session.step()
        assert seen(sessions[0]) == seen(sessions[1])


def test_a_single_step_moves_what_is_paused(make: Any) -> None:
    session = make(driver=Driver.random, paused=True)
    session.step()
    assert session.game.at.steps == 0
    session.step_once()
    assert session.game.at.steps == 1


@pytest.mark.parametrize("place", [Place.dream, Place.pixel])
def test_back_from_a_dream_the_game_goes_on_bit_for_bit(make: Any, place: Place) -> None:
    with_dream, without = make(driver=Driver.agent), make(driver=Driver.agent)
    for session in (with_dream, without):
        for _ in range(4):
            session.step()
    with_dream.turn(place=place)
    before = seen(with_dream)
    for _ in range(7):
        with_dream.step()
    assert with_dream.dreams > 0 and seen(with_dream) == before
    with_dream.turn(place=Place.game)
    for _ in range(30):
        for session in (with_dream, without):
            session.step()
        assert seen(with_dream) == seen(without)


def test_the_ghost_is_the_game_under_the_same_inputs(make: Any, cast: Cast) -> None:
    session, plain = make(driver=Driver.person, ghost=True), make(driver=Driver.person)
    keys = [frozenset({name}) for name in ("up", "left", "up", "left", "down")]
    session.turn(place=Place.dream)
    for number, held in enumerate(keys, 1):
        session.step(held)
        plain.step(held)
        assert seen(session) == seen(plain)
        if session.dream.is_over or session.game.is_over:
            break
        gap = session.distances[-1]
        ours, theirs = session.dream.state.z, session.eyes.state.z
        assert len(session.distances) == number
        assert gap.latent == pytest.approx(float(((ours - theirs) ** 2).mean()) ** 0.5)
        picture = cast.model.decode(ours)[0].astype(float)
        error = ((picture - session.game.frame) ** 2).mean()
        assert gap.psnr == pytest.approx(10 * np.log10(255**2 / error))
    assert session.distances


def test_a_ghost_that_comes_late_brings_the_dream_back_and_says_so(make: Any) -> None:
    session = make(driver=Driver.random)
    session.step()
    session.turn(place=Place.dream)
    session.turn(ghost=True)
    assert session.dreams == 1
    session.turn(ghost=False)
    session.step()
    session.turn(ghost=True)
    assert session.dream.age == 0 and "dream 2 begins at step 1" in session.notice
    session.step()
    assert session.game.at.steps == 2 and len(session.distances) == session.dream.age == 1


def test_equal_pictures_are_as_near_as_can_be() -> None:
    grey = np.full((8, 8, 1), 90, np.uint8)
    assert psnr(np.full((4, 4, 3), 90, np.uint8), grey) == BEST_PSNR


@torch.inference_mode()
def test_a_pixel_model_takes_over_once_it_has_seen_enough(make: Any, cast: Cast) -> None:
    session = make(driver=Driver.random, place=Place.pixel)
    assert "3 frames" in session.notice
    session.step()
    assert session.dream is None
    session.step()
    assert session.dream is not None and session.game.at.steps == 2
    tape = session.game.tape
    frames = torch.from_numpy(np.stack(tape.frames)).movedim(-1, -3).float()[None] / 255
    actions = list(tape.actions)
    for _ in range(3):
        session.step()
        actions.append(session.done.action)
    given = torch.from_numpy(cast.env.action_space.to_model(np.array(actions)))[None]
    expected = roll_out(cast.pixel.model, frames, given)
    torch.testing.assert_close(session.dream.state.frames[:, -1], expected[-1].frame)
    assert session.dream.at.reward == pytest.approx(float(expected[-1].reward))


def test_the_agent_looks_at_what_the_pixel_model_draws(make: Any, agent: Any) -> None:
    session = make(driver=Driver.agent)
    for _ in range(3):
        session.step()
    session.turn(place=Place.pixel)
    policy = agent.policy()
    policy.reset([0])
    for frame, action in zip(session.game.tape.frames, session.game.tape.actions, strict=False):
        assert policy.act(frame[None], ROW) == action
    for _ in range(3):
        frame = session.dream.frame
        session.step()
        assert policy.act(frame[None], ROW)[0] == session.done.action


def test_a_dream_that_is_over_begins_again_where_the_game_stands(make: Any) -> None:
    session = make(driver=Driver.random, place=Place.dream, horizon=2)
    first = session.dream
    go_until_over(session)
    session.step()
    again = session.dream
    assert session.done is None and again.age == 0 and again.seed != first.seed
    assert "dream 1 ended after 2 steps" in session.notice
    assert "dream 2 begins at step 0" in session.notice
    assert torch.equal(again.state.z, session.eyes.state.z)


def test_a_game_that_is_over_is_followed_by_the_next(make: Any) -> None:
    session = make(driver=Driver.random)
    go_until_over(session)
    seed, total = session.game.seed, session.game.at.total
    session.step()
    assert f"return {total:.1f}; the next one begins" in session.notice
    assert (session.game.seed, session.game.at.steps) == (seed + 1, 0)
    assert not select(session.eyes.state, 0).h.any()


def test_an_episode_that_ends_is_asked_about_and_nothing_moves_before(make: Any) -> None:
    kept: list[Episode] = []
    session = make(kept.append, driver=Driver.random)
    go_until_over(session)
    before = seen(session)
    session.step()
    assert session.asks and seen(session) == before
    for change in (session.reset, lambda: session.turn(place=Place.dream)):
        with pytest.raises(ValueError, match="kept"):
            change()
    session.answer(True)
    assert not session.asks
    (episode,) = kept
    assert episode.total_return == session.game.at.total
    assert len(episode.frames) == session.game.at.steps + 1
    session.step()
    go_until_over(session)
    session.answer(False)
    assert len(kept) == 1


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"driver": Driver.agent}, "no agent"),
        ({"place": Place.dream}, "no dream"),
        ({"temperature": -1.0}, "temperature"),
        ({"dropout": 1.0}, "dropout"),
        ({"horizon": 0}, "horizon"),
    ],
)
def test_what_there_is_not_is_refused_and_nothing_changes(
    make: Any, cast: Cast, changes: dict[str, Any], word: str
) -> None:
    session = make(cast=Cast(cast.env, cast.backend))
    with pytest.raises(ValueError, match=word):
        session.turn(**changes)
    assert session.controls == Controls()
    session.step()
    assert session.game.at.steps == 1
