"""Teaches the emulator two condition keys of DynamoDB.

On AWS a policy can say which partitions a request may name (`dynamodb:LeadingKeys`) and which attributes it may
write or look at (`dynamodb:Attributes`). Our roles do, see docs/rights.md. The emulator knows neither key for
writes, and a condition on a key that is not there holds: without this nothing would be refused here, and
nobody would notice before AWS that a new attribute is missing in the template.
"""

import json
import re

from ministack.core import iam_actions, iam_evaluator

EXPRESSIONS = ("UpdateExpression", "ConditionExpression", "ProjectionExpression")
# A path of an expression, of which the first part is the attribute. It begins with `#` where it is a placeholder
# and with `:` where it is one of a value.
PATH = re.compile(r"[:#\w][\w.#\[\]]*")
# The partition that a query names. Every table of ours calls it `pk`.
QUERIED = re.compile(r"\bpk\s*=\s*(:\w+)")
NO_ATTRIBUTES = frozenset(
    "set add remove delete and or not in between attribute_exists attribute_not_exists attribute_type begins_with"
    " contains size if_not_exists list_append".split()
)


def keys_of_item(request):
    """Both keys of a request for one item, or of one part of a transaction."""
    item = request.get("Item") or request.get("Key") or {}
    names = request.get("ExpressionAttributeNames") or {}
    attributes = {*item, *request.get("AttributeUpdates", ()), *request.get("Expected", ())}
    for expression in EXPRESSIONS:
        for path in PATH.findall(request.get(expression) or ""):
            first = re.split(r"[.\[]", path)[0]
            if not (first.startswith(":") or first.isdigit() or first.lower() in NO_ATTRIBUTES):
                attributes.add(names.get(first, first))
    keys = {"dynamodb:Attributes": sorted(attributes)} if attributes else {}
    partition = item.get("pk", {}).get("S")
    if queried := QUERIED.search(request.get("KeyConditionExpression") or ""):
        partition = (request.get("ExpressionAttributeValues") or {}).get(queried[1], {}).get("S")
    return {**keys, "dynamodb:LeadingKeys": [partition]} if partition else keys


class ActionOnItem(str):
    """The action of one part of a transaction. It brings its keys along, past code that knows only the action."""

    keys: dict


def teach():
    service_context = iam_actions.dynamodb_service_context
    transaction_checks = iam_actions.dynamodb_transaction_checks
    enforce = iam_evaluator.enforce

    def context_of_request(body):
        request = json.loads(body or b"{}")
        return service_context(body) | keys_of_item(request)

    def checks_of_transaction(action, body, region, account):
        checks = transaction_checks(action, body, region, account)
        parts = [part for item in json.loads(body)["TransactItems"] for part in item.values()] if checks else []
        tagged = []
        for part, (name, table) in zip(parts, checks, strict=True):
            name = ActionOnItem(name)
            name.keys = keys_of_item(part)
            tagged.append((name, table))
        return tagged

    def enforce_with_keys(key, action, *rest, service_context=None, **more):
        context = (service_context or {}) | getattr(action, "keys", {})
        return enforce(key, action, *rest, service_context=context, **more)

    iam_actions.dynamodb_service_context = context_of_request
    iam_actions.dynamodb_transaction_checks = checks_of_transaction
    iam_evaluator.enforce = enforce_with_keys
