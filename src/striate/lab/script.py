"""A session in the lab as a Python script that repeats it, to the bit."""

from __future__ import annotations

from striate.lab.branch import Branch
from striate.recipes import to_toml

HEAD = '''"""What was done in striate's lab, again: python session.py

The same steps on the same images, with the same changes between them. On the same machine and
versions the weights come out the same to the bit; they are written to again.safetensors.
"""

from safetensors.torch import save_file

from striate import read
from striate.data import load
from striate.lab.branch import begun, with_weights
from striate.lab.following import Following
from striate.recipes import from_toml
from striate.runs import open_run
'''


def script(branch: Branch) -> str:
    """What led to a branch as it is, forks and other networks on the way included."""
    lines = [HEAD, *_beginning(branch)]
    for turn in branch.turns:
        lines.append(f"branch.train({turn.step})")
        if turn.network:
            lines.append(f"branch, kept = branch.rebuilt(read({_quoted(turn.network)}))")
        else:
            settings = ", ".join(f"{name}={value!r}" for name, value in turn.settings.items())
            lines.append(f"branch.turn({settings})")
    lines += [
        f"branch.train({branch.state.progress.step})",
        'save_file(branch.state.model.state_dict(), "again.safetensors")',
        "",
    ]
    return "\n".join(lines)


def _beginning(branch: Branch) -> list[str]:
    """The branch before its first step here."""
    if branch.follows:
        return [f"branch = Following(open_run({branch.follows!r})).branch"]
    network, recipe = branch.began
    if branch.weights:
        call = f"with_weights({branch.name!r}, open_run({branch.weights!r}), recipe, splits)"
    else:
        call = f"begun({branch.name!r}, network, recipe, splits)"
    return [
        f"NETWORK = {_quoted(str(network))}",
        f"RECIPE = {_quoted(to_toml(recipe))}",
        "",
        "network, recipe = read(NETWORK), from_toml(RECIPE)",
        f"splits = load({branch.splits.source!r}, input=network.input, resize=recipe.resize,",
        "              validation=recipe.validation)",
        f"branch = {call}",
    ]


def _quoted(text: str) -> str:
    """A text over lines as Python writes it, whatever it holds."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"""\\\n{escaped}\n"""'
