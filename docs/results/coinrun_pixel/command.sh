python -m world_models.main experiment=coinrun_pixel seed=1
python -m world_models.main experiment=coinrun_pixel seed=2
python -m world_models.main experiment=coinrun_pixel seed=3
