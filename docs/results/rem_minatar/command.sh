python -m world_models.main stage=rem experiment=rem_minatar threads=1 env.game=breakout seed=0
python -m world_models.main stage=rem experiment=rem_minatar threads=1 env.game=breakout seed=1
python -m world_models.main stage=rem experiment=rem_minatar threads=1 env.game=breakout seed=2
# as it was, seed 0
python -m world_models.main stage=rem experiment=rem_minatar threads=1 stage.world.informed=false \
    stage.world.context=2 stage.world.seq_len=8 stage.world.batch_size=16 stage.world.learning_rate=1e-3
# the same agent without a world model, seed 0; seeds 1 and 2 with seed=1, seed=2
python -m world_models.main stage=rem experiment=rem_minatar threads=1 \
    stage.real_steps=true stage.behaviour.batch_size=8 stage.evaluate_every=20 \
    stage.collect.noise=0 stage.collect.bursts=0 stage.schedule.world.updates=0 \
    stage.schedule.behaviour.first=1 stage.schedule.behaviour.updates=0
# Freeway, now experiment=rem_minatar_freeway; seeds 1 and 2 with seed=1, seed=2; without a world model with the keys above
python -m world_models.main stage=rem experiment=rem_minatar threads=1 env.game=freeway seed=0 \
    stage.behaviour.horizon=16 stage.behaviour.discount=0.97
