"""Stage rem: the schedule, exact resumption wherever it was cut off, what is left behind."""

import shutil
from pathlib import Path
from typing import Any

import av
import pytest
import torch
from commands import misfits, newest, small
from equality import assert_equal_runs, fails_at

import world_models
from world_models.agents.rollout import play
from world_models.agents.token_agent import TokenAgent
from world_models.chains.catalogue import schemas
from world_models.config.compose import compose_config
from world_models.config.schema import register
from world_models.data.batch import TokenBatch
from world_models.data.datasets import Indices
from world_models.data.store import EpisodeStore
from world_models.data.token_windows import TokenWindows
from world_models.envs.config import Backend
from world_models.envs.make import make_vector_env
from world_models.envs.preprocess import Preprocessing
from world_models.learning.behaviour import BehaviourLearner
from world_models.learning.token_world import TokenWorldLearner
from world_models.learning.tokenizer import GradientLearner, PatchLearner
from world_models.learning.tokenizer_config import make_tokenizer
from world_models.main import main
from world_models.measures.token_rows import TokenHorizonRow
from world_models.play.opening import open_pixel, resolve_pixel
from world_models.report.rem import FILMS, REDRAWN
from world_models.report.token_world import HORIZONS
from world_models.runs.files import read_json
from world_models.runs.metrics import read_csv, read_rows
from world_models.runs.past import PastRun
from world_models.runs.seeding import Purpose, fixed_seeds
from world_models.stages import rem
from world_models.stages.rem import films, replay, turns
from world_models.stages.rem.config import Collecting, Turn
from world_models.stages.rem.films import FILMED
from world_models.worlds.dream_env import open_dream
from world_models.worlds.opening import dreaming_run
from world_models.worlds.starts import Starts

DYNA = ["stage.real_steps=true", "stage.collect.bursts=0.4"]


def run_rem(outputs: Path, *more: str) -> int:
    return main(small("rem", f"outputs={outputs}", *more))


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run."""
    outputs = tmp_path_factory.mktemp("rem")
    assert run_rem(outputs, *DYNA) == 0
    return newest(outputs)


QUICK = [(replay, "collect", 4), (BehaviourLearner, "learn", 5)]
SLOW = [
    (PatchLearner, "learn", 3),
    (turns, "encode_episodes", 2),
    (TokenWorldLearner, "learn", 3),
    (TokenWorldLearner, "keep", 1),
    (BehaviourLearner, "learn_real", 2),
    (rem, "judge_agent", 2),
]
"""Calls in which it is cut off."""
assert all(hasattr(owner, name) for owner, name, _ in SLOW)


@pytest.mark.parametrize(
    ("owner", "name", "call"),
    [*QUICK, *(pytest.param(*place, marks=pytest.mark.slow) for place in SLOW)],
)
def test_ctrl_c_then_resume_equals_uninterrupted(
    owner: Any, name: str, call: int, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(owner, name, fails_at(call, getattr(owner, name)))
        assert run_rem(tmp_path, *DYNA) == 130
    run = newest(tmp_path)
    assert main([f"resume={run}"]) == 0
    assert_equal_runs(whole, run)


@pytest.mark.slow
def test_more_epochs_go_on_from_a_finished_run(whole: Path, tmp_path: Path) -> None:
    assert run_rem(tmp_path, *DYNA, "stage.epochs=2") == 0
    run = newest(tmp_path)
    assert main([f"resume={run}", "stage.epochs=4"]) == 0
    assert_equal_runs(whole, run)


def test_everybody_learns_when_it_is_due(whole: Path) -> None:
    """Of the small schedule: tokenizer from epoch 1, world from 2, behaviour from 3; of 4."""
    assert misfits(whole) == []
    assert int(read_csv(whole / "world_metrics.csv")[-1]["step"]) == 3 * 4
    epochs = read_csv(whole / "behaviour_epochs.csv")
    assert [int(row["epoch"]) for row in epochs] == [1, 2, 3, 4]
    store = EpisodeStore.open(whole / "episodes")
    steps = [row.length for row in store.episodes("train")]
    assert int(epochs[-1]["env_steps"]) == sum(steps) >= 4 * 40
    assert store.episodes("validation") and store.manifest["policy"] == "rem"
    played = read_csv(whole / "behaviour_played.csv")
    assert [row["player"] for row in played] == ["random", "agent", "agent"]


def test_real_steps_are_learned_from_in_the_epoch_in_which_they_were_done(whole: Path) -> None:
    """One batch in the first two epochs; then some for imagined steps, too, three an epoch."""
    store = EpisodeStore.open(whole / "episodes")
    stretches = sum(-(-row.length // 3) for row in store.episodes("train"))
    updates = int(read_csv(whole / "behaviour_played.csv")[-1]["step"]) - 2 * 3
    assert stretches / 8 <= updates < stretches / 8 + 4


def test_held_out_episodes_are_judged_from_their_first_to_their_last_steps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many steps there are: windows hold each once, and few of them are spread evenly."""
    read: list[tuple[int, list[int]]] = []
    given = TokenWindows.__getitems__

    def recorded(windows: TokenWindows, items: Indices) -> TokenBatch:
        if windows.stride == windows.seq_len == 4:
            assert len(windows) == windows.tiles
            read.append((len(windows), list(items)))
        return given(windows, items)

    monkeypatch.setattr(TokenWindows, "__getitems__", recorded)
    monkeypatch.setattr(turns, "MOST_JUDGED", 3)
    assert run_rem(tmp_path, "stage.collect.steps=100") == 0
    assert [items for _, items in read] == [[0, round((n - 1) / 2), n - 1] for n, _ in read]
    assert len(read) == 2 and min(n for n, _ in read) > 3


