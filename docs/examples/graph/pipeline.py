"""Which polynomial fits best? A graph of steps that are wired by name."""

from __future__ import annotations

import math

from crystallize import Pipeline, context, on_failure, step, when


@step(outputs=["rows"])
def measure(count):
    return [(x / 10, math.sin(x / 10)) for x in range(count)]


@step(inputs=["rows"], outputs=["train", "test"])
def split(rows):
    return rows[::2], rows[1::2]


def fit_step(degree):
    """A step that fits a polynomial of this degree; all of them have the same function, and outputs of their own."""

    @step(outputs=[f"polynomial_{degree}"])
    @on_failure(lambda: None)  # rows that do not determine it cost this polynomial only
    def fit(train):
        return solved([[x**power for power in range(degree + 1)] + [y] for x, y in train])

    return fit


def solved(rows):
    """The least-squares solution of rows that end with the right side, by elimination."""
    size = len(rows[0]) - 1
    table = [[sum(row[i] * row[j] for row in rows) for j in range(size + 1)] for i in range(size)]
    for i in range(size):
        table[i] = [value / table[i][i] for value in table[i]]
        for j in set(range(size)) - {i}:
            table[j] = [a - b * table[j][i] for a, b in zip(table[j], table[i], strict=True)]
    return [row[-1] for row in table]


@step(outputs=["best", "error"])
def compare(test, ctx, polynomial_1, polynomial_3, polynomial_5):
    errors = {}
    for coefficients in filter(None, (polynomial_1, polynomial_3, polynomial_5)):
        found = [sum(c * x**power for power, c in enumerate(coefficients)) for x, _ in test]
        errors[len(coefficients) - 1] = max(abs(y - guess) for (_, y), guess in zip(test, found, strict=True))
    best = min(errors, key=errors.__getitem__)
    ctx.record("error", errors[best])
    return best, errors[best]


@step
@when(lambda error, tolerance: error < tolerance)
def report(best, error):
    return f"degree {best}, off by {error:.4f} at most"


pipeline = Pipeline("polynomials", context=context(count=40, tolerance=0.01))
pipeline.add_steps(measure, split, *map(fit_step, (1, 3, 5)), compare, report)

if __name__ == "__main__":
    result = pipeline.run()
    print(result.summary())
    print(result.visualize())
    print(result.outputs.get("report", "nothing fits"))
