"""Prints the template as CloudFormation sees it after the SAM transform, as JSON.

`cargo xtask check` looks at that, since SAM makes rules, permissions and event source mappings of its own,
and would make roles. Runs inside the `tools` environment, and calls nobody.
"""

import json
import sys

from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from samtranslator.yaml_helper import yaml_parse


def expand(path):
    with open(path, encoding="utf-8") as template:
        content = yaml_parse(template.read())
    for resource in content["Resources"].values():
        properties = resource.get("Properties", {})
        # `sam build` puts the address of the package here; the translator takes nothing but one.
        if resource["Type"] == "AWS::Serverless::Function":
            properties["CodeUri"] = "s3://packages/function"
    # The map would name AWS's managed policies, if a function asked for one.
    return Translator({}, Parser()).translate(content, parameter_values={})


if __name__ == "__main__":
    json.dump(expand(sys.argv[1]), sys.stdout, indent=1, sort_keys=True)
