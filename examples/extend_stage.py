"""A stage of your own: python examples/extend_stage.py stage=brightness upstream=<rollout run>"""

import sys
from dataclasses import dataclass

from world_models.config.stage import Product, Stage
from world_models.data.loading import upstream_episodes
from world_models.main import main
from world_models.report.headline import Headline
from world_models.runs.files import read_json, write_json
from world_models.stages import add_stage

TITLE = "Brightness"
LEAD = "How bright the frames of the episodes are."
CAPTIONS = ()


@dataclass
class BrightnessConfig:
    """The mean over all frames, 0 to 255."""

    scale: float = 1.0  # by which it is multiplied


def execute(cfg, run):
    """Write brightness.json."""
    store = upstream_episodes(run)
    means = [store.episode(row).frames.mean() for row in store.rows]
    write_json(run.path / "brightness.json", {"mean": cfg.scale * sum(means) / len(means)})


def headline(folder):
    """The number by which runs are compared."""
    path = folder / "brightness.json"
    return Headline("brightness", read_json(path)["mean"], True) if path.is_file() else None


def findings(folder):
    """Nothing to beat."""
    return []


def fill(section):
    """What the page shows."""
    found = headline(section.folder)
    section.headline = (f"{found.value:.1f}", "of 255") if found else None


GIVEN = Product("brightness", "brightness.json")
STAGE = Stage("brightness", BrightnessConfig, execute, needs=("rollout",), gives=GIVEN)
add_stage(sys.modules[__name__])

if __name__ == "__main__":
    sys.exit(main())
