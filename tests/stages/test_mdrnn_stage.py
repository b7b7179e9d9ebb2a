"""Stage mdrnn: what its keys change, and the state that is carried from chunk to chunk."""

import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from commands import newest, small
from equality import assert_equal_runs, fails_at

from world_models.agents.agent import Agent, load_agent
from world_models.data.chunks import Chunks
from world_models.data.datasets import LatentSequenceDataset
from world_models.data.latents import LatentStore
from world_models.data.store import EpisodeStore
from world_models.envs.make import Backend
from world_models.envs.spec import EnvSpec
from world_models.main import main
from world_models.models.mdrnn import MDRNN, MDRNNCell
from world_models.runs import ranks, seeding
from world_models.runs.device import Device
from world_models.runs.files import read_json, sha256
from world_models.runs.metrics import MetricsLog, read_csv
from world_models.runs.past import PastRun
from world_models.runs.progress import ProgressBar
from world_models.runs.rows import cells
from world_models.runs.run import Run
from world_models.runs.training import Training
from world_models.stages.mdrnn import learning, reading, showing, train_epoch, watching
from world_models.stages.mdrnn.config import MDRNNConfig, Sequences
from world_models.worlds.latent import load_vae, load_world_model

EPISODES = {"sequences": Sequences.episodes, "batch_size": 4, "seq_len": 8, "hidden_size": 12}


def run_in(finished: Path, path: Path) -> Run:
    env = PastRun(finished / "mdrnn").env
    vae = PastRun(finished / "vae")
    manifest = {"stage": "mdrnn"}
    return Run(path, 0, Device.cpu, Backend.gymnasium, env, vae, manifest=manifest)


