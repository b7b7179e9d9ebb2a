"""What the pages show and the tests do not run, each with its reason: nothing else is left out."""

from manual.blocks import Command

NOT_RUN = {
    "make demo": "a set-up of its own and ten minutes; the experiment itself is run",
    "make test": "it would run these tests again",
    "ray start --head --port=6379": "needs machines of a cluster",
    "ray start --address=<address>:6379": "needs machines of a cluster",
    "RAY_ADDRESS=<address>:6379 python -m world_models.main stage=controller workers=ray "
    "stage.max_workers=256": "needs machines of a cluster; its keys are checked",
    "python -m world_models.main stage=play agent=car_racing": "opens a window until it is closed",
    "python -m world_models.main stage=play agent=car_racing stage.ui=web": "serves until Ctrl-C",
    "python -m world_models.main stage=play env=coinrun stage.save=true": "opens a window",
}
"""Command, without its comment -> why it is not run; the keys of ours are checked all the same."""


def of_a_record(command: Command) -> bool:
    """Whether it is in the record of a result (docs/results): how that was made, hours of it.

    Its keys are checked all the same, and its stages are run by the commands of other pages.
    """
    return command.page.startswith("docs/results/") or command.in_script
