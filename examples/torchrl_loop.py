"""Train a small policy on `SketchCanvas-v0` with TorchRL (`pip install "sketchcanvas[interop]"`)."""

import torch
from tensordict.nn import TensorDictModule
from torch import nn
from torchrl.collectors import Collector
from torchrl.envs import GymEnv
from torchrl.modules import OneHotCategorical, ProbabilisticActor

import sketchcanvas_env  # registers the environments

torch.manual_seed(0)
torch.set_num_threads(1)
env = GymEnv("SketchCanvas-v0", tradeoff=0.2)
features = len(sketchcanvas_env.FEATURE_NAMES)
network = nn.Sequential(nn.Linear(features, 64), nn.Tanh(), nn.Linear(64, env.action_spec.shape[-1]))
policy = ProbabilisticActor(
    TensorDictModule(network, in_keys=["stats"], out_keys=["logits"]),
    in_keys=["logits"],
    distribution_class=OneHotCategorical,
    return_log_prob=True,
)
optimiser = torch.optim.Adam(network.parameters(), lr=1e-2)

collector = Collector(env, policy, frames_per_batch=256, total_frames=1536, auto_register_policy_transforms=False)
# Episodes are of one step, so the policy gradient needs neither returns nor a discount.
for number, batch in enumerate(collector):
    reward = batch["next", "reward"].squeeze(-1)
    chosen = policy.get_dist(batch).log_prob(batch["action"])
    loss = -(chosen * (reward - reward.mean())).mean()
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    print(f"batch {number}: mean reward {reward.mean():+.3f}")
