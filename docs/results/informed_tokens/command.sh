python -m world_models.main stage=rollout env=minatar env.game=freeway stage.episodes=24 threads=1
python -m world_models.main stage=tokenizer env=minatar env.game=freeway threads=1 \
    stage.kind=patch stage.patch_size=8 stage.vocabulary=1024
# and with stage.informed=false, and seed=1
python -m world_models.main stage=token_world env=minatar env.game=freeway threads=1 \
    stage.informed=true seed=0 stage.shared_codes=false stage.dropout=0.0 \
    stage.context=6 stage.seq_len=16 stage.batch_size=12 stage.learning_rate=2e-3 \
    stage.max_steps=400 stage.val_every_steps=200
