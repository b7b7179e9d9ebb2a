# commit 412c64d; the driver is the agent of a demo. Seed 2 and 3 alike
python -m world_models.main experiment=car_racing seed=1 reuse=true \
    stage.rollout.agent=outputs/CarRacing-v3/2026-11-21/06-19-11
