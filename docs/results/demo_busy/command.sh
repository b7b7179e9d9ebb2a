# beside a loop that keeps one of two cores busy
python -m world_models.main stage=pipeline experiment=demo
