"""What the report says of stores that were joined: the same as of collected episodes."""

from world_models.report import rollout

TITLE = rollout.TITLE
LEAD = "Episodes of several runs in one store."
CAPTIONS = rollout.CAPTIONS
headline = rollout.headline
findings = rollout.findings
fill = rollout.fill