def test_the_run_leaves_an_agent_that_is_played_and_a_page(whole: Path, tmp_path: Path) -> None:
    agent = world_models.load(whole).agent
    assert isinstance(agent, TokenAgent)
    assert main(small("evaluate", f"upstream={whole}", f"outputs={tmp_path / 'scores'}")) == 0
    assert read_json(newest(tmp_path / "scores") / "scores.json")["episodes"] == 5
    page = (whole / "report.html").read_text()
    assert "World of tokens" in page and "by chance" in page
    assert REDRAWN in page
    assert (whole / "images/reconstructions.png").stat().st_size > 1000
    assert (whole / "eval.sh").is_file()
    assert "stage.world=pixel stage.driver=agent" in (whole / "play.sh").read_text()


def test_its_world_is_evaluated_with_its_agent_as_far_as_held_out_episodes_go(
    whole: Path, tmp_path: Path
) -> None:
    far = ["stage.horizon=1000", "stage.windows=3", "stage.episodes=1"]
    plan = ["stage.plan.method=cem", "stage.plan.horizon=2", "stage.plan.candidates=16"]
    given = [f"upstream={whole}", f"outputs={tmp_path}", *far, *plan]
    assert main(small("evaluate", *given)) == 0
    run = newest(tmp_path)
    rows = read_rows(run / "open_loop.csv", TokenHorizonRow)
    store = EpisodeStore.open(whole / "episodes")
    longest = max(row.length for row in store.episodes("validation"))
    context = compose_config(small("rem")).config.stage.world.context
    assert [row.horizon for row in rows] == list(range(1, longest + 1 - context + 1))
    assert all(row.split == "validation" and 1 <= row.n <= 3 and row.step == 12 for row in rows)
    assert HORIZONS in (run / "report.html").read_text() and misfits(run) == []
    assert len(read_csv(run / "timing.csv")) == 1, "what was written before is kept"


