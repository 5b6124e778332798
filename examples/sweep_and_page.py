"""A sweep over systems and seeds, and its page for a browser.

    python examples/sweep_and_page.py

About 40 seconds on one core, and what is there already is not computed again: run it twice. The page is
runs/examples/page.html. Cells (`# %%`) run one by one in an editor that knows them. The tests compile this file and
don't run it.
"""

# %%
from pathlib import Path

import jax

from lipjax import attacks, datasets, measurements, methods, networks, norms, report, sweep, systems, training
from lipjax.types import Batch

folder = Path("runs/examples")
full = datasets.load("fashion_mnist_mini")
dataset = full._replace(test=Batch(*(part[:300] for part in full.test)))
mean, std = datasets.channel_statistics(dataset.train)
network = networks.mlp(dataset.num_classes, widths=(32,), mean=mean, std=std)

# %% What is trained: rows of the comparison by name, each with two seeds.
rows = {
    "V": systems.ROWS["V"],
    "P": systems.ROWS["P"],
    "gaussian 0.1": systems.Row(method=methods.gaussian(0.1)),
    "gaussian 0.3": systems.Row(method=methods.gaussian(0.3)),
}
optimizer = training.adam(training.cosine(2e-3, 200))
chosen = {name: row(network) for name, row in rows.items()}
cells = sweep.grid(chosen, optimizer, num_steps=200, batch_size=100, seeds=(0, 1))

# %% What is measured of each, and the sweep. Several processes may run this file at once: they share the work.
asked = [
    measurements.clean(),
    measurements.corrupted(("contrast", "gaussian_noise")),
    measurements.attacked(attacks.pgd(norms.linf.ball(4 / 255), num_steps=10)),
    measurements.alpha((0.1, 0.5, 1.0), num_points=20),
]
answers = sweep.run(jax.random.key(0), cells, dataset, asked, folder=folder)

# %% The numbers, and the page.
figures = measurements.summary(answers)
shown = figures[["clean_accuracy", "relative_performance", "attacked_accuracy"]].mean("seed").squeeze(drop=True)
print(shown.to_dataframe().round(3).to_string())
page = report.page(
    folder / "page.html",
    report.frames.joined(figures, answers),
    title="A small sweep",
    about="mlp, Fashion-MNIST",
    commands=["python examples/sweep_and_page.py"],
)
print(page)
