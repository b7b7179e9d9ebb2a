python -m world_models.main stage=rem experiment=rem_pellet threads=1
python -m world_models.main stage=rem experiment=rem_pellet threads=1 seed=1
python -m world_models.main stage=rem experiment=rem_pellet threads=1 seed=2
# at 32x32
python -m world_models.main stage=rem experiment=rem_pellet threads=1 env.size=32 \
    stage.tokenizer.vocabulary=256
python -m world_models.main stage=rem experiment=rem_pellet threads=1 env.size=32 \
    stage.tokenizer.vocabulary=256 seed=1
python -m world_models.main stage=rem experiment=rem_pellet threads=1 env.size=32 \
    stage.tokenizer.vocabulary=256 seed=2
python -m world_models.main stage=rem experiment=rem_pellet threads=1 env.size=32 \
    stage.tokenizer.kind=vq stage.tokenizer.code_size=16 stage.tokenizer.perceptual=none \
    stage.tokenizer.motion_weight=20 stage.tokenizer.learning_rate=1e-3 \
    stage.schedule.tokenizer.updates=40
# as it was
python -m world_models.main stage=rem experiment=rem_pellet stage.world.informed=false threads=1
python -m world_models.main stage=rem experiment=rem_pellet stage.world.informed=false threads=1 seed=1
python -m world_models.main stage=rem experiment=rem_pellet stage.world.informed=false threads=1 seed=2
python -m world_models.main stage=evaluate env=pellet env.size=24 \
    upstream=outputs/WorldModels-Pellet-v0/2026-11-29/07-21-06 stage.episodes=100
