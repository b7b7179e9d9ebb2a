"""Rounds in which the tokens of a frame are drawn, each told what was drawn before."""

MOST_ROUNDS = 4
"""Rounds of a frame."""


def turns_of(places: int, columns: int, rounds: int) -> list[int]:
    """In which round the token of each place is drawn.

    Two places that touch at a side are never drawn in the same round; of four rounds neither are
    those that touch at a corner.
    """
    if rounds == 1:
        return [0] * places
    right = 1 if rounds == 2 else 2
    return [(place // columns + right * (place % columns)) % rounds for place in range(places)]


def require_rounds(rounds: int, places: int, columns: int) -> None:
    """ValueError where K `places` in so many `columns` cannot be drawn in so many `rounds`."""
    if not 1 <= rounds <= MOST_ROUNDS:
        raise ValueError(f"rounds is {rounds}; it must be at least 1 and at most {MOST_ROUNDS}")
    if rounds > 1 and not columns:
        raise ValueError(
            f"rounds is {rounds}, which needs prediction tokens that are told what stands around "
            "their place: informed=true and pop=true, without parity"
        )
    if len(set(turns_of(places, columns, rounds))) < rounds:
        raise ValueError(
            f"rounds is {rounds}, and {places} places in {columns} columns leave a round without "
            "a place"
        )
