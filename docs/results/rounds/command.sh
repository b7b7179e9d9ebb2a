python -m world_models.main stage=rollout env=minatar env.game=freeway stage.episodes=24 threads=1
python -m world_models.main stage=tokenizer env=minatar env.game=freeway threads=1 \
    stage.kind=patch stage.patch_size=8 stage.vocabulary=1024
# and with stage.rounds=1
python -m world_models.main stage=token_world env=minatar env.game=freeway threads=1 \
    stage.rounds=2 seed=0 stage.shared_codes=false stage.dropout=0.0 \
    stage.context=6 stage.seq_len=16 stage.batch_size=12 stage.learning_rate=2e-3 \
    stage.max_steps=800 stage.val_every_steps=200
python -m benchmarks.things outputs/WorldModels-MinAtar-freeway-v0/2026-11-30/13-25-42 4 chicken=86,180,233
