"""Several processes of torchrun: who has which rows, who writes, and how they end."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from commands import newest, small, small_pipeline
from several_ranks import in_ranks, needs_fork, widest_difference
from torch import nn

from world_models.losses import masked_mean
from world_models.main import main
from world_models.models.row_dropout import RowDropout, drop_rows
from world_models.runs import ranks
from world_models.runs.files import read_json
from world_models.runs.training import Training
from world_models.stages import mdrnn


def be(monkeypatch: pytest.MonkeyPatch, rank: int, world: int) -> None:
    """What torchrun tells a process."""
    given = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world, "LOCAL_WORLD_SIZE": world}
    given |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": 1}
    for name, value in given.items():
        monkeypatch.setenv(name, str(value))


def parts(monkeypatch: pytest.MonkeyPatch, world: int, total: int) -> list[ranks.Part]:
    found = []
    for rank in range(world):
        be(monkeypatch, rank, world)
        found.append(ranks.part(total))
    return found


def test_one_process_has_it_all() -> None:
    assert (ranks.world_size(), ranks.rank(), ranks.is_first()) == (1, 0, True)
    assert ranks.part(7) == ranks.whole(7) == ranks.Part(slice(0, 7), 7, 1.0)
    assert ranks.part(7).counts(torch.ones(3), torch.zeros(2)) == [None, None]
    assert ranks.from_first(lambda: 3) == 3


@pytest.mark.parametrize(("world", "total"), [(2, 16), (3, 16), (4, 4), (4, 3), (5, 1)])
def test_each_row_is_one_process_s(world: int, total: int, monkeypatch: pytest.MonkeyPatch) -> None:
    found = parts(monkeypatch, world, total)
    own = [list(range(total))[part.rows] for part in found if part.share]
    assert [row for rows in own for row in rows] == list(range(total))
    assert max(map(len, own)) - min(map(len, own)) <= 1
    assert sum(part.share for part in found) == pytest.approx(1)
    assert all(len(range(total)[part.rows]) for part in found), "never none"


@pytest.mark.parametrize(("world", "rows"), [(2, 8), (3, 8), (4, 3)])
def test_weighed_means_of_parts_are_the_mean(
    world: int, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where masks are unequal, and where a process has no row of its own."""
    values = torch.rand(5, rows, dtype=torch.float64)
    mask = (torch.rand(5, rows) < torch.linspace(0.1, 0.9, rows)).double()
    found = parts(monkeypatch, world, rows)
    own = [part.rows for part in found if part.share]
    everything = torch.stack([mask[:, rows].sum() for rows in own]).sum()
    monkeypatch.setattr(ranks, "summed", lambda ones: everything.expand(ones.shape))
    mean = torch.zeros((), dtype=torch.float64)
    for part in found:
        (count,) = part.counts(mask[:, part.rows])
        mean += part.share * masked_mean(values[:, part.rows], mask[:, part.rows], count)
    torch.testing.assert_close(mean, masked_mean(values, mask))


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (0, 2, 1, 3)])
def test_rows_are_dropped_as_in_the_whole_batch(order: tuple[int, ...]) -> None:
    x = torch.rand(5, 3, 4, 2).permute(order) + 1
    torch.manual_seed(3)
    expected = nn.Dropout(0.4)(x)
    layer = nn.Sequential(RowDropout(0.4))
    found = []
    for rows in (slice(0, 2), slice(2, 5)):
        drop_rows(layer, rows, 5)
        torch.manual_seed(3)
        found.append(layer(x[rows]))
    assert torch.equal(torch.cat(found), expected) and bool((expected == 0).any())
    layer.eval()
    assert torch.equal(layer(x[:2]), x[:2])


