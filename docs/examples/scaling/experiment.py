"""Does scaling the features help a nearest-neighbours classifier?

Run it with `crystallize run docs/examples/scaling/experiment.py`.
"""

from sklearn.datasets import load_breast_cancer
from sklearn.metrics import accuracy_score, recall_score
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from crystallize import Experiment, Hypothesis, SeedPlugin, Treatment, data_source, pipeline_step, verifier

MALIGNANT = 0  # as scikit-learn labels it
SCALERS = {"standardised": StandardScaler, "min-max": MinMaxScaler}


@data_source
def tumours():
    """569 tumours: 30 measurements of each, and whether it was malignant."""
    return load_breast_cancer(return_X_y=True)


@pipeline_step()
def split(data, ctx, *, test_share=0.3):
    """Another split in each replicate, and the same one under all conditions: `ctx.rng` sees to both."""
    features, labels = data
    seed = int(ctx.rng.integers(2**31))
    return train_test_split(features, labels, test_size=test_share, stratify=labels, random_state=seed)


@pipeline_step()
def scale(data, *, scaling="none"):
    """Treatments change `scaling`; a scaler learns from the training part alone."""
    if scaling == "none":
        return data
    train, test, *labels = data
    scaler = SCALERS[scaling]().fit(train)
    return [scaler.transform(train), scaler.transform(test), *labels]


@pipeline_step()
def classify(data, *, neighbours=5):
    """Train, predict, and record how good the predictions are."""
    train, test, train_labels, test_labels = data
    model = KNeighborsClassifier(neighbours, algorithm="kd_tree")  # exact, and leaves the cores to the replicates
    found = model.fit(train, train_labels).predict(test)
    return found, {
        "accuracy": float(accuracy_score(test_labels, found)),
        "recall": float(recall_score(test_labels, found, pos_label=MALIGNANT)),
    }


@verifier
def better(baseline, treatment, *, metric="accuracy", alpha=0.05):
    """A paired t-test: is the mean of the treatment above that of the baseline on the same splits?"""
    from scipy.stats import ttest_rel  # noqa: PLC0415 - only the process that verifies needs scipy.stats

    test = ttest_rel(treatment[metric], baseline[metric], alternative="greater")
    gain = sum(treatment[metric]) / len(treatment[metric]) - sum(baseline[metric]) / len(baseline[metric])
    return {"p_value": float(test.pvalue), "mean_difference": gain, "accepted": bool(test.pvalue < alpha)}


experiment = Experiment(
    name="scaling",
    description="Nearest neighbours on raw, standardised and min-max scaled features.",
    datasource=tumours,
    pipeline=[split, scale, classify],
    treatments=[Treatment(name, {"scaling": name}) for name in SCALERS],
    hypotheses=[Hypothesis(better, metrics="accuracy", name=f"{name} helps", treatments=[name]) for name in SCALERS],
    replicates=30,
    plugins=[SeedPlugin(seed=20240)],
)
