python -m world_models.main stage=pipeline experiment=take_cover
python -m world_models.main stage=pipeline experiment=take_cover threads=1 seed=1
