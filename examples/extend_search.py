"""The search of extend_controller.py as a stage, with keys, seeds, sweeps and a page:

python examples/extend_search.py -m stage=search upstream=<mdrnn run> stage.width=4,16 seed=1,2
"""

import sys
from dataclasses import dataclass

import extend_controller

from world_models.config.stage import Product, Stage
from world_models.main import main
from world_models.report.headline import Headline
from world_models.runs.files import read_json, write_json
from world_models.stages import add_stage

TITLE, LEAD, CAPTIONS = "Search", "A controller of two layers, searched in M's dream.", ()


@dataclass
class SearchConfig:
    width: int = 8  # tanh units in each of its layers
    generations: int = 10  # of CMA-ES


def execute(cfg, run):
    run.add_input("mdrnn", run.feeder.best)
    given = (run.feeder.path, cfg.generations, run.seed, cfg.width)
    controller, (untrained, mean) = extend_controller.main(*given)
    run.metrics(None).write("metrics", {"untrained": untrained, "mean": mean})
    write_json(run.path / "search.json", {"mean": mean, "parameters": int(controller.size)})


def headline(folder):
    path = folder / "search.json"
    return Headline("mean return", read_json(path)["mean"], True) if path.is_file() else None


def findings(folder):
    return []


def fill(section):
    found = headline(section.folder)
    section.headline = (f"{found.value:.2f}", "mean return of 8 episodes") if found else None


GIVEN = Product("search", "search.json")
STAGE = Stage("search", SearchConfig, execute, needs=("mdrnn",), gives=GIVEN)
add_stage(sys.modules[__name__])

if __name__ == "__main__":
    sys.exit(main())
