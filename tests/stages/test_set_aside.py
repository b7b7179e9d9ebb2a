"""Collection and evaluation go on without episodes that cannot be played, and say so."""

from pathlib import Path
from typing import Any

import pytest
from commands import newest, small

from world_models.data.store import EpisodeStore
from world_models.envs.pellet import PelletEnv
from world_models.main import main
from world_models.runs.files import read_json, write_json
from world_models.runs.metrics import read_csv
from world_models.runs.seeding import Purpose, fixed_seeds, fresh_seeds, seed_instead

FIRST, SECOND = fresh_seeds(Purpose.collection, 22, 0, "rollout")[1:9:7]
"""Seeds in the first and the second of four shards."""


def break_seeds(monkeypatch: pytest.MonkeyPatch, seeds: list[int], fault: str) -> None:
    """Pellet cannot be played with these seeds."""
    step = PelletEnv.step

    def broken(self: PelletEnv, action: int) -> Any:
        picture, reward, *rest = step(self, action)
        if self.np_random_seed not in seeds:
            return picture, reward, *rest
        if fault == "raises":
            raise ArithmeticError("the moon is in the way")
        return picture, float("nan" if fault == "NaN" else "-inf"), *rest

    monkeypatch.setattr(PelletEnv, "step", broken)


def collected(outputs: Path, *keys: str) -> Path:
    assert main(small("rollout", f"outputs={outputs}", *keys)) == 0
    return newest(outputs)


def shards(run: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (run / "episodes").glob("*.npy")}


@pytest.mark.parametrize("fault", ["raises", "NaN"])
def test_a_collection_puts_others_in_their_place(
    fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    sound = collected(tmp_path / "sound")
    assert not (sound / "quarantine.csv").exists()
    bad = [FIRST, seed_instead(FIRST), SECOND]
    break_seeds(monkeypatch, bad, fault)
    run = collected(tmp_path / "broken")
    lost = read_csv(run / "quarantine.csv")
    assert sorted((int(row["seed"]), int(row["instead"])) for row in lost) == sorted(
        (seed, seed_instead(seed)) for seed in bad
    )
    words = {"raises": "the moon is in the way", "NaN": "NaN or infinite"}
    assert all(words.get(fault, "NaN or infinite") in row["cause"] for row in lost)
    assert f"the episode of seed {FIRST} cannot be played" in caplog.text
    assert "3 episodes could not be played" in (run / "report.html").read_text()
    played = [row.seed for row in EpisodeStore.open(run / "episodes").rows]
    expected = [row.seed for row in EpisodeStore.open(sound / "episodes").rows]
    expected[1], expected[8] = seed_instead(seed_instead(FIRST)), seed_instead(SECOND)
    assert played == expected
    ours, theirs = shards(run), shards(sound)
    changed = {name[:11] for name in ours if ours[name] != theirs[name]}
    assert changed == {"shard_00000", "shard_00001"}


def test_the_same_bytes_come_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    break_seeds(monkeypatch, [FIRST, SECOND], "raises")
    one = collected(tmp_path / "one")
    again = collected(tmp_path / "again", "stage.shard_size=6")
    assert shards(one) == shards(again)
    # cut off after its second shard was written: what was found is kept
    manifest = read_json(again / "manifest.json")
    write_json(again / "manifest.json", {**manifest, "status": "interrupted"})
    (again / "episodes" / "manifest.json").unlink()
    for path in [*again.glob("episodes/*00002*"), *again.glob("episodes/*00000*")]:
        path.unlink()
    monkeypatch.undo()
    assert main([f"resume={again}"]) == 0
    assert shards(one) == shards(again)
    names = ("quarantine.csv", "episodes.csv")
    assert all((one / name).read_bytes() == (again / name).read_bytes() for name in names)


def test_too_many_end_the_run_and_none_at_all_soon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reset, tried = PelletEnv.reset, []

    def broken(self: PelletEnv, *, seed: int | None = None, **options: Any) -> Any:
        tried.append(seed)
        if seed is not None and (seed % 2 or PelletEnv.closed):
            raise OSError("no such track")
        return reset(self, seed=seed, **options)

    monkeypatch.setattr(PelletEnv, "reset", broken)
    monkeypatch.setattr(PelletEnv, "closed", False, raising=False)
    assert main(small("rollout", f"outputs={tmp_path}")) == 1
    told = capsys.readouterr().err
    assert "12 episodes could not be played" in told and "no such track" in told
    tried.clear()
    monkeypatch.setattr(PelletEnv, "closed", True)
    assert main(small("rollout", f"outputs={tmp_path}")) == 1
    assert "4 episodes could not be played, 0 could" in capsys.readouterr().err
    assert len(tried) < 30


def test_an_evaluation_puts_others_in_their_place(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds = fixed_seeds(Purpose.final_test, 5)
    break_seeds(monkeypatch, [seeds[2]], "infinite")
    upstream = f"upstream={finished / 'controller'}"
    assert main(small("evaluate", upstream, f"outputs={tmp_path}")) == 0
    run = newest(tmp_path)
    ours, sound = read_json(run / "scores.json"), read_json(finished / "evaluate" / "scores.json")
    assert ours["seeds"] == [*seeds[:2], seed_instead(seeds[2]), *seeds[3:]]
    for count, played, expected in ((5, ours, sound), (4, ours["random"], sound["random"])):
        assert len(played["returns"]) == count
        for row in set(range(count)) - {2}:
            assert played["returns"][row] == expected["returns"][row]
    assert [row["seed"] for row in read_csv(run / "quarantine.csv")] == [str(seeds[2])]
    assert "An episode could not be played" in (run / "report.html").read_text()
    assert not (finished / "evaluate" / "quarantine.csv").exists()
