"""Holds `lambel consensus aggregate` beside crowd-kit on the same votes, in one run: time, memory, accuracy.

    cargo build --release -p lambel-cli
    python3 bench/crowd_kit.py VOTES.csv [TRUTH.csv]

crowd-kit is installed into an environment of its own, `.lambel/venv/crowd-kit`. Each program runs in a process of
its own, three times, in turn; what is shown is the fastest run, and the peak of its resident memory. The time of
crowd-kit alone, without starting Python, importing it and reading the file, is shown too. Without a file the votes
are made up: 10,000 items, 2,571 annotators, 511,000 votes, 10 labels.
"""

import csv
import json
import os
import random
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = ROOT / ".lambel" / "venv" / "crowd-kit"
PIN = "crowd-kit==1.4.2"
RUNS = 3

THEIRS = """
import json, sys, time
import pandas as pd
from crowdkit.aggregation import DawidSkene, MajorityVote
votes = pd.read_csv(sys.argv[1], dtype=str, keep_default_na=False)
votes = votes.rename(columns={"item": "task", "annotator": "worker"})[["task", "worker", "label"]]
method = {"majority": MajorityVote, "dawid-skene": lambda: DawidSkene(n_iter=20)}[sys.argv[2]]()
start = time.perf_counter()
labels = method.fit_predict(votes)
print(json.dumps({"seconds": time.perf_counter() - start, "labels": labels.to_dict()}))
"""


def install():
    """crowd-kit's own Python, with the version that is pinned."""
    python = ENVIRONMENT / "bin" / "python"
    stamp = ENVIRONMENT / "installed.txt"
    if not (stamp.exists() and stamp.read_text() == PIN and python.exists()):
        venv.create(ENVIRONMENT, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", PIN], check=True)
        stamp.write_text(PIN)
    return python


def make_votes(folder):
    """A crowd of good annotators, with the size and shape of CIFAR-10H."""
    chance = random.Random(1)
    skill = [chance.betavariate(20, 1.1) for _ in range(2_571)]
    votes, truth = folder / "votes.csv", folder / "truth.csv"
    with open(votes, "w", newline="") as file, open(truth, "w", newline="") as truth_file:
        rows, truths = csv.writer(file), csv.writer(truth_file)
        rows.writerow(["item", "annotator", "label"])
        truths.writerow(["item", "truth"])
        for item in range(10_000):
            right = chance.randrange(10)
            truths.writerow([f"{item}.png", right])
            for who in chance.sample(range(len(skill)), 51 + (item % 10 == 0)):
                said = right if chance.random() < skill[who] else chance.randrange(10)
                rows.writerow([f"{item}.png", f"a{who}", said])
    return votes, truth


def measure(command):
    """Runs a command: seconds, peak resident memory in MB, what it printed."""
    with tempfile.TemporaryFile() as out:
        start = time.perf_counter()
        child = subprocess.Popen(command, stdout=out)
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - start
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode != 0:
            raise SystemExit(f"{command[0]} has failed with code {child.returncode}")
        out.seek(0)
        # Linux counts kibibytes, macOS bytes.
        peak = usage.ru_maxrss / (1024 * 1024 if sys.platform == "darwin" else 1024)
        return seconds, peak, out.read().decode()


def accuracy(labels, truth):
    known = [item for item in truth if item in labels]
    return sum(labels[item] == truth[item] for item in known) / max(len(known), 1)


def read_pairs(path, key, value):
    with open(path, newline="") as file:
        return {row[key]: row[value] for row in csv.DictReader(file)}


def main():
    python = install()
    lambel = ROOT / "target" / "release" / "lambel"
    if not lambel.exists():
        raise SystemExit("first: cargo build --release -p lambel-cli")
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        if len(sys.argv) > 1:
            votes, truth = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None
        else:
            votes, truth = make_votes(folder)
        truths = read_pairs(truth, "item", "truth") if truth else {}
        best = {}
        for _ in range(RUNS):
            for method in ["majority", "dawid-skene", "map-em"]:
                out = folder / "labels.csv"
                command = [lambel, "consensus", "aggregate", "--votes", votes, "--method", method, "--out", out]
                seconds, peak, _ = measure(command)
                row = (seconds, peak, None, accuracy(read_pairs(out, "item", "label"), truths))
                best[f"lambel {method}"] = min(row, best.get(f"lambel {method}", row))
                if method == "map-em":
                    continue
                seconds, peak, printed = measure([python, "-c", THEIRS, votes, method])
                answer = json.loads(printed)
                row = (seconds, peak, answer["seconds"], accuracy(answer["labels"], truths))
                best[f"{PIN.replace('==', ' ')} {method}"] = min(row, best.get(f"{PIN.replace('==', ' ')} {method}", row))
        print("| program | whole process, s | of it the method, s | peak memory, MB | accuracy |\n|---|---|---|---|---|")
        for name, (seconds, peak, inner, right) in best.items():
            inner = "" if inner is None else f"{inner:.2f}"
            right = f"{100 * right:.2f} %" if truths else ""
            print(f"| {name} | {seconds:.2f} | {inner} | {peak:.0f} | {right} |")


if __name__ == "__main__":
    main()
