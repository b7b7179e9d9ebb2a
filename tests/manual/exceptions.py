"""What the pages show and the tests do not run, each with its reason: nothing else is left out."""

from manual.blocks import Command

NOT_RUN = {
    "make demo": "a set-up of its own and ten minutes; the experiment itself is run",
    "make test": "it would run these tests again",
    "ray start --head --port=6379": "needs machines of a cluster",
    "ray start --address=<address>:6379": "needs machines of a cluster",
    "torchrun --standalone --nproc-per-node=2 -m world_models.main stage=vae threads=1": (
        "several processes, of which other tests see to it that they train as one"
    ),
    "torchrun --nnodes=2 --nproc-per-node=8 --rdzv-backend=c10d "
    "--rdzv-endpoint=<first machine>:29500 -m world_models.main stage=vae "
    "outputs=/shared/outputs": "needs two machines with GPUs; its keys are checked",
    "python -m benchmarks.spawn": "a benchmark of minutes",
    "RAY_ADDRESS=<address>:6379 python -m world_models.main stage=controller workers=ray "
    "stage.max_workers=256": "needs machines of a cluster; its keys are checked",
    "python -m world_models.main stage=play agent=car_racing": "opens a window until it is closed",
    "python -m world_models.main stage=play env=coinrun stage.save=true": "opens a window",
}
"""Command, without its comment -> why it is not run; the keys of ours are checked all the same."""


def of_a_script(command: Command) -> bool:
    """Whether it stands in the record of a result (docs/results), hours of work, or in a script.

    Its keys are checked all the same, and its stages are run by the commands of other pages; a
    script for a scheduler is parsed by the shell.
    """
    return command.page.startswith("docs/results/") or command.in_script
