# Commit 96c9ad0, one thread beside other work; rollout on 284a169 with changes to the search alone.
# Words in capitals stand for the folders that earlier commands named.
W="python -m world_models.main"
# whole, on 18fc272, and its final tests
$W stage=pipeline experiment=car_racing_dream threads=1 stage.rollout.workers=1 stage.controller.max_workers=1 stage.evaluate.workers=1
$W stage=evaluate env=car_racing upstream=WHOLE/controller_3 stage.episodes=100 stage.workers=2 threads=1
# by hand, before that
$W stage=rollout env=car_racing stage.policy=agent stage.agent=car_racing stage.episodes=96 stage.bursts=0.3 stage.noise=0.2 threads=1 stage.workers=1 seed=5
$W stage=vae env=car_racing upstream=ROLLOUT threads=1 stage.start_from=car_racing stage.num_epochs=2 stage.minutes=15 stage.learning_rate=1e-3 stage.kl_weight=0.05 stage.train_batch_size=32
$W stage=mdrnn env=car_racing upstream=VAE threads=1 stage.dropout=0.05 stage.num_epochs=60 stage.sequences=episodes stage.batch_size=32 stage.learning_rate=1e-3 stage.scheduler_patience=2 stage.mixture=per_dimension
# first: exploits its dream; stopped after generation 56
$W stage=controller env=car_racing upstream=MDRNN threads=1 stage.world=dream stage.dream.end=null stage.dream.max_steps=300 stage.dream.dropout=0.05 stage.diagonal=true stage.n_samples=8 stage.most_samples=32 stage.pop_size=64 stage.generations=150 stage.test_interval=15 stage.selection_episodes=16
# EXPLOITER: one generation more, for its agent.pt
$W stage=controller env=car_racing upstream=MDRNN threads=1 stage.world=dream stage.dream.end=null stage.dream.max_steps=300 stage.dream.dropout=0.05 stage.diagonal=true stage.n_samples=8 stage.most_samples=32 stage.pop_size=64 stage.generations=1 stage.test_interval=15 stage.selection_episodes=2 stage.start_from=FIRST
# 16 random episodes, and 16 of that C
$W stage=rollout env=car_racing stage.policy=random stage.episodes=16 threads=1 stage.workers=1 seed=11
$W stage=rollout env=car_racing stage.policy=agent stage.agent=EXPLOITER stage.episodes=16 stage.noise=0.3 threads=1 stage.workers=1 seed=12
$W stage=data stage.source=ROLLOUT stage.merge=[RANDOM,DREAMER]
$W stage=vae env=car_racing upstream=DATA threads=1 stage.start_from=VAE stage.num_epochs=1 stage.minutes=5 stage.learning_rate=5e-4 stage.kl_weight=0.05 stage.train_batch_size=32
$W stage=mdrnn env=car_racing upstream=VAE2 threads=1 stage.start_from=MDRNN stage.dropout=0.05 stage.num_epochs=30 stage.sequences=episodes stage.batch_size=32 stage.learning_rate=5e-4 stage.scheduler_patience=2 stage.mixture=per_dimension
# second: stopped after generation 47, and ended there by resume=SECOND stage.target_return=100
$W stage=controller env=car_racing upstream=MDRNN2 threads=1 stage.world=dream stage.dream.end=null stage.dream.max_steps=300 stage.dream.dropout=0.1 stage.diagonal=true stage.n_samples=8 stage.most_samples=32 stage.pop_size=64 stage.generations=150 stage.test_interval=15 stage.selection_episodes=16
# fresh_tracks
$W stage=controller env=car_racing upstream=MDRNN2 threads=1 stage.start_from=SECOND/agent.pt stage.sigma0=1e-9 stage.pop_size=2 stage.n_samples=1 stage.generations=1 stage.selection_episodes=64 stage.max_workers=2 stage.diagonal=true seed=3
# third: V and M on with 24 episodes of SECOND and 24 of it disturbed; dropout 0.1 was stopped after
# generation 50; dropout 0 (resumed with stage.generations=120) was ended at generation 76 by
# resume=THIRD stage.target_return=100
$W stage=rollout env=car_racing stage.policy=agent stage.agent=SECOND/agent.pt stage.episodes=24 threads=1 stage.workers=1 seed=21
$W stage=rollout env=car_racing stage.policy=agent stage.agent=SECOND/agent.pt stage.episodes=24 stage.noise=0.3 stage.bursts=0.3 threads=1 stage.workers=1 seed=22
$W stage=data stage.source=DATA stage.merge=[OWN,OWN_DISTURBED]
$W stage=vae env=car_racing upstream=DATA2 threads=1 stage.start_from=VAE2 stage.num_epochs=1 stage.minutes=5 stage.learning_rate=3e-4 stage.kl_weight=0.05 stage.train_batch_size=32
$W stage=mdrnn env=car_racing upstream=VAE3 threads=1 stage.start_from=MDRNN2 stage.dropout=0.05 stage.num_epochs=30 stage.sequences=episodes stage.batch_size=32 stage.learning_rate=5e-4 stage.scheduler_patience=2 stage.mixture=per_dimension
$W stage=controller env=car_racing upstream=MDRNN3 threads=1 stage.world=dream stage.start_from=SECOND/agent.pt stage.sigma0=0.05 stage.dream.end=null stage.dream.max_steps=300 stage.dream.dropout=0.1 stage.diagonal=true stage.n_samples=16 stage.most_samples=32 stage.pop_size=64 stage.generations=100 stage.test_interval=10 stage.selection_episodes=32
$W stage=controller env=car_racing upstream=MDRNN3 threads=1 stage.world=dream stage.start_from=SECOND/agent.pt stage.sigma0=0.05 stage.dream.end=null stage.dream.max_steps=300 stage.dream.dropout=0 stage.diagonal=true stage.n_samples=16 stage.most_samples=32 stage.pop_size=64 stage.generations=40 stage.test_interval=10 stage.selection_episodes=32
# final_tracks
$W stage=evaluate env=car_racing upstream=THIRD stage.episodes=100 stage.workers=1 threads=1
# fourth: with 24 episodes of what THIRD had become after generation 76 (EXPLOITER2), and 24 of its agent
$W stage=controller env=car_racing upstream=MDRNN3 threads=1 stage.world=dream stage.sigma0=0.05 stage.dream.end=null stage.dream.max_steps=300 stage.dream.dropout=0 stage.diagonal=true stage.n_samples=16 stage.most_samples=32 stage.pop_size=64 stage.start_from=THIRD stage.generations=1 stage.selection_episodes=2
$W stage=rollout env=car_racing stage.policy=agent stage.agent=EXPLOITER2/agent.pt stage.episodes=24 threads=1 stage.workers=1 seed=31
$W stage=rollout env=car_racing stage.policy=agent stage.agent=THIRD/agent.pt stage.episodes=24 stage.noise=0.2 stage.bursts=0.2 threads=1 stage.workers=1 seed=32
$W stage=data stage.source=DATA2 stage.merge=[DREAMER2,OWN2]
$W stage=vae env=car_racing upstream=DATA3 threads=1 stage.start_from=VAE3 stage.num_epochs=1 stage.minutes=4 stage.learning_rate=3e-4 stage.kl_weight=0.05 stage.train_batch_size=32
$W stage=mdrnn env=car_racing upstream=VAE4 threads=1 stage.start_from=MDRNN3 stage.dropout=0.05 stage.num_epochs=20 stage.sequences=episodes stage.batch_size=32 stage.learning_rate=5e-4 stage.scheduler_patience=2 stage.mixture=per_dimension
$W stage=controller env=car_racing upstream=MDRNN4 threads=1 stage.world=dream stage.sigma0=0.05 stage.dream.end=null stage.dream.max_steps=300 stage.dream.dropout=0 stage.diagonal=true stage.n_samples=16 stage.most_samples=32 stage.pop_size=64 stage.start_from=THIRD/agent.pt stage.generations=100 stage.test_interval=8 stage.selection_episodes=32
# ended at generation 95 by resume=FOURTH stage.target_return=100; then its final_tracks
$W stage=evaluate env=car_racing upstream=FOURTH stage.episodes=100 stage.workers=2 threads=1
# quiet_v: V from the same episodes as QUIET_V, M on from the packaged one; stopped after generation 70
$W stage=vae env=car_racing upstream=ROLLOUT threads=1 stage.start_from=car_racing stage.num_epochs=1 stage.learning_rate=3e-4 stage.kl_weight=1.0 stage.train_batch_size=64
$W stage=mdrnn env=car_racing upstream=QUIET_V threads=1 stage.start_from=car_racing stage.dropout=0.05 stage.num_epochs=40 stage.sequences=episodes stage.learning_rate=5e-4 stage.batch_size=32 stage.scheduler_patience=2
$W stage=controller env=car_racing upstream=QUIET_MDRNN threads=1 stage.world=dream stage.dream.end=null stage.dream.max_steps=300 stage.dream.dropout=0.1 stage.diagonal=true stage.n_samples=8 stage.pop_size=64 stage.generations=100 stage.test_interval=10 stage.selection_episodes=24
