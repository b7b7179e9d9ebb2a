python -m world_models.main stage=rollout env=car_racing stage.episodes=128
python -m world_models.main stage=vae env=car_racing stage.train_batch_size=64 stage.num_epochs=8
python -m world_models.main stage=mdrnn env=car_racing stage.num_epochs=60
python -m world_models.main stage=mdrnn env=car_racing stage.num_epochs=60 stage.terminal_prob=0
