"""Your curves with pandas: <run folder> [<picture.png>]."""

import sys

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import pandas as pd

import world_models


def main(folder, picture="curves.png"):
    """Plot every table that has a step: as training went, one panel for each column."""
    metrics = world_models.load(folder).metrics
    tables = {name: pd.DataFrame(table) for name, table in metrics.items() if "step" in table}
    for name in ("vae/val_metrics", "mdrnn/val_metrics"):
        if name in tables:
            print(tables[name].describe().loc[["mean", "min", "max"]].round(3).to_string())
    losses = {
        name: table.set_index("step")["loss"] for name, table in tables.items() if "loss" in table
    }
    figure, axes = plt.subplots(len(losses), figsize=(7, 2.2 * len(losses)), squeeze=False)
    for axis, (name, loss) in zip(axes[:, 0], losses.items(), strict=True):
        loss.plot(ax=axis, title=name, marker=".")
        loss.rolling(5, min_periods=1).mean().plot(ax=axis)
    figure.tight_layout()
    figure.savefig(picture)
    return tables


if __name__ == "__main__":
    main(*sys.argv[1:])
