"""Reads every export of one commit with the tool that it is for, and compares with what went in.

Usage: readers.py FOLDER, where readers.rs has written the exports and expected.json.
"""

import json
import sys
from collections import Counter
from pathlib import Path

folder = Path(sys.argv[1])
expected = json.loads((folder / "expected.json").read_text())
LABELS = expected["labels"]
BY_LABEL = expected["by_label"]


def check(what, found, wanted):
    if found != wanted:
        sys.exit(f"{what}: found {found!r}, wanted {wanted!r}")


def json_lines():
    import pandas

    frame = pandas.read_json(folder / "rows.jsonl", lines=True)
    check("rows", len(frame), expected["rows"])
    check("statuses", dict(Counter(frame["status"])), expected["by_status"])
    complete = frame[frame["status"] == "complete"]
    check("labels", dict(Counter(complete["label"])), BY_LABEL)
    check("votes", sum(map(len, frame["votes"])), expected["votes"])


def csv():
    import pandas

    # Without the last argument pandas takes labels such as NA for nothing.
    frame = pandas.read_csv(folder / "rows.csv", keep_default_na=False)
    check("rows", len(frame), expected["rows"])
    check("statuses", dict(Counter(frame["status"])), expected["by_status"])
    complete = frame[frame["status"] == "complete"]
    check("label of each", dict(zip(complete["image"], complete["label"])), expected["label_of"])
    check("votes", int(frame[["votes", "abstentions", "late"]].to_numpy().sum()), expected["votes"])


def parquet():
    import pyarrow.parquet

    file = pyarrow.parquet.ParquetFile(folder / "rows.parquet")
    table = file.read()
    check("rows", table.num_rows, expected["rows"])
    check("types", [str(table.schema.field(name).type) for name in ["image", "width", "confidence", "decided_at"]],
          ["string", "uint32", "double", "timestamp[ms, tz=UTC]"])
    rows = table.to_pylist()
    check("label of each", {row["image"]: row["label"] for row in rows if row["status"] == "complete"},
          expected["label_of"])
    lines = {}
    with open(folder / "rows.jsonl", encoding="utf-8") as file:
        for line in file:
            line = json.loads(line)
            lines[line["image"]] = line
    for row in rows:
        line = lines[row["image"]]
        for name in ["names", "uri", "object_version", "bytes", "media_type", "width", "confidence", "reason", "detail"]:
            check(f"{name} of {row['image']}", row[name], line.get(name))
        votes = [(v["operator"], v["label"], v["abstain"], v["elapsed_ms"], v["weight"], v["late"]) for v in row["votes"]]
        lines_votes = [(v["operator"], v.get("label"), v.get("abstain"), v.get("elapsed_ms"), v.get("weight"),
                        v.get("late", False)) for v in line["votes"]]
        check(f"votes of {row['image']}", votes, lines_votes)


def manifest():
    labels = Counter()
    lines = (folder / "output.manifest").read_text(encoding="utf-8").splitlines()
    check("lines", len(lines), expected["pictures"])
    for line in map(json.loads, lines):
        keys = set(line)
        if keys == {"source-ref"}:
            continue
        check("keys", keys, {"source-ref", "label", "label-metadata"})
        metadata = line["label-metadata"]
        check("metadata", set(metadata),
              {"class-name", "confidence", "type", "job-name", "human-annotated", "creation-date"})
        check("the number", LABELS[line["label"]], metadata["class-name"])
        labels[metadata["class-name"]] += 1
    check("labels", dict(labels), BY_LABEL)


def label_studio():
    import pandas
    from label_studio_sdk.converter import Converter
    from label_studio_sdk.label_interface import LabelInterface

    from xml.sax.saxutils import quoteattr

    choices = "".join(f"<Choice value={quoteattr(label)}/>" for label in LABELS)
    config = ('<View><Image name="image" value="$image"/><Choices name="choice" toName="image" choice="single">'
              f"{choices}</Choices></View>")
    tasks = json.loads((folder / "label-studio.json").read_text(encoding="utf-8"))
    check("tasks", len(tasks), expected["pictures"])
    interface = LabelInterface(config)
    decisions = Counter()
    for task in tasks:
        check("a task", interface.validate_task({"data": task["data"]}), True)
        for annotation in task["annotations"]:
            check("an annotation", interface.validate_annotation(annotation), True)
        for prediction in task["predictions"]:
            check("a prediction", interface.validate_prediction(prediction), True)
            if prediction["model_version"].startswith("lambel-consensus:"):
                decisions[prediction["result"][0]["value"]["choices"][0]] += 1
    check("decisions", dict(decisions), BY_LABEL)
    # The converter makes a line for each annotation that was not cancelled.
    converter = Converter(config=config, project_dir=None, download_resources=False)
    out = folder / "converted"
    converter.convert(str(folder / "label-studio.json"), str(out), "CSV", is_dir=False)
    frame = pandas.read_csv(out / "result.csv", keep_default_na=False)
    check("votes of people", dict(Counter(frame["choice"])), expected["votes_of_people"])


def coco():
    from pycocotools.coco import COCO

    coco = COCO(str(folder / "coco.json"))
    check("images", len(coco.getImgIds()), expected["pictures"])
    names = {category["id"]: category["name"] for category in coco.loadCats(coco.getCatIds())}
    check("categories", [names[id] for id in sorted(names)], LABELS)
    found = {name: len(coco.getAnnIds(catIds=[id])) for id, name in names.items()}
    check("annotations", {name: count for name, count in found.items() if count}, BY_LABEL)
    label_of = {}
    for annotation in coco.loadAnns(coco.getAnnIds()):
        image = coco.loadImgs([annotation["image_id"]])[0]
        label_of[image["sha256"]] = names[annotation["category_id"]]
    check("label of each", label_of, expected["label_of"])


def image_folder():
    import datasets

    def load(name):
        return datasets.load_dataset("imagefolder", data_dir=str(folder / name), cache_dir=str(folder / "cache"))["train"]

    with_metadata = load("with-metadata")
    check("pictures", len(with_metadata), expected["pictures"])
    found = {row["sha256"]: row["label"] for row in with_metadata if row["label"] is not None}
    check("label of each", found, expected["label_of"])
    check("the size of a picture", with_metadata[0]["image"].size, (32, 32))

    by_class = load("by-class")
    names = by_class.features["label"].names
    check("pictures with a label", len(by_class), sum(BY_LABEL.values()))
    folders = {"cow, \"spotted\"": "cow, _spotted_", "ä=1/2": "ä=1_2"}
    found = Counter(names[label] for label in by_class["label"])
    check("labels", dict(found), {folders.get(label, label): count for label, count in BY_LABEL.items()})


for reader in [json_lines, csv, parquet, manifest, label_studio, coco, image_folder]:
    reader()
    print(f"read back: {reader.__name__}", flush=True)
