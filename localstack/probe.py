"""Asks the interface of the local cloud good and bad things of every kind, as each role: `cargo xtask probe`.

Tasks in every state are made first, and their ids are given to schemathesis, since no chance would ever find
one. Then schemathesis runs once for each role, all roles at the same time: the pace of a run is that of one
caller, not that of the machine. What came back is counted, and a run in which a role never came in, or came in
where it must not, has failed as well.

Everything that tells one run from another comes from the environment; tokens never stand on a command line.
"""

import argparse
import base64
import collections
import hashlib
import json
import os
import re
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import requests

HERE = Path(__file__).resolve().parent
# A machine is the one with the scope of a client; a stranger has an account and is in no group.
ROLES = ["client", "operator", "admin", "machine", "stranger", "nobody"]
# A target for webhooks: of this machine, which the local cloud allows, at a port at which nobody listens.
TARGET = "http://127.0.0.1:9/hook"
# Who is let in nowhere need not be asked each limit of each field.
LET_IN_NOWHERE = ["stranger", "nobody"]


LOG_CURSOR = "msg_019aa5a05c1e80be2ca64eef1f7aa759f498.001795250820000"


class Api:
    """The interface, as one account sees it."""

    def __init__(self, cloud, token=None):
        self.url = cloud["api_url"]
        self.token = token

    def call(self, method, path, body=None):
        headers = {"authorization": f"Bearer {self.token}"}
        answer = requests.request(method, self.url + path, headers=headers, json=body, timeout=20)
        if not answer.ok:
            sys.exit(f"preparing failed: {method} {path}: {answer.status_code} {answer.text}")
        return answer.json()


def sign_in(config, account):
    """The ID token of a person."""
    answer = requests.post(
        config["sign_in_endpoint"],
        headers={
            "content-type": "application/x-amz-json-1.1",
            "x-amz-target": "AWSCognitoIdentityProviderService.InitiateAuth",
        },
        json={
            "AuthFlow": "USER_PASSWORD_AUTH",
            "ClientId": config["user_pool_client_id"],
            "AuthParameters": {"USERNAME": account["name"], "PASSWORD": account["password"]},
        },
        timeout=20,
    )
    answer.raise_for_status()
    return answer.json()["AuthenticationResult"]["IdToken"]


def sign_in_machine(config, machine):
    """The access token of a machine."""
    answer = requests.post(
        config["token_endpoint"],
        auth=(machine["client_id"], machine["client_secret"]),
        data={"grant_type": "client_credentials"},
        timeout=20,
    )
    answer.raise_for_status()
    return answer.json()["access_token"]


def subject(token):
    """Whom a token is of."""
    claims = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["sub"]


