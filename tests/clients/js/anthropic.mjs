// anthropic-node: `create` and `.stream()`.
import Anthropic from "@anthropic-ai/sdk";

import { RESULT, TOOLS, serve } from "./lines.mjs";

const FINISHES = { end_turn: "stop", tool_use: "tool_calls", max_tokens: "length", refusal: "content_filter" };

await serve(async ({ url, model, content, stream, loop, schema }) => {
  const client = new Anthropic({ baseURL: url.replace(/\/v1$/, ""), apiKey: "any", maxRetries: 0 });
  const request = {
    model,
    max_tokens: 1000,
    messages: [{ role: "user", content: blocks(content) }],
    tools: TOOLS.map(({ name, description, parameters }) => ({ name, description, input_schema: parameters })),
    ...(schema && { output_config: { format: { type: "json_schema", schema } } }),
  };
  for (;;) {
    const { messages } = client;
    const message = await (stream ? messages.stream(request).finalMessage() : messages.create(request));
    const calls = message.content.filter(({ type }) => type === "tool_use");
    if (!loop || calls.length === 0) return understood(message, calls);
    const results = calls.map(({ id }) => ({ type: "tool_result", tool_use_id: id, content: RESULT }));
    request.messages.push({ role: "assistant", content: message.content }, { role: "user", content: results });
  }
});

function blocks(content) {
  if (typeof content === "string") return content;
  return content.map((part) => {
    if (part.type === "text") return part;
    const { url } = part.image_url;
    const [, media_type, data] = /^data:([\w/]+);base64,(.*)$/s.exec(url) ?? [];
    return { type: "image", source: data === undefined ? { type: "url", url } : { type: "base64", media_type, data } };
  });
}

function understood({ content, stop_reason, usage }, calls) {
  const joined = (type, member) => content.filter((block) => block.type === type).map((block) => block[member]).join("");
  return {
    choices: [
      {
        text: joined("text", "text"),
        reasoning: joined("thinking", "thinking"),
        finish: FINISHES[stop_reason],
        calls: calls.map(({ id, name, input }) => ({ id, name, arguments: input })),
      },
    ],
    usage: [usage.input_tokens, usage.output_tokens, usage.input_tokens + usage.output_tokens],
  };
}
