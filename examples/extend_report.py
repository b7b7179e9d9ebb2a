"""A section of your own on the page of V: python examples/extend_report.py stage=vae"""

import sys

import numpy as np

from world_models.figures import plots
from world_models.figures.plots import BLUE, WIDE
from world_models.main import main
from world_models.report.curves import table_line
from world_models.report.modules import EXTRAS
from world_models.report.page import Listing


def add_speed_of_learning(section):
    """How much each epoch has gained, as a table and a plot."""
    table = section.table("val_metrics.csv")
    if "psnr" not in table:
        return
    gained = np.diff(table["psnr"], prepend=np.nan)
    rows = [[f"{e:.0f}", f"{g:+.2f}"] for e, g in zip(table["epoch"], gained, strict=True)]
    section.listings.append(Listing("Gained in each epoch", ["epoch", "PSNR in dB"], rows))
    line = table_line("gained", BLUE, {**table, "gained": gained}, "gained")
    section.plot(plots.curves(line, "step", WIDE, "PSNR gained"), "PSNR gained in each epoch")


EXTRAS.setdefault("vae", []).append(add_speed_of_learning)

if __name__ == "__main__":
    sys.exit(main())
