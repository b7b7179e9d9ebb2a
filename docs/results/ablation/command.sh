python -m world_models.main -m experiment=ablation_v,ablation_v_hidden,ablation_vm,ablation_random_m \
    reuse=true stage.rollout.agent=car_racing seed=1
