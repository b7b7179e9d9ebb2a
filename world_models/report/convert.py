"""What the report says of episodes that somebody else recorded: the same as of collected ones."""

from world_models.report import rollout

TITLE = rollout.TITLE
LEAD = "Episodes from elsewhere, in the order of ours: what was seen, what was done, what followed."
CAPTIONS = rollout.CAPTIONS
headline = rollout.headline
findings = rollout.findings
fill = rollout.fill
