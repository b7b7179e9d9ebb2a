python -m world_models.main stage=pipeline experiment=take_cover
python -m world_models.main stage=pipeline experiment=take_cover threads=1 seed=1
python -m world_models.main stage=pipeline experiment=take_cover threads=1 seed=2
# further searches on the same V and M
python -m world_models.main stage=pipeline experiment=take_cover threads=1 seed=1 reuse=true stage.controller.dream.temperature=1 stage.controller.dream.dropout=0
python -m world_models.main stage=pipeline experiment=take_cover threads=1 seed=1 reuse=true stage.controller.dream.temperature=1.3
python -m world_models.main stage=pipeline experiment=take_cover threads=1 seed=2 reuse=true stage.controller.dream.temperature=1 stage.controller.dream.dropout=0
