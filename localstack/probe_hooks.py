"""What schemathesis is told about the interface that the OpenAPI document cannot say: `SCHEMATHESIS_HOOKS` names this
file, see probe.py."""

import itertools
import json
import os
import re
from urllib.parse import unquote

import schemathesis

# An id with one of these in it makes the address of something else: the gateway decodes the path before it hands
# it on, so `a%2Faudit` is what is below `a`. Such an answer says nothing about the operation that was meant.
# crates/lambel-http/tests/hostile.rs tries them one by one.
ELSEWHERE = "/?#"

# Requests that have the right shape and are refused all the same, each for a reason that a schema has no words for,
# or none that a reader would understand. Everything else that fits the document has to be taken.
BEYOND_THE_DOCUMENT = [
    # A cursor is a word of the interface to itself, and what it looks like is nobody else's business.
    r"cursor: this is not a cursor",
    # Compares two fields of the request.
    r"policy: max_labels is \d+ to \d+, not \d+",
    # Which fields go with which rule; said in words, for the reason given for audiences below.
    r"policy: \w+ does not belong to the rule `\w+`",
    # What a target may be: which hosts, ports and addresses, and what a URL is at all.
    r"url: .*",
    r"policy: release_min_confidence says nothing without release_when",
    # Which options go with which format: in words, as with the rules.
    r"options\.\w+: `[\w-]+` has no such option",
    # Looks at what is there.
    r"(version|from|at|a|b): behind `~` stands .*",
    r"(version|from|at|a|b): several versions begin with these digits.*",
    # How long a note is as JSON.
    r"value: a note has \d+ bytes of JSON at most, .*",
    # Blanks at both ends do not count.
    r"message: 1 to 1000 characters, .*",
    # The sum of lengths.
    r"labels: .*bytes",
    # Said in words: a schema of alternatives would come out as two types in every client that is made from it.
    r"audience: either `everyone` is true, or `operators` or `teams` name at least one",
]

# A task id that schemathesis has made up out of the document.
MADE_UP = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
IDS = json.loads(os.environ["LAMBEL_PROBE_IDS"])
SPARE = itertools.cycle(IDS["spare"])
SPARE_WEBHOOKS = itertools.cycle(IDS["spare_webhooks"])
OPEN = IDS["tasks"][0]
CHANGES_FOR_GOOD = {("DELETE", "/api/tasks/{task}"), ("POST", "/api/tasks/{task}/seal")}


@schemathesis.hook
def filter_case(context, case):
    ids = [unquote(str(value)) for value in (case.path_parameters or {}).values()]
    return not any(value in ("", ".", "..") or set(value) & set(ELSEWHERE) for value in ids)


@schemathesis.hook
def before_call(context, case, kwargs):
    """Gives the tests of limits a task that is there. They are made from the document alone, without dictionaries,
    and what is behind a task that is not there would never be reached."""
    if not case.meta or case.meta.phase.name.value != "coverage":
        return
    task = (case.path_parameters or {}).get("task")
    if isinstance(task, str) and MADE_UP.fullmatch(task):
        for_good = (case.method.upper(), case.operation.path) in CHANGES_FOR_GOOD
        case.path_parameters["task"] = next(SPARE) if for_good else OPEN
    webhook = (case.path_parameters or {}).get("webhook")
    if isinstance(webhook, str) and MADE_UP.fullmatch(webhook):
        for_good = case.method.upper() == "DELETE"
        case.path_parameters["webhook"] = next(SPARE_WEBHOOKS) if for_good else IDS["webhooks"][0]
    image = (case.path_parameters or {}).get("image")
    if isinstance(image, str) and re.fullmatch(r"[0-9a-f]{64}", image):
        case.path_parameters["image"] = IDS["images"][0]


@schemathesis.hook
def filter_failure(context, failure, case, response):
    if type(failure).__name__ != "RejectedPositiveData" or response.status_code != 422:
        return True
    detail = response.json().get("detail", "")
    return not any(re.fullmatch(known, detail) for known in BEYOND_THE_DOCUMENT)
