python -m world_models.main stage=rollout env=coinrun stage.episodes=240
python -m world_models.main stage=vae env=coinrun stage.train_batch_size=64 stage.num_epochs=8
python -m world_models.main stage=mdrnn env=coinrun stage.num_epochs=60
