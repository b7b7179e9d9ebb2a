python -m world_models.main stage=evaluate env=pellet env.size=24 threads=1 stage.workers=0 \
    upstream=outputs/WorldModels-Pellet-v0/2026-11-28/18-43-37 \
    stage.plan.method=icem stage.plan.horizon=8 stage.plan.candidates=32 stage.plan.rounds=2 \
    stage.plan.discount=0.9
