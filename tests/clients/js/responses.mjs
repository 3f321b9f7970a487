// openai-node asks for responses: `create` and `.stream()`.
import OpenAI from "openai";

import { RESULT, TOOLS, serve } from "./lines.mjs";

await serve(async ({ url, model, content, stream, loop, schema }) => {
  const { responses } = new OpenAI({ baseURL: url, apiKey: "any", maxRetries: 0 });
  const request = {
    model,
    store: false,
    input: [{ role: "user", content: parts(content) }],
    tools: TOOLS.map((tool) => ({ type: "function", ...tool })),
    ...(schema && { text: { format: { type: "json_schema", name: "answer", schema, strict: true } } }),
  };
  for (;;) {
    const response = await (stream ? responses.stream(request).finalResponse() : responses.create(request));
    if (response.error) throw new Error(response.error.message);
    const calls = response.output.filter(({ type }) => type === "function_call");
    if (!loop || calls.length === 0) return understood(response, calls);
    const results = calls.map(({ call_id }) => ({ type: "function_call_output", call_id, output: RESULT }));
    request.input.push(...response.output, ...results);
  }
});

function parts(content) {
  if (typeof content === "string") return content;
  return content.map((part) =>
    part.type === "text"
      ? { type: "input_text", text: part.text }
      : { type: "input_image", image_url: part.image_url.url, detail: "auto" },
  );
}

function understood({ output, status, incomplete_details, usage }, calls) {
  const said = output.filter(({ type }) => type === "message").flatMap(({ content }) => content);
  const thought = output.filter(({ type }) => type === "reasoning").flatMap(({ summary }) => summary);
  const reason = status === "incomplete" ? incomplete_details.reason : calls.length ? "tool_calls" : "stop";
  return {
    choices: [
      {
        text: said.map(({ text, refusal }) => text ?? refusal).join(""),
        reasoning: thought.map(({ text }) => text).join(""),
        finish: reason === "max_output_tokens" ? "length" : reason,
        calls: calls.map((call) => ({ id: call.call_id, name: call.name, arguments: call.arguments })),
      },
    ],
    usage: usage ? [usage.input_tokens, usage.output_tokens, usage.total_tokens] : null,
  };
}
