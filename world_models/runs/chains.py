"""Which stages make up a pipeline, in their order."""

CHAINS = {
    "pipeline": ("rollout", "vae", "mdrnn", "controller", "evaluate"),
    "pixel_pipeline": ("rollout", "pixel", "evaluate"),
}
