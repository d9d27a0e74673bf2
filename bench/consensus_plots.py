"""Draws what the rules of consensus cost and what they give, for data sets given by their path.

    cargo build --release -p lambel-cli
    python3 bench/consensus_plots.py OUT.svg NAME=VOTES.csv,TRUTH.csv [NAME=VOTES.csv,TRUTH.csv …] [--spammers 0.2]

One panel for each data set: accuracy over votes per image, of `adaptive` along its confidence, of leads and of fixed
majorities. The figures come from `lambel consensus stream`; beside the picture they are printed as a table. The
picture has derived figures only, none of the votes.
"""

import argparse
import json
import subprocess
from pathlib import Path
from xml.sax.saxutils import escape

LAMBEL = Path(__file__).resolve().parent.parent / "target" / "release" / "lambel"
CONFIDENCES = "0.5,0.6,0.7,0.8,0.9,0.95,0.99,0.999"
WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 380, 270, 52, 14, 34, 44
STYLES = {"adaptive": ("#0b6e99", "circle"), "lead": ("#c2571a", "square"), "majority": ("#666666", "cross")}


def stream(votes, truth, spammers, gold):
    command = [LAMBEL, "consensus", "stream", "--votes", votes, "--truth", truth, "--json"]
    command += ["--confidence", CONFIDENCES, "--spammers", str(spammers), "--gold", str(gold)]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


def ticks(low, high, step):
    value = -(-low // step) * step
    while value <= high + 1e-9:
        yield value
        value += step


def panel(name, report, left, top):
    rows = report["rows"]
    most = max(row["votes_per_image"] for row in rows) * 1.05
    low = min(row["accuracy"] for row in rows)
    high = max(row["accuracy"] for row in rows)
    low, high = low - 0.08 * (high - low) - 1e-3, high + 0.08 * (high - low) + 1e-3
    x = lambda votes: left + LEFT + (votes - 1) / (most - 1) * (WIDTH - LEFT - RIGHT)
    y = lambda share: top + HEIGHT - BOTTOM - (share - low) / (high - low) * (HEIGHT - TOP - BOTTOM)
    out = [f'<text x="{left + LEFT}" y="{top + 20}" font-weight="bold">{escape(name)}</text>']
    step = 0.05 if high - low > 0.12 else 0.01
    for share in ticks(low, high, step):
        out.append(f'<line x1="{x(1):.1f}" x2="{x(most):.1f}" y1="{y(share):.1f}" y2="{y(share):.1f}" stroke="#dddddd"/>')
        out.append(f'<text x="{x(1) - 6:.1f}" y="{y(share) + 4:.1f}" text-anchor="end">{100 * share:.0f} %</text>')
    for votes in ticks(1, most, 1):
        out.append(f'<text x="{x(votes):.1f}" y="{top + HEIGHT - BOTTOM + 16}" text-anchor="middle">{votes:.0f}</text>')
    out.append(f'<text x="{x((1 + most) / 2):.1f}" y="{top + HEIGHT - 10}" text-anchor="middle">votes per image</text>')
    for rule, (colour, mark) in STYLES.items():
        of_rule = sorted((row for row in rows if row["rule"] == rule), key=lambda row: row["parameter"])
        points = [(x(row["votes_per_image"]), y(row["accuracy"]), row) for row in of_rule]
        if rule == "adaptive":
            line = " ".join(f"{a:.1f},{b:.1f}" for a, b, _ in points)
            out.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        for a, b, row in points:
            label = f'{rule} {row["parameter"]:g}: {row["votes_per_image"]:.2f} votes, {100 * row["accuracy"]:.1f} %'
            if mark == "circle":
                shape = f'<circle cx="{a:.1f}" cy="{b:.1f}" r="4" fill="{colour}">'
            elif mark == "square":
                shape = f'<rect x="{a - 4:.1f}" y="{b - 4:.1f}" width="8" height="8" fill="{colour}">'
            else:
                shape = f'<path d="M{a - 4:.1f},{b - 4:.1f}l8,8m0,-8l-8,8" stroke="{colour}" stroke-width="2.5" fill="none">'
            out.append(shape + f"<title>{label}</title></{shape[1:].split(' ')[0]}>")
            if rule != "adaptive" or row["parameter"] in (0.9, 0.99):
                out.append(f'<text x="{a + 7:.1f}" y="{b + 12:.1f}" fill="{colour}">{row["parameter"]:g}</text>')
    return out


def draw(reports):
    columns = min(2, len(reports))
    lines = -(-len(reports) // columns)
    width, height = columns * WIDTH, lines * HEIGHT + 24
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        'font-family="sans-serif" font-size="11">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
    ]
    for place, (name, report) in enumerate(reports):
        out += panel(name, report, place % columns * WIDTH, place // columns * HEIGHT)
    left = LEFT
    for rule, text in [("adaptive", "adaptive, by confidence"), ("lead", "lead"), ("majority", "fixed majority")]:
        out.append(f'<text x="{left}" y="{height - 8}" fill="{STYLES[rule][0]}" font-weight="bold">{text}</text>')
        left += 160
    return "\n".join(out + ["</svg>", ""])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("sets", nargs="+", metavar="NAME=VOTES,TRUTH")
    parser.add_argument("--spammers", type=float, default=0.0)
    parser.add_argument("--gold", type=int, default=50)
    args = parser.parse_args()
    reports = []
    for given in args.sets:
        name, files = given.split("=", 1)
        votes, truth = files.rsplit(",", 1)
        reports.append((name, stream(votes, truth, args.spammers, args.gold)))
    args.out.write_text(draw(reports))
    print("| set | rule | votes per image | accuracy | calibration error | after gold |\n|---|---|---|---|---|---|")
    for name, report in reports:
        for row in report["rows"]:
            after = f'{100 * row["calibrated_error"]:.1f} %' if "calibrated_error" in row else ""
            print(
                f'| {name} | {row["rule"]} {row["parameter"]:g} | {row["votes_per_image"]:.2f} | '
                f'{100 * row["accuracy"]:.2f} % | {100 * row["calibration_error"]:.1f} % | {after} |'
            )
        saving = report.get("at_majority_of_5")
        if saving:
            print(f'| {name} | as a majority of 5 | {saving["votes_per_image"]:.2f} | {100 * saving["saved"]:.0f} % saved | | |')


if __name__ == "__main__":
    main()
