"""Run folders that were made up: quick, and as odd as a test needs them. Their tables are written
from typed rows."""

import json
from collections.abc import Iterable, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np

from world_models.data.tables import EpisodeLine
from world_models.figures.media import save_video
from world_models.measures.rows import MemoryRow, VisionRow
from world_models.measures.search_rows import DreamtRow, GenerationRow, SelectionRow
from world_models.report.report import write_report
from world_models.runs.metrics import MetricsLog

VOID = {"meta", "link", "img", "br", "path", "use", "input"}


def write_run(folder: Path, stage: str, **changes: Any) -> Path:
    """A run folder with a manifest and a config.yaml."""
    folder.mkdir(parents=True, exist_ok=True)
    manifest = {
        "schema": 1,
        "stage": stage,
        "status": "finished",
        "command": ["python", "-m", "world_models.main", f"stage={stage}"],
        "created": "2026-11-20T14:03:22",
        "wall_seconds": 123.4,
        "git": {"commit": "0123456789abcdef", "dirty": True},
        "versions": {"python": "3.11.7", "torch": "2.9.0"},
        "machine": {"platform": "Linux", "processor": "A processor", "cores": 2},
        "seed": 0,
        "device": "cpu",
        "threads": 2,
        "env": {"id": "CarRacing-v3"},
        "experiment": "demo",
        "inputs": [],
        "error": None,
    }
    (folder / "manifest.json").write_text(json.dumps(manifest | changes))
    (folder / "config.yaml").write_text(f"stage:\n  name: {stage}\n")
    return folder


def write_rows(path: Path, rows: Iterable[Any]) -> None:
    """A CSV file in place of one that may be there."""
    path.unlink(missing_ok=True)
    log = MetricsLog(
        path.parent, {one.stem: one.stat().st_size for one in path.parent.glob("*.csv")}
    )
    for row in rows:
        log.write(path.stem, row)


def tiles(count: int, size: int = 64) -> np.ndarray:
    y, x = np.mgrid[:size, :size]
    waves = [
        np.stack([128 + 90 * np.sin(x / 9 + i), 128 + 90 * np.cos(y / 7 + i), 60 + x], -1)
        for i in range(count)
    ]
    return np.stack(waves).astype(np.uint8)


def write_rollout(folder: Path, episodes: int = 120) -> Path:
    write_run(folder, "rollout", wall_seconds=72.0)
    rng = np.random.default_rng(0)
    rows = [
        EpisodeLine(
            episode=number,
            seed=number + 7,
            split="validation" if number >= 0.9 * episodes else "train",
            length=int(rng.integers(300, 1001)),
            total_return=round(float(rng.normal(40, 60)), 2),
        )
        for number in range(episodes)
    ]
    write_rows(folder / "episodes.csv", rows)
    return folder


def vision_row(epoch: int, loss: float) -> VisionRow:
    return VisionRow(
        epoch=epoch,
        step=100 * epoch,
        loss=loss,
        reconstruction=0.8 * loss,
        kl=0.2 * loss,
        psnr=20.0 + epoch,
        psnr_moving=15.0 + epoch,
        active=12,
        at_floor=0.25,
    )


def memory_row(epoch: int, loss: float) -> MemoryRow:
    return MemoryRow(epoch=epoch, step=100 * epoch, loss=loss, gmm=30 * loss, bce=0.01, mse=0.4)


def write_training(folder: Path, stage: str, losses: Sequence[float], **changes: Any) -> Path:
    """A run of V or M with a validation loss for each epoch."""
    write_run(folder, stage, **changes)
    row = {"vae": vision_row, "mdrnn": memory_row}[stage]
    rows = [row(epoch, loss) for epoch, loss in enumerate(losses, start=1)]
    write_rows(folder / "val_metrics.csv", rows)
    terms = {"vae": ("reconstruction", "kl"), "mdrnn": ("gmm", "bce", "mse")}[stage]
    steps = [
        {"step": one.step, "epoch": one.epoch, "lr": 1e-3, "loss": one.loss}
        | {name: getattr(one, name) for name in terms}
        for one in rows
    ]
    write_rows(folder / "metrics.csv", steps)
    return folder


def selection_row(generation: int, mean: float, candidate: float | None = None) -> SelectionRow:
    return SelectionRow(
        generation=generation,
        mean=mean,
        std=40.0,
        low=mean - 22,
        high=mean + 18,
        candidate=candidate,
        best=mean,
    )


def dreamt_rows(gaps: Sequence[float]) -> list[DreamtRow]:
    """Tests of a search in a dream with these gaps."""
    return [
        DreamtRow(
            generation=5 * number,
            real=1000.0,
            dream=1000.0 + gap,
            gap=gap,
            candidate_real=990.0,
            candidate_dream=1000.0,
        )
        for number, gap in enumerate(gaps, start=1)
    ]


def generation_row(generation: int) -> GenerationRow:
    mean = 880 * (1 - float(np.exp(-generation / 12))) - 40
    return GenerationRow(
        generation=generation,
        episodes=generation * 256,
        env_steps=generation * 200_000,
        best=mean + 90,
        mean=mean,
        median=mean,
        worst=mean - 200,
        std=90.0,
        sigma=0.12 * float(np.exp(-generation / 90)),
        length=700.0 + 4 * generation,
    )


def write_controller(folder: Path, **changes: Any) -> Path:
    write_run(folder, "controller", **{"wall_seconds": 1980.0, **changes})
    write_rows(folder / "metrics.csv", map(generation_row, range(1, 61)))
    tests = [selection_row(at, 890 * (1 - float(np.exp(-at / 12)))) for at in range(5, 61, 5)]
    write_rows(folder / "selection.csv", tests)
    return folder


def write_evaluate(folder: Path) -> Path:
    write_run(folder, "evaluate", wall_seconds=140.0)
    rng = np.random.default_rng(3)
    agent, random = rng.normal(884, 44, 16), rng.normal(-32, 12, 16)
    summary = lambda x: {  # noqa: E731
        "returns": x.tolist(),
        "lengths": [1000] * x.size,
        "mean": x.mean(),
        "std": x.std(),
        "median": float(np.median(x)),
        "interval95": [x.mean() - 20, x.mean() + 20],
    }
    scores = {
        "env": "CarRacing-v3",
        "backend": "gymnasium",
        "episodes": 16,
        "seeds": list(range(16)),
        **summary(agent),
        "random": summary(random),
    }
    (folder / "scores.json").write_text(json.dumps(scores))
    for name in ("best", "median", "worst"):
        save_video(folder / "videos" / f"{name}.mp4", tiles(20, 128))
    return folder


class Page(HTMLParser):
    """What the tests ask of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text, self.open = "", []
        self.feed(path.read_text())
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.text += data

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]


def report(folder: Path) -> Page:
    return Page(write_report(folder))
