# Commit 690e594, one thread beside other work; ROLLOUT: car_racing_dream/rollout.
python -m world_models.main stage=vae env=car_racing upstream=ROLLOUT threads=1 stage.model=conv stage.minutes=4 stage.num_epochs=2
python -m world_models.main stage=vae env=car_racing upstream=ROLLOUT threads=1 stage.model=conv_small stage.minutes=4 stage.num_epochs=2
