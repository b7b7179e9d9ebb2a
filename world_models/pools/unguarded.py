"""A script that begins a run where it stands would begin another in each worker that imports it."""

import multiprocessing

EXIT_CODE = 66
"""Of a worker in which a script would have begun a run."""
ADVICE = (
    "a worker imports the script that began this run, and would begin it once more: "
    'put what the script does under if __name__ == "__main__":'
)


def require_no_worker() -> None:
    """End this process where it is a worker that still imports its master's script."""
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise SystemExit(EXIT_CODE)
