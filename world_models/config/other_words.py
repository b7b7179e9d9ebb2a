"""Keys by the words that other programs and papers have for them."""

from collections.abc import Sequence

SAME = [
    {"lr", "learning_rate", "step_size", "alpha"},
    {"epochs", "num_epochs", "n_epochs", "max_epochs"},
    {"batch", "batch_size", "train_batch_size", "bs", "minibatch_size"},
    {"population", "population_size", "popsize", "pop_size", "num_candidates"},
    {"sigma", "sigma0", "sigma_init", "init_sigma", "initial_sigma"},
    {"temperature", "tau", "temp"},
    {"latent_size", "latent_dim", "latent", "latents", "z_size", "z_dim"},
    {"hidden_size", "hidden_dim", "hidden", "rnn_size", "h_size", "hidden_units"},
    {"gmm_components", "num_mixtures", "n_mixtures", "mixtures", "gaussians", "n_gaussians"},
    {"seq_len", "sequence_length", "seq_length", "seqlen", "unroll_length", "chunk_length"},
    {"max_steps", "num_steps", "n_steps", "steps", "total_steps", "env_steps", "total_timesteps"},
    {"episodes", "num_episodes", "n_episodes", "rollouts", "num_rollouts"},
    {"n_samples", "rollouts_per_candidate", "num_trials", "trials", "repeats"},
    {"workers", "max_workers", "num_workers", "n_workers", "n_jobs", "num_processes"},
    {"num_envs", "n_envs", "envs"},
    {"kl_weight", "beta", "kl_beta", "kl"},
    {"kl_tolerance", "free_bits", "free_nats"},
    {"weight_decay", "wd", "l2"},
    {"grad_clip", "clip", "max_grad_norm", "gradient_clip", "clip_norm"},
    {"horizon", "imagination_horizon", "rollout_length", "val_rollout_horizon"},
    {"image_size", "img_size", "resolution", "frame_size"},
    {"n_past_frames", "frame_stack", "num_frames", "context", "context_length"},
    {"ema_decay", "ema"},
    {"dropout", "dropout_prob", "dropout_rate", "p_drop"},
    {"checkpoint_interval", "save_every", "checkpoint_every", "save_freq"},
    {"early_stopping_patience", "patience", "early_stopping"},
    {"start_from", "checkpoint", "pretrained", "init_from", "load", "load_from", "weights"},
    {"val_fraction", "val_ratio", "val_split", "validation_split", "test_fraction"},
    {"generations", "num_generations", "n_generations", "iterations", "max_iter"},
    {"precision", "amp", "dtype", "fp16", "bf16", "mixed_precision"},
    {"outputs", "output_dir", "out", "outdir", "logdir", "log_dir", "save_dir"},
    {"device", "gpu", "cuda", "accelerator"},
    {"seed", "random_seed", "random_state"},
    {"frame_skip", "action_repeat", "frameskip"},
]
"""Words of one meaning; some of each are keys here."""


def by_other_words(key: str, names: Sequence[str]) -> list[str]:
    """The keys among `names` that mean what the last part of `key` means elsewhere.

    Those that lie where `key` would lie, or below, come first, and alone where there are any.
    """
    place, _, word = key.rpartition(".")
    group = next((words for words in SAME if word.lower() in words), set())
    meant = [name for name in names if name.rpartition(".")[2] in group and name != key]
    near = [name for name in meant if name.startswith(f"{place}.") or not place]
    return near or meant
