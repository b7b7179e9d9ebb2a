python -m world_models.main stage=pipeline experiment=take_cover
