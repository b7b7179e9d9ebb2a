# the search of seed 1 goes on; its agent is then packed and scored
python -m world_models.main resume=outputs/CarRacing-v3/2026-11-21/15-18-01/controller stage.minutes=110
python -m world_models.main stage=evaluate agent=car_racing stage.episodes=100
