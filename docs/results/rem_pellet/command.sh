python -m world_models.main stage=rem experiment=rem_pellet threads=1
python -m world_models.main resume=<run folder> stage.epochs=48
