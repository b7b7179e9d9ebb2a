python -m world_models.main stage=rem experiment=rem_coinrun_world threads=1
# its run is named in upstream; nobody has learned to play it, hence two episodes
python -m world_models.main stage=evaluate env=coinrun stage.episodes=2 threads=1 \
    upstream=outputs/WorldModels-Procgen-coinrun-v0/2026-11-30/06-07-25