def test_an_agent_that_learned_without_a_world_plays_the_game_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    alone = [f"stage.schedule.{part}.updates=0" for part in ("world", "behaviour")]
    assert run_rem(tmp_path / "runs", *alone, "stage.real_steps=true", "stage.epochs=1") == 0
    run = newest(tmp_path / "runs")
    assert main(small("evaluate", f"upstream={run}", f"outputs={tmp_path / 'scores'}")) == 0
    scores = newest(tmp_path / "scores")
    assert (scores / "scores.json").is_file() and not (scores / "open_loop.csv").exists()
    film = tmp_path / "film"
    play = ["stage=play", "env=pellet", "threads=1", f"upstream={run}", f"stage.record={film}"]
    assert main([*play, "stage.steps=4"]) == 0 and film.with_suffix(".mp4").is_file()
    capsys.readouterr()
    assert main([*play, "stage.world=pixel"]) == 1
    assert "there is no pixel to play in; there is game" in capsys.readouterr().err
    plan = small("evaluate", "stage.plan.method=cem", f"upstream={run}")
    for words in (plan, small("actor_critic", f"upstream={run}")):
        assert main([*words, f"outputs={tmp_path / 'none'}"]) == 1
        assert "has no world model: none has learned in it" in capsys.readouterr().err
    with pytest.raises(ValueError, match="has no world model"):
        open_dream(run, 1)


