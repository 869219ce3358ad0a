# %% [markdown]
# Sharing a band costs time: a small scenario, its tables, and your own figure.

# %%
import matplotlib.pyplot as plt

from wnsim.scenario import load, run

plan = load("network.yaml", settings={"devices.count": 8, "traffic.rounds": 1})
results = run(plan, out="results/explore")

# %%
# One row per message, of all runs together.
transfers = results.transfers
print(transfers.groupby("variant")[["latency_s", "queue_s", "airtime_s"]].median().round(2))

# %%
# What the messages of each variant spent their time with, in seconds.
parts = ["queue_s", "channel_access_s", "airtime_s", "retransmission_s"]
print(transfers.groupby("variant")[parts].mean().round(3))

# %%
figure, axes = plt.subplots(figsize=(3.5, 2.4), layout="constrained")
for variant, rows in transfers.groupby("variant", sort=False):
    axes.ecdf(rows["latency_s"], label=variant)
axes.set(xlabel="Latency [s]", ylabel="Share of messages")
axes.legend()
figure.savefig("latency.png", dpi=200)
