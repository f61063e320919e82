// Counts the words of a text.

#include "step_plugin.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static const char DESCRIBE[] =
    "{\"name\":\"{{name}}\",\"version\":\"0.1.0\",\"kind\":\"step\","
    "\"summary\":\"Counts the words of a text.\","
    "\"input\":{\"type\":\"object\",\"properties\":{\"text\":{\"type\":\"string\"}},"
    "\"required\":[\"text\"],\"additionalProperties\":false},"
    "\"output\":{\"type\":\"object\",\"properties\":{\"words\":{\"type\":\"integer\"}},"
    "\"required\":[\"words\"]}}";

void exports_flow_plugin_meta_describe(exports_flow_plugin_meta_json_t *ret) {
  step_plugin_string_dup(ret, DESCRIBE);
}

// The input was held against the schema: it is {"text":"…"}, with escapes by `\`. Of a C library
// for JSON, `cJSON` is one file.
static size_t words_of(const uint8_t *json, size_t len) {
  size_t words = 0, quotes = 0;
  bool inside = false;
  for (size_t i = 0; i < len; i++) {
    bool escape = json[i] == '\\' && i + 1 < len;
    if (json[i] == '"') {
      quotes++;
      inside = false;
      continue;
    }
    bool space = json[i] == ' ' || (escape && strchr("ntrf", json[i + 1]));
    if (quotes == 3 && !space && !inside) words++;
    inside = quotes == 3 && !space;
    if (escape) i++;
  }
  return words;
}

bool exports_flow_plugin_step_run(exports_flow_plugin_step_context_t *context,
                                  exports_flow_plugin_step_json_t *input,
                                  exports_flow_plugin_step_list_part_t *parts,
                                  exports_flow_plugin_step_output_t *ret,
                                  exports_flow_plugin_step_error_t *err) {
  (void)context, (void)parts, (void)err;
  size_t words = words_of(input->ptr, input->len);
  char digits[24];
  size_t at = sizeof digits;
  digits[--at] = '\0';
  do digits[--at] = (char)('0' + words % 10);
  while (words /= 10);
  char json[48] = "{\"words\":";
  strcat(json, digits + at);
  strcat(json, "}");
  step_plugin_string_dup(&ret->value, json);
  ret->parts.ptr = NULL;
  ret->parts.len = 0;
  return true;
}