def test_single_stages_go_on_from_it_only_where_it_is_named(
    whole: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for stage in ("tokenizer", "token_world", "actor_critic"):
        assert main(small(stage, f"outputs={whole.parents[2]}")) == 1
        assert f"stage={stage} needs a finished" in capsys.readouterr().err


def test_its_world_stands_beside_an_agent_without_its_episodes(whole: Path, tmp_path: Path) -> None:
    copied = tmp_path / "run"
    shutil.copytree(whole, copied)
    shutil.rmtree(copied / "episodes")
    assert resolve_pixel(str(copied), PastRun(whole).env) == str(copied)
    assert open_pixel(PastRun(copied), "cpu").num_starts == 0


def test_its_films_show_what_was_collected_played_and_imagined(whole: Path) -> None:
    """Each lasts as long as the longest of its episodes."""
    seeds = fixed_seeds(Purpose.selection, FILMED)
    agent = world_models.load(whole).agent
    assert isinstance(agent, TokenAgent)
    spec, backend = agent.env, Backend.gymnasium
    envs = make_vector_env(spec, backend, FILMED)
    dream = open_dream(whole, FILMED, films.MOST_STEPS, starts=Starts.episode)
    newest = EpisodeStore.open(whole / "episodes").episodes("train")[-FILMED:]
    longest = {
        "collected": max(row.length for row in newest),
        "played": max(score.length for score in play(envs, agent.policy(), seeds)),
        "imagined": max(score.length for score in play(dream, agent.policy(), seeds)),
    }
    assert {name: frames_of(whole / "videos" / f"{name}.mp4") for name in longest} == longest
    page = (whole / "report.html").read_text()
    assert all(caption in page for caption in FILMS.values())


def frames_of(path: Path) -> int:
    with av.open(path) as container:
        return sum(1 for _ in container.decode(video=0))


@pytest.mark.slow
def test_a_tokenizer_that_learns_takes_its_turns_and_is_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its codes move, so that all frames become tokens anew; it is cut before that and after."""
    tokenizer = ["kind=vq", "base_channels=8", "downsamplings=4", "vocabulary=32", "code_size=8"]
    keys = [*(f"stage.tokenizer.{key}" for key in tokenizer), "stage.epochs=3"]
    assert run_rem(tmp_path / "whole", *keys) == 0
    whole = newest(tmp_path / "whole")
    assert int(read_csv(whole / "tokenizer_metrics.csv")[-1]["step"]) == 3 * 4
    assert len(read_csv(whole / "world_metrics.csv"))
    for owner, name, call in ((GradientLearner, "learn", 2), (TokenWorldLearner, "learn", 2)):
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, fails_at(call, getattr(owner, name)))
            assert run_rem(tmp_path / f"cut in {owner.__name__}", *keys) == 130
        run = newest(tmp_path / f"cut in {owner.__name__}")
        assert main([f"resume={run}"]) == 0
        assert_equal_runs(whole, run)


@pytest.mark.parametrize(
    ("name", "tokens"),
    [
        ("rem_pellet", 9),
        ("rem_minatar", 25),
        ("rem_minatar_freeway", 25),
        ("rem_atari", 64),
        ("rem_coinrun_world", 64),
    ],
)
def test_an_experiment_begins_with_one_word(name: str, tokens: int) -> None:
    """Its models can be made of its frames, and nobody learns before what they learn from."""
    register(schemas())
    config = compose_config([f"experiment={name}"]).config
    frames = Preprocessing((0, 0, 0, 0), config.env.size, False)
    with torch.device("meta"):
        tokenizer = make_tokenizer(config.stage.tokenizer, frames)
    config.stage.world.check(tokenizer, 5)
    assert tokenizer.grid[0] * tokenizer.grid[1] == tokens
    turns = config.stage.schedule
    assert turns.tokenizer.first <= turns.world.first <= turns.behaviour.first


def test_a_turn_is_due_from_its_first_epoch_to_its_last() -> None:
    turn = Turn(first=3, last=5, updates=10)
    assert [turn.done_by(epoch) for epoch in range(1, 8)] == [0, 0, 10, 20, 30, 30, 30]
    assert Turn(first=2, updates=7).done_by(4) == 21
    assert [Collecting(steps=100, last=2).steps_by(epoch) for epoch in (1, 2, 3)] == [100, 200, 200]


def test_short_episodes_share_a_shard() -> None:
    """A quarter of 1,000 steps are 22.7 episodes of 11, and less than one of 400."""
    cfg = Collecting(steps=1000, num_envs=4)
    shortest = replay.shard_size(cfg, [1])
    assert [replay.shard_size(cfg, lengths) for lengths in ([], [10, 12], [400])] == [4, 24, 4]
    assert shortest == 248


def test_what_cannot_be_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    box = ["env=car_racing", "threads=1", f"outputs={tmp_path}"]
    assert main(["stage=rem", *box]) == 1
    assert "chooses among numbered actions" in capsys.readouterr().err
    assert run_rem(tmp_path, "stage.collect.val_every=1") == 1
    assert "stage.collect.val_every is 1" in capsys.readouterr().err
    assert run_rem(tmp_path, "stage.collect.bursts=1") == 1
    refused = "stage.collect.bursts is 1.0; it must be at least 0 and below 1"
    assert refused in capsys.readouterr().err


def test_its_world_dreams_and_is_played_in(whole: Path, tmp_path: Path) -> None:
    dream = open_dream(whole, 2, max_steps=3, drawing="counted")
    frames, _ = dream.reset(seed=[1, 2])
    assert frames.shape == (2, 64, 64, 3) and dream.world.num_starts > 0
    film = tmp_path / "film"
    keys = ["stage.driver=agent", "stage.world=pixel", "stage.steps=4", f"stage.record={film}"]
    begin = ["stage=play", "env=pellet", "threads=1", f"upstream={whole}", f"outputs={tmp_path}"]
    assert main([*begin, *keys]) == 0 and film.with_suffix(".mp4").stat().st_size > 1000


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["patch", "vq"])
def test_single_stages_go_on_from_its_parts(kind: str, whole: Path, tmp_path: Path) -> None:
    """Another tokenizer and another world learn from its episodes, an agent in its world."""
    if kind == "vq":
        assert run_rem(tmp_path / "rem", "stage.tokenizer.kind=vq") == 0
        whole = newest(tmp_path / "rem")
    made = {}
    for stage in ("tokenizer", "token_world", "actor_critic"):
        outputs = tmp_path / stage
        assert main(small(stage, f"upstream={whole}", f"outputs={outputs}")) == 0, stage
        made[stage] = newest(outputs)
        episodes = PastRun(made[stage]).input("episodes")
        assert episodes.samefile(whole / "episodes" / "manifest.json")
    for stage in ("token_world", "actor_critic"):
        frames, _ = open_dream(made[stage], 1, max_steps=3).reset(seed=[1])
        assert frames.shape == (1, 64, 64, 3), stage
    plan = ["stage.plan.method=cem", "stage.plan.horizon=2", "stage.plan.candidates=16"]
    given = [f"upstream={made['actor_critic']}", f"outputs={tmp_path / 'scores'}", *plan]
    assert main(small("evaluate", *given)) == 0
    assert dreaming_run(made["actor_critic"]).path.samefile(whole)
