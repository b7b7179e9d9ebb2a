# commit c3748f1, whose search still had components, heats and finalists
python -m world_models.main experiment=car_racing reuse=true stage.rollout.agent=car_racing \
    stage.vae.num_epochs=3 stage.controller.minutes=null stage.controller.env_steps=600000 \
    stage.evaluate.episodes=32 seed=1
# and the same with one of stage.controller.imitate=false, components=null, heats=1
