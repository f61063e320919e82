"""Counts the words of a text."""

import json

from wit_world import exports
from wit_world.exports.step import Output
from wit_world.imports import log


class Meta(exports.Meta):
    def describe(self):
        return json.dumps({
            "name": "{{name}}",
            "version": "0.1.0",
            "kind": "step",
            "summary": "Counts the words of a text.",
            "input": {
                "type": "object",
                "properties": {"text": {"type": "string", "description": "The text."}},
                "required": ["text"],
                "additionalProperties": False,
            },
            "output": {
                "type": "object",
                "properties": {"words": {"type": "integer"}},
                "required": ["words"],
            },
        })


class Step(exports.Step):
    def run(self, ctx, input, parts):
        words = len(json.loads(input)["text"].split())
        log.emit("debug", f"counted {words} words", "{}")
        return Output(json.dumps({"words": words}), [])