def picture(n):
    """A small PNG that is like no other."""

    def chunk(kind, data):
        check = zlib.crc32(kind + data)
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)

    shade = bytes([n % 256, n // 256 % 256, 99])
    rows = b"".join(b"\0" + shade * 16 for _ in range(16))
    head = struct.pack(">IIBBBBB", 16, 16, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def wait_for(what, look):
    deadline = time.monotonic() + 60
    while not look():
        if time.monotonic() > deadline:
            sys.exit(f"preparing failed: waited 60 s in vain: {what}")
        time.sleep(0.2)


def make_task(client, quorum=2):
    task = {"name": "probe", "labels": ["cat", "dog"], "policy": {"quorum": quorum, "lease_seconds": 43200}}
    return client.call("POST", "/api/tasks", task)["task"]


def make_webhook(client, task):
    hook = {"url": TARGET, "kinds": ["task.complete"]}
    return client.call("POST", f"/api/tasks/{task}/webhooks", hook)["webhook"]


def fill(client, task, pictures):
    files = [
        {"name": f"{n}.png", "bytes": len(p), "media_type": "image/png", "sha256": hashlib.sha256(p).hexdigest()}
        for n, p in enumerate(pictures)
    ]
    # One that never comes.
    missing = {**files[0], "name": "missing.png", "sha256": hashlib.sha256(task.encode()).hexdigest()}
    grants = client.call("POST", f"/api/tasks/{task}/uploads", {"files": [*files, missing]})["files"]
    for grant, content in zip(grants, pictures):
        headers = {header["name"]: header["value"] for header in grant["headers"]}
        requests.put(grant["url"], data=content, headers=headers, timeout=20).raise_for_status()
    images = [file["sha256"] for file in files]

    def is_open():
        found = client.call("GET", f"/api/tasks/{task}/images?state=open")["images"]
        return len(found) == len(images)

    wait_for("every picture is open", is_open)
    return images


def prepare(client, claimer, labeller, spare):
    """A task in every state, and some to be changed at will."""
    pictures = [picture(n) for n in range(12)]
    states = {}
    for state in ["open", "sealed", "complete", "cancelled"]:
        task = states[state] = make_task(client, quorum=1 if state == "complete" else 2)
        images = fill(client, task, pictures)
        if state in ("sealed", "complete"):
            client.call("POST", f"/api/tasks/{task}/seal", {"images": len(images)})
        if state == "cancelled":
            client.call("DELETE", f"/api/tasks/{task}")
        else:
            who = labeller if state == "complete" else claimer
            claimed = who.call("POST", "/api/subtasks/claims", {"task": task, "count": 8 if who is claimer else 12})
            if state == "open":
                labeller.call("POST", "/api/subtasks/claims", {"task": task, "count": 1})
            if state == "complete":
                votes = [{"task": task, "image": one["image"], "label": "cat"} for one in claimed["subtasks"]]
                labeller.call("POST", "/api/subtasks/labels", {"votes": votes})
    complete = states["complete"]
    wait_for("a task is complete", lambda: client.call("GET", f"/api/tasks/{complete}")["state"] == "complete")
    versions = f"/api/tasks/{complete}/dataset"
    wait_for("its data set has a version", lambda: "live" in json.dumps(client.call("GET", f"{versions}/refs")))
    export = client.call("POST", f"{versions}/exports", {"version": "live", "format": "csv"})["export"]
    client.call("PUT", f"{versions}/commits/live/notes/checked", {"value": "by hand"})
    # The last report on its operators.
    wait_for("its operators are known", lambda: client.call("GET", f"/api/tasks/{complete}/operators")["operators"])
    spare = [make_task(client) for _ in range(spare)]
    return {
        "tasks": list(states.values()),
        "open": [states["open"]],
        "complete": [complete],
        "versions": ["live"],
        "branches": ["live", "released"],
        "exports": [export],
        "notes": ["checked"],
        "workers": [subject(labeller.token)],
        "spare": spare,
        "webhooks": [make_webhook(client, states["open"]) for _ in range(5)],
        "spare_webhooks": [make_webhook(client, task) for task in spare for _ in range(3)],
        "urls": [TARGET],
        "images": images,
        # A cursor of each kind: of tasks, of images, of file names, of a trail, of the log of a webhook.
        "cursors": [states["open"], images[5], f"{images[5]}/5.png", "1795250820120001", "0", LOG_CURSOR],
    }


def write_config(path, ids, with_token):
    lines = [(HERE / "probe.toml").read_text()]
    if with_token:
        # In the environment and not here, so that it lies in no file.
        lines += ["[auth.openapi.token]", 'bearer = "${LAMBEL_PROBE_TOKEN}"']
    for name, values in ids.items():
        lines += [f"[dictionaries.{name}]", f"values = {json.dumps(values)}"]

    def bind(keys):
        return [f'"{key}" = {{ dictionary = "{name}", probability = {often} }}' for key, name, often in keys]

    lines += ["[parameters]"]
    lines += bind(
        [
            ("path.task", "tasks", 0.8),
            ("path.image", "images", 0.7),
            ("path.webhook", "webhooks", 0.8),
            ("body.url", "urls", 0.5),
            ("path.operator", "operators", 0.7),
            ("query.cursor", "cursors", 0.3),
            ("body.task", "tasks", 0.6),
            ("body.votes[*].task", "tasks", 0.7),
            ("body.votes[*].image", "images", 0.7),
            ("body.votes[*].label", "labels", 0.6),
            ("body.subtasks[*].task", "tasks", 0.7),
            ("body.subtasks[*].image", "images", 0.7),
        ]
    )
    # What changes a task for good gets tasks that are there for it: the others shall keep their state.
    for operation in ["DELETE /api/tasks/{task}", "POST /api/tasks/{task}/seal"]:
        lines += ["[[operations]]", f"include-name = {json.dumps(operation)}", "[operations.parameters]"]
        lines += bind([("path.task", "spare", 0.8)])
    # A version, an export and a report there are only of the task that is complete; who is paused in a task has to have
    # been at it.
    data_set = ("path.task", "complete", 0.8)
    worker = ("path.operator", "workers", 0.8)
    bound = {
        "GET /api/tasks/{task}/dataset/blame": [data_set, ("query.image", "images", 0.8), ("query.at", "versions", 0.8)],
        "GET /api/tasks/{task}/dataset/commits/{version}": [data_set, ("path.version", "versions", 0.8)],
        "GET /api/tasks/{task}/dataset/commits/{version}/notes": [data_set, ("path.version", "versions", 0.8)],
        "GET /api/tasks/{task}/dataset/commits/{version}/notes/{key}": [
            data_set,
            ("path.version", "versions", 0.8),
            ("path.key", "notes", 0.8),
        ],
        "PUT /api/tasks/{task}/dataset/commits/{version}/notes/{key}": [data_set, ("path.version", "versions", 0.8)],
        "GET /api/tasks/{task}/dataset/diff": [data_set, ("query.a", "versions", 0.9), ("query.b", "versions", 0.9)],
        "GET /api/tasks/{task}/dataset/exports/{export}": [data_set, ("path.export", "exports", 0.8)],
        "GET /api/tasks/{task}/dataset/log": [data_set, ("query.from", "versions", 0.8)],
        "POST /api/tasks/{task}/dataset/exports": [data_set, ("body.version", "versions", 0.8)],
        "POST /api/tasks/{task}/dataset/release": [data_set, ("body.version", "versions", 0.9)],
        "POST /api/tasks/{task}/dataset/rollback": [
            data_set,
            ("body.version", "versions", 0.9),
            ("body.branch", "branches", 0.9),
        ],
        "POST /api/tasks/{task}/dataset/tags": [data_set, ("body.version", "versions", 0.9)],
        "GET /api/tasks/{task}/operators/{operator}": [data_set, worker],
        "PUT /api/tasks/{task}/operators/{operator}/pause": [("path.task", "open", 0.8), worker],
        "DELETE /api/tasks/{task}/operators/{operator}/pause": [("path.task", "open", 0.8), worker],
    }
    for operation, keys in bound.items():
        lines += ["[[operations]]", f"include-name = {json.dumps(operation)}", "[operations.parameters]"]
        lines += bind(keys)
    lines += ["[[operations]]", 'include-name = "DELETE /api/webhooks/{webhook}"', "[operations.parameters]"]
    lines += bind([("path.webhook", "spare_webhooks", 0.8)])
    path.write_text("\n".join(lines) + "\n")


def operation_of(document, method, path):
    """The operation that a request was for, or None."""
    for template, methods in document["paths"].items():
        if method.lower() in methods and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path):
            return f"{method} {template}"
    return None


def count(har, document, base):
    """How often each operation answered with which status."""
    seen = collections.defaultdict(collections.Counter)
    for entry in json.loads(har.read_text())["log"]["entries"]:
        method, url = entry["request"]["method"], entry["request"]["url"]
        path = url.removeprefix(base).split("?")[0]
        seen[operation_of(document, method, path) or "(something else)"][entry["response"]["status"]] += 1
    return seen


def read_report(path):
    """What schemathesis says of its run; None if it did not come to that."""
    try:
        return json.loads(path.read_text())
    except (OSError, json.JSONDecodeError):
        return None


def judge(role, seen):
    """What is wrong with the answers of a run, beyond what schemathesis sees."""
    wrong = []
    own = {
        "client": ["/api/tasks", "/api/webhooks"],
        "operator": ["/api/subtasks"],
        "admin": ["/api/tasks", "/api/webhooks", "/api/operators"],
        "machine": ["/api/tasks", "/api/webhooks"],
        "stranger": [],
        "nobody": [],
    }[role]
    for operation, statuses in seen.items():
        well = sum(n for status, n in statuses.items() if 200 <= status < 300)
        mine = any(f" {prefix}" in operation for prefix in own)
        if operation != "(something else)" and mine and not well:
            wrong.append(f"{operation} never did what it is there for")
        if operation != "(something else)" and not mine and well:
            wrong.append(f"{operation} did something")
        if any(status >= 500 or status < 100 for status in statuses):
            wrong.append(f"{operation} answered with {sorted(statuses)}")
        if statuses[429] * 2 > sum(statuses.values()):
            wrong.append(f"{operation} answered with 429 mostly: the pace is too fast")
    if role == "nobody" and any(set(statuses) - {401, 404, 405} for name, statuses in seen.items() if " /api" in name):
        wrong.append("nobody got further than the gate")
    return wrong


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--examples", type=int, required=True)
    parser.add_argument("--role", action="append", choices=ROLES)
    args = parser.parse_args()
    cloud = json.loads(Path(os.environ["LAMBEL_CLOUD"]).read_text())
    out = Path(os.environ["LAMBEL_PROBE_DIR"])
    out.mkdir(parents=True, exist_ok=True)
    config = requests.get(f"{cloud['api_url']}/config.json", timeout=20).json()
    accounts = {account["name"]: account for account in cloud["accounts"]}
    machines = {machine["name"]: machine for machine in cloud["machines"]}
    stranger = json.loads(os.environ["LAMBEL_PROBE_STRANGER"])
    api = {
        "client": Api(cloud, sign_in(config, accounts["client"])),
        "operator": Api(cloud, sign_in(config, accounts["operator-1"])),
        "admin": Api(cloud, sign_in(config, accounts["admin"])),
        "machine": Api(cloud, sign_in_machine(config, machines["pipeline"])),
        "stranger": Api(cloud, sign_in(config, stranger)),
        "nobody": Api(cloud),
    }
    labeller = Api(cloud, sign_in(config, accounts["operator-2"]))
    document = requests.get(f"{cloud['api_url']}/openapi.json", timeout=20).json()
    base = cloud["api_url"]

    running = {}
    for role in args.role or ROLES:
        makes_tasks = role in ("client", "admin", "machine")
        owner = api[role] if makes_tasks else api["client"]
        ids = prepare(owner, api["operator"], labeller, spare=10 if makes_tasks else 1)
        ids["labels"] = ["cat", "dog"]
        # Not the operators of this run: a paused one would see nothing but that.
        ids["operators"] = ["probe-a", "probe-b", "model:tiny@1"]
        settings = out / f"{role}.toml"
        write_config(settings, ids, api[role].token)
        command = [Path(sys.executable).with_name("st"), "--config-file", settings, "--no-color", "run"]
        command += [f"{base}/openapi.json", "--url", base, "--seed", str(args.seed)]
        command += ["--max-examples", str(args.examples), "--report-har-path", out / f"{role}.har"]
        command += ["--report-json-path", out / f"{role}.json"]
        if role in LET_IN_NOWHERE:
            command += ["--phases", "examples,fuzzing"]
        log = (out / f"{role}.log").open("w")
        environment = {**os.environ, "LAMBEL_PROBE_TOKEN": api[role].token or ""}
        environment["SCHEMATHESIS_HOOKS"] = "probe_hooks"
        environment["PYTHONPATH"] = str(HERE)
        environment["LAMBEL_PROBE_IDS"] = json.dumps(ids)
        running[role] = subprocess.Popen(
            list(map(str, command)), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=out, env=environment
        )
    started = time.monotonic()
    failed = []
    print(f"{'role':<10}{'operations':>11}{'cases':>7}{'failures':>10}{'seconds':>9}  answers")
    for role, process in running.items():
        try:
            process.wait(max(1, args.seconds - (time.monotonic() - started)))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            failed.append(f"{role}: not done after {args.seconds} s")
            continue
        report = read_report(out / f"{role}.json")
        if not report:
            failed.append(f"{role}: schemathesis ended with {process.returncode}, see {out / f'{role}.log'}")
            continue
        seen = count(out / f"{role}.har", document, base)
        (out / f"{role}.counts").write_text("".join(f"{name}: {dict(sorted(seen[name].items()))}\n" for name in sorted(seen)))
        wrong = [f"{one['title']}: {', '.join(one['operations'])}" for one in report["failures"]]
        wrong += [f"schemathesis failed: {one}" for one in report["errors"]]
        wrong += judge(role, seen)
        if report["operations"]["tested"] < report["operations"]["total"] or report["stop_reason"] != "completed":
            wrong.append("not every operation was asked")
        if process.returncode and not wrong:
            wrong.append(f"schemathesis ended with {process.returncode}")
        total = sum((statuses for statuses in seen.values()), collections.Counter())
        answers = " ".join(f"{status}:{total[status]}" for status in sorted(total))
        tested, cases = report["operations"]["tested"], report["test_cases"]
        seconds = report["running_time"]
        print(f"{role:<10}{tested:>11}{cases['generated']:>7}{len(wrong):>10}{seconds:>9.0f}  {answers}")
        failed += [f"{role}: {what}" for what in wrong]
        if wrong:
            failed.append(f"{role}: what was asked is in {out / role}.log, .counts and .har")
    for what in failed:
        print(f"FAIL {what}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
