"""What a page says of a model that went on, on usual and on rare frames."""

import math

from world_models.measures.rows import RareMemoryRow, RareVisionRow
from world_models.report.rare import BITS, memory_findings, rare_listing, vision_findings
from world_models.report.verdict import PSNR

SEEN = [
    RareVisionRow(model="before", kind="usual", frames=900, psnr=28.0),
    RareVisionRow(model="before", kind="rare", frames=40, psnr=21.5),
    RareVisionRow(model="after", kind="usual", frames=900, psnr=27.8),
    RareVisionRow(model="after", kind="rare", frames=40, psnr=26.5),
]
FORESEEN = [
    RareMemoryRow(model="before", kind="rare", frames=40, bits=0.5),
    RareMemoryRow(model="after", kind="rare", frames=40, bits=0.7),
]


def test_both_kinds_stand_beside_what_they_were() -> None:
    listing = rare_listing(SEEN, PSNR)
    assert listing is not None
    assert listing.columns == ["Frames", "How many", "PSNR dB before", "PSNR dB after"]
    assert listing.rows == [["usual", "900", "28.0", "27.8"], ["rare", "40", "21.5", "26.5"]]
    assert rare_listing(SEEN[:2], PSNR) is None, "it has not gone on yet"
    assert rare_listing([], BITS) is None


def test_what_rare_frames_gained_or_lost_is_in_the_verdict() -> None:
    (good,) = vision_findings(SEEN)
    assert good.good and good.sentence == (
        "V draws frames that the first episodes hardly show better than the V that it began as: "
        "PSNR 26.5 against 21.5 dB."
    )
    (bad,) = memory_findings(FORESEEN)
    assert not bad.good
    assert "bits per dimension 0.50 against 0.70 above V's own uncertainty" in bad.sentence
    unknown = RareMemoryRow(model="after", kind="rare", frames=40, bits=math.nan)
    assert memory_findings([FORESEEN[0], unknown]) == [] == vision_findings(SEEN[:3])