REFUSED = {
    "rollout": (small("rollout"), "stage=rollout cannot be shared out among the 2 processes"),
    "pipeline": (small_pipeline(), "stage=pipeline cannot be shared out"),
    "runs": (["stage=runs"], "stage=runs cannot be shared out"),
    "sweep": (["-m", "stage=vae", "env=pellet", "seed=1,2"], "not the jobs of a sweep"),
    "vae": (
        small("vae", "stage.train_batch_size=17"),
        "stage.train_batch_size makes batches of 17, which the 2 processes of torchrun cannot",
    ),
    "pixel": (
        small("pixel", "stage.data.batch_size=6"),
        "stage.data.batch_size (stage.unroll=2) makes batches of 3",
    ),
    "tokenizer": (small("tokenizer", "stage.kind=patch"), "looks at each frame once"),
    "mdrnn": (small("mdrnn", "stage.untrained=true"), "stage.untrained=true trains nothing"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_shared_out_is_refused_before_a_folder_is_made(
    name: str,
    finished: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    be(monkeypatch, 0, 2)
    arguments, words = REFUSED[name]
    feeder = {"mdrnn": "vae", "runs": ""}.get(name, "rollout")
    if name in ("vae", "pixel", "tokenizer", "mdrnn"):
        arguments = [*arguments, f"upstream={finished / feeder}"]
    assert main([*arguments, f"outputs={tmp_path / 'outputs'}"]) == 1
    said = [line for line in capfd.readouterr().err.splitlines() if line.startswith("error")]
    assert len(said) == 1 and words in said[0]
    assert not (tmp_path / "outputs").exists()


def test_what_cannot_be_shared_out_is_not_resumed(
    finished: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    be(monkeypatch, 0, 2)
    assert main([f"resume={finished / 'rollout'}"]) == 1
    assert "stage=rollout cannot be shared out" in capfd.readouterr().err


def of_second(action: Callable[[], None]) -> Callable[[], None]:
    """Done by the second process alone."""
    return lambda: None if ranks.is_first() else action()


def command(finished: Path, outputs: Path, *more: str) -> list[str]:
    given = [f"upstream={finished / 'vae'}", f"outputs={outputs}", "device=cpu"]
    return small("mdrnn", *given, "stage.num_epochs=1", *more)


@needs_fork
def test_two_processes_leave_one_run(finished: Path, tmp_path: Path) -> None:
    """Only the first one opens files to write them, and what it leaves is what one alone does."""

    def quick() -> None:
        for name in ("judge_best", "show_dreams", "show_dream"):
            setattr(mdrnn, name, lambda *_: None)

    def watch() -> None:
        quick()
        if ranks.is_first():
            return

        def look(event: str, given: tuple[Any, ...]) -> None:
            writes = event in ("os.mkdir", "os.rename", "os.remove") or (
                event == "open" and bool(given[2] & (os.O_WRONLY | os.O_RDWR))
            )
            assert not (writes and str(given[0]).startswith(str(tmp_path))), given

        sys.addaudithook(look)

    keys = ["stage.learning_rate=1e-5"]
    given = command(finished, tmp_path / "two", *keys)
    (first, _), (second, said) = in_ranks(2, given, tmp_path / "said", watch)
    assert (first, second, said) == (0, 0, "")
    given = command(finished, tmp_path / "one", *keys)
    assert in_ranks(1, given, tmp_path / "said", quick)[0][0] == 0
    one, two = newest(tmp_path / "one"), newest(tmp_path / "two")
    names = [{path.relative_to(run) for path in run.rglob("*")} for run in (one, two)]
    assert names[0] == names[1]
    assert read_json(two / "manifest.json")["status"] == "finished"
    last = "checkpoints/last.pt"
    assert torch.load(two / last).keys() == torch.load(one / last).keys()
    assert widest_difference(one / last, two / last) < 1e-5


def ends_at(call: int, end: Callable[[], None]) -> Callable[[], None]:
    """The n-th update ends the second process."""

    def patch() -> None:
        update, calls = Training.update, iter(range(1, 10_000))

        def ending(*given: Any, **more: Any) -> None:
            if next(calls) == call:
                end()
            update(*given, **more)

        Training.update = ending  # type: ignore[method-assign]

    return of_second(patch)


def fail() -> None:
    raise ValueError("the disk is gone")


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@needs_fork
@pytest.mark.parametrize(
    ("end", "status", "words"),
    [
        (fail, 1, "process 1 of 2: the disk is gone"),
        pytest.param(kill, -signal.SIGKILL, ranks.SILENT, marks=pytest.mark.slow),
    ],
)
def test_a_process_that_fails_ends_all_in_one_sentence(
    end: Callable[[], None], status: int, words: str, finished: Path, tmp_path: Path
) -> None:
    given = command(finished, tmp_path / "outputs", "verbosity=quiet")
    first, second = in_ranks(2, given, tmp_path / "said", ends_at(3, end))
    assert first == (1, f"error: {words}\n") and second == (status, "")
    manifest = read_json(newest(tmp_path / "outputs") / "manifest.json")
    assert (manifest["status"], manifest["error"]) == ("failed", words)