class Means:
    """The stored latents without their spread: what M is trained on is then the same every time."""

    def __init__(self, stored: LatentStore) -> None:
        self.stored, self.latent_size = stored, stored.latent_size
        self.cheap_rows = stored.cheap_rows

    def gather(self, shards: np.ndarray, rows: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        mu, _ = self.stored.gather(shards, rows)
        return mu, torch.full_like(mu, -torch.inf)


@pytest.fixture
def stored(finished: Path) -> tuple[EpisodeStore, LatentStore]:
    store = EpisodeStore.open(finished / "rollout/episodes")
    return store, LatentStore.open(
        finished / "vae/latents", sha256(finished / "vae/checkpoints/best.pt"), store
    )


def read_alone(model: MDRNN, data: LatentSequenceDataset) -> list[torch.Tensor]:
    """What a plain loop over each episode, from its first step to its last, predicts as mus (T, K,
    L).
    """
    cell, episodes = MDRNNCell.from_mdrnn(model), []
    for row in data.store.episodes("train"):
        mu, hidden, seen = data.latents.stored.arrays(row.shard)[0], cell.get_init_hidden(1), []
        actions = torch.from_numpy(data.to_model(np.array(data.store.episode(row).actions)))
        for t in range(row.length):
            latent = torch.from_numpy(mu[row.start + t].copy())[None]
            mus, *_, hidden = cell(actions[t : t + 1], latent, hidden)
            seen.append(mus[0])
        episodes.append(torch.stack(seen))
    return episodes


def test_episodes_are_read_with_the_state_carried_from_their_beginning(
    finished: Path,
    stored: tuple[EpisodeStore, LatentStore],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An epoch of the stage itself, weights held still, against each episode alone."""
    cfg, run, (store, latents) = MDRNNConfig(**EPISODES), run_in(finished, tmp_path), stored
    data, _ = reading.data_sets(cfg, run, store, Means(latents))
    training, predicted = learning.build(cfg, run, latents.latent_size), []
    expected = read_alone(training.model, data)
    plain = MDRNN.carry_on

    def recorded(*args: Any) -> Any:
        outputs, carried = plain(*args)
        predicted.append(outputs[0].detach())
        return outputs, carried

    monkeypatch.setattr(MDRNN, "carry_on", recorded)
    monkeypatch.setattr(
        Training, "update", lambda self, *rest: setattr(self, "step", self.step + 1)
    )
    order = list(reading.training_order(cfg, run, training, data))
    with ProgressBar("", None) as bar:
        train_epoch(cfg, run, training, data, MetricsLog(tmp_path), bar)
    compared = sum(
        compare(data, chunks, mus, expected) for chunks, mus in zip(order, predicted, strict=True)
    )
    assert compared == sum(map(len, expected)) and max(map(len, expected)) > 2 * cfg.seq_len


def compare(
    data: LatentSequenceDataset, chunks: Chunks, mus: torch.Tensor, expected: list[torch.Tensor]
) -> int:
    """Each row's predictions (T, B, K, L) beside those of its episode;
    returns the number of steps.
    """
    firsts, steps = np.cumsum(data.windows_per_episode) - data.windows_per_episode, 0
    for column, item in enumerate(chunks.items):
        episode = int(np.searchsorted(firsts, item, side="right")) - 1
        wanted = expected[episode][(item - firsts[episode]) * data.seq_len :][: data.seq_len]
        torch.testing.assert_close(mus[: len(wanted), column], wanted, atol=1e-5, rtol=1e-4)
        steps += len(wanted)
    return steps


def test_validation_carries_the_state_where_training_does(
    finished: Path, stored: tuple[EpisodeStore, LatentStore], tmp_path: Path
) -> None:
    """The whole validation episodes at once, each from its beginning, have the same likelihood."""
    cfg, run, (store, latents) = MDRNNConfig(**EPISODES), run_in(finished, tmp_path), stored
    training = learning.build(cfg, run, latents.latent_size)
    longest = max(row.length for row in store.episodes("validation"))
    assert longest > 2 * cfg.seq_len
    found = {}
    for name, keys in {
        "carried": {},
        "whole": {"seq_len": longest},
        "cut": {"sequences": Sequences.windows},
    }.items():
        config = replace(cfg, **keys)
        data = reading.data_sets(config, run, store, Means(latents))[1]
        found[name] = cells(watching.validate(config, run, training, data))
    assert found["carried"] == pytest.approx(found["whole"], rel=1e-5)
    assert found["cut"]["gmm"] != pytest.approx(found["whole"]["gmm"], rel=1e-5)


def test_keys_of_the_data_and_the_loss_reach_them(
    finished: Path, stored: tuple[EpisodeStore, LatentStore], tmp_path: Path
) -> None:
    run, (store, latents) = run_in(finished, tmp_path), stored
    plain = MDRNNConfig(seq_len=8, hidden_size=12)
    data, validation = reading.data_sets(plain, run, store, latents)
    part, same = reading.data_sets(replace(plain, dataset_fraction=0.3), run, store, latents)
    assert (len(data.windows_per_episode), len(part.windows_per_episode)) == (22, 7) and len(
        same
    ) == len(validation)
    training = learning.build(plain, run, latents.latent_size)
    plain_order, order = (
        np.concatenate(
            [chunks.items for chunks in reading.training_order(cfg, run, training, data)]
        )
        for cfg in (replace(plain, terminal_prob=0.0), replace(plain, terminal_prob=1.0))
    )
    assert len(order) == data.tiles
    assert np.array_equal(order, data.closing(plain_order)) and not np.array_equal(
        order, plain_order
    )
    last = np.cumsum(data.windows_per_episode) - 1
    ends = Chunks(last, np.arange(22), np.ones(22, bool))
    batch, state = data.__getitems__(ends.items), training.model.get_init_hidden(22)
    assert batch.terminated.any()
    terms = [
        learning.loss_terms(cfg, training.model, batch, ends, state, seeding.torch_generator(0))[1]
        for cfg in (plain, replace(plain, done_weight=10.0))
    ]
    assert terms[1]["bce"] > terms[0]["bce"] and terms[1]["gmm"] == terms[0]["gmm"]


def test_the_model_is_built_as_the_keys_say(finished: Path, tmp_path: Path) -> None:
    keys = [
        "stage.mixture=per_dimension",
        "stage.sigma_floor=0.05",
        "stage.sample_interval=1",
        "stage.seq_len=16",
    ]
    assert main(small("mdrnn", f"upstream={finished / 'vae'}", *keys, f"outputs={tmp_path}")) == 0
    run = newest(tmp_path)
    config = torch.load(run / "checkpoints/best.pt")["config"]
    assert (config["mixture"], config["sigma_floor"]) == ("per_dimension", 0.05)
    strips = [(run / f"images/dream_{epoch:04d}.png").read_bytes() for epoch in (1, 2)]
    assert strips[0] != strips[1], "M dreams otherwise after another epoch"
    world = load_world_model(
        finished / "vae/checkpoints/best.pt",
        run / "checkpoints/best.pt",
        EnvSpec.from_dict(read_json(run / "manifest.json")["env"]),
    )
    episode = EpisodeStore.open(finished / "rollout/episodes").episode
    frames = episode(EpisodeStore.open(finished / "rollout/episodes").rows[0]).frames[:3]
    assert world.dream(frames, np.zeros(7, int), horizon=4).shape == (4, 64, 64, 3)


def test_dreams_are_shown_at_the_temperature(finished: Path, tmp_path: Path) -> None:
    run, store = run_in(finished, tmp_path), EpisodeStore.open(finished / "rollout/episodes")
    best = [finished / stage / "checkpoints/best.pt" for stage in ("vae", "mdrnn")]
    world = load_world_model(*best, run.env)
    for name, temperature in (("cold", 0.0), ("again", 0.0), ("warm", 1.0)):
        showing.show_dream(MDRNNConfig(temperature=temperature), run, world, store, name)
    cold, again, warm = (
        (tmp_path / f"images/{name}.png").read_bytes() for name in ("cold", "again", "warm")
    )
    assert cold == again != warm


def test_latents_online_are_those_of_the_vae_run(
    finished: Path, stored: tuple[EpisodeStore, LatentStore]
) -> None:
    store, latents = stored
    vae = load_vae(finished / "vae/checkpoints/best.pt")
    online = reading.online_latents(store, vae, "cpu")
    shards, rows = np.array([1, 0, 3]), np.arange(9)[None] + np.array([[4], [0], [11]])
    for mine, theirs in zip(online.gather(shards, rows), latents.gather(shards, rows), strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-5, rtol=1e-5)
    assert online.latent_size == latents.latent_size


@pytest.mark.slow
def test_a_run_whose_latents_are_gone_goes_on_online(
    pipeline: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(pipeline / "vae/latents")
    arguments = small("mdrnn", f"upstream={pipeline / 'vae'}", f"outputs={tmp_path / 'o'}")
    assert main(arguments) == 1 and "latents" in capsys.readouterr().err
    assert main([f"resume={newest(tmp_path / 'o')}", "stage.latents=online"]) == 0
    found, expected = (
        read_csv(run / "val_metrics.csv") for run in (newest(tmp_path / "o"), pipeline / "mdrnn")
    )
    for mine, theirs in zip(found, expected, strict=True):
        assert float(mine["loss"]) == pytest.approx(float(theirs["loss"]), rel=1e-3)


@pytest.mark.slow
def test_an_untrained_m_is_a_control_for_all_that_follows(
    finished: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    keys = ["stage.untrained=true", f"outputs={tmp_path}"]
    assert main(small("mdrnn", f"upstream={finished / 'vae'}", *keys)) == 0
    run = newest(tmp_path)
    with seeding.seeded_weights(0, "mdrnn", "weights"):
        initial = MDRNN(**torch.load(run / "checkpoints/best.pt")["config"]).state_dict()
    for name in ("best", "last"):
        kept = torch.load(run / f"checkpoints/{name}.pt")["model"]
        assert all(torch.equal(kept[key], value) for key, value in initial.items()), name
    assert read_json(run / "manifest.json")["untrained"] is True and "untrained" in caplog.text
    assert [row["epoch"] for row in read_csv(run / "val_metrics.csv")] == ["0"]
    assert (run / "images/dream.png").is_file() and (run / "report.html").is_file()
    assert (
        main(small("controller", f"upstream={run}", f"outputs={tmp_path}", "stage.generations=1"))
        == 0
    )
    assert (newest(tmp_path) / "agent.pt").is_file()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("sigma_floor", 0.0),
        ("done_weight", -1.0),
        ("terminal_prob", 1.5),
        ("terminal_prob", -0.1),
        ("dataset_fraction", 0.0),
        ("dataset_fraction", 1.1),
        ("temperature", -1.0),
        ("grad_clip", float("nan")),
        ("dropout", 1.0),
        ("dropout", -0.1),
        ("scheduler_patience", -1),
        ("scheduler_factor", 1.0),
        ("sample_interval", 0),
    ],
)
def test_values_without_a_meaning_are_refused(key: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"^stage\.{key} is {value}; it must "):
        MDRNNConfig(**{key: value})


@pytest.mark.slow
def test_training_begins_at_the_weights_it_starts_from_and_goes_on_without_them(
    pipeline: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = pipeline / "mdrnn/checkpoints/best.pt"
    keys = ["stage.learning_rate=1e-12", "stage.num_epochs=1", f"stage.start_from={pipeline}"]
    arguments = small("mdrnn", f"upstream={pipeline / 'vae'}", *keys)
    assert main([*arguments, f"outputs={tmp_path / 'whole'}"]) == 0
    whole = newest(tmp_path / "whole")
    theirs = min(float(row["loss"]) for row in read_csv(pipeline / "mdrnn/val_metrics.csv"))
    assert float(read_csv(whole / "val_metrics.csv")[0]["loss"]) == pytest.approx(theirs, rel=1e-6)
    inputs = {item["kind"]: item["sha256"] for item in read_json(whole / "manifest.json")["inputs"]}
    assert inputs["start_from"] == sha256(path)
    with monkeypatch.context() as patch:
        patch.setattr(Training, "update", fails_at(10, Training.update))
        assert main([*arguments, f"outputs={tmp_path / 'cut'}"]) == 130
    path.unlink()
    assert main([f"resume={newest(tmp_path / 'cut')}"]) == 0
    assert_equal_runs(whole, newest(tmp_path / "cut"))


@pytest.mark.parametrize(
    ("key", "sentence"),
    [
        ("stage.hidden_size=13", "hiddens=12, .* and this run actions=5, hiddens=13"),
        ("stage.mixture=per_dimension", "mixture=joint and this run .*mixture=per_dimension"),
        ("stage.untrained=true", "stage.untrained keeps the weights"),
    ],
)
def test_weights_that_do_not_fit_are_refused_before_anything_is_written(
    finished: Path, tmp_path: Path, key: str, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = [f"stage.start_from={finished / 'mdrnn'}", key, f"outputs={tmp_path / 'o'}"]
    assert main(small("mdrnn", f"upstream={finished / 'vae'}", *keys)) == 1
    assert re.search(sentence, capsys.readouterr().err) and not (tmp_path / "o").exists()


@pytest.mark.slow
def test_what_is_dropped_is_a_function_of_the_step(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut off in mid-epoch and resumed, it is the same run bit for bit."""
    arguments = small("mdrnn", f"upstream={finished / 'vae'}", "stage.dropout=0.3")
    assert main([*arguments, f"outputs={tmp_path / 'whole'}"]) == 0
    with monkeypatch.context() as patch:
        patch.setattr(Training, "update", fails_at(17, Training.update))
        assert main([*arguments, f"outputs={tmp_path / 'cut'}"]) == 130
    assert main([f"resume={newest(tmp_path / 'cut')}"]) == 0
    whole = newest(tmp_path / "whole")
    assert_equal_runs(whole, newest(tmp_path / "cut"))
    weights = [
        torch.load(run / "checkpoints/best.pt")["model"]["rnn.weight_hh_l0"]
        for run in (whole, finished / "mdrnn")
    ]
    assert not torch.equal(*weights), "dropout was in it"


def test_each_row_and_step_of_training_drops_another_part(finished: Path, tmp_path: Path) -> None:
    cfg, run = MDRNNConfig(hidden_size=12, dropout=0.5), run_in(finished, tmp_path)
    training = learning.build(cfg, run, 4)
    first = learning.drawn_masks(cfg, run, training, ranks.whole(5))
    again = learning.drawn_masks(cfg, run, training, ranks.whole(5))
    training.step = 1
    other = learning.drawn_masks(cfg, run, training, ranks.whole(5))
    assert first is not None and again is not None and other is not None
    assert torch.equal(first.h, again.h) and not torch.equal(first.h, other.h)
    assert len(first.h.unique(dim=0)) == 5
    assert learning.drawn_masks(replace(cfg, dropout=0.0), run, training, ranks.whole(5)) is None


def test_a_checkpoint_says_whether_m_was_trained_on_rewards(finished: Path, tmp_path: Path) -> None:
    best = finished / "mdrnn/checkpoints/best.pt"
    assert torch.load(best)["rewards"] is True
    silent = learning.build(MDRNNConfig(include_reward=False), run_in(finished, tmp_path), 4)
    assert silent.facts == {"rewards": False}
    agent = load_agent(finished / "controller/agent.pt")
    assert agent.world.rewards is True
    Agent(agent.world, agent.controllers, has_reward=False).save(tmp_path / "agent.pt")
    assert load_agent(tmp_path / "agent.pt").world.rewards is False
