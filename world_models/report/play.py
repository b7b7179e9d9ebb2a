"""What the report says of episodes that somebody played: the same as of collected ones."""

from world_models.report import rollout

TITLE = rollout.TITLE
LEAD = "Episodes that were played and kept: what was seen, what was done, what followed."
CAPTIONS = rollout.CAPTIONS
headline = rollout.headline
findings = rollout.findings
fill = rollout.fill
