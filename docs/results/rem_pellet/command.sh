python -m world_models.main stage=rem experiment=rem_pellet threads=1
python -m world_models.main stage=rem experiment=rem_pellet threads=1 seed=1
python -m world_models.main stage=rem experiment=rem_pellet threads=1 seed=2
python -m world_models.main stage=evaluate env=pellet env.size=24 upstream=<run folder> stage.episodes=100
