// Counts the words of a text.

import log from "flow:plugin/log@0.1.0";

export const meta = {
  describe() {
    return JSON.stringify({
      name: "{{name}}",
      version: "0.1.0",
      kind: "step",
      summary: "Counts the words of a text.",
      input: {
        type: "object",
        properties: { text: { type: "string", description: "The text." } },
        required: ["text"],
        additionalProperties: false,
      },
      output: {
        type: "object",
        properties: { words: { type: "integer" } },
        required: ["words"],
      },
    });
  },
};

export const step = {
  run(context, input, parts) {
    const { text } = JSON.parse(input);
    const words = text.split(/\s+/).filter((word) => word).length;
    log.emit("debug", `counted ${words} words`, "{}");
    return { value: JSON.stringify({ words }), parts: [] };
  },
};

// An error: throw failed("invalid-input", "the text is empty").
function failed(code, message) {
  return { code, message, retryable: false, retryAfterMs: null, extra: "{}" };
}
