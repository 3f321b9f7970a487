// openai-node: `create`, `.stream()` and, for a loop, `runTools`.
import OpenAI from "openai";

import { RESULT, TOOLS, serve } from "./lines.mjs";

await serve(async ({ url, model, content, stream, loop, choices }) => {
  const client = new OpenAI({ baseURL: url, apiKey: "any", maxRetries: 0 });
  const completions = client.chat.completions;
  const request = { model, messages: [{ role: "user", content }], ...(choices > 1 && { n: choices }) };
  if (stream) Object.assign(request, { stream, stream_options: { include_usage: true } });
  if (loop) {
    const tools = TOOLS.map((tool) => ({
      type: "function",
      function: { ...tool, parse: JSON.parse, function: () => RESULT },
    }));
    return understood(await completions.runTools({ ...request, tools }).finalChatCompletion());
  }
  request.tools = TOOLS.map((tool) => ({ type: "function", function: tool }));
  return understood(await (stream ? completions.stream(request).finalChatCompletion() : completions.create(request)));
});

function understood({ choices, usage }) {
  return {
    choices: choices.map(({ message, finish_reason }) => ({
      text: message.content,
      finish: finish_reason,
      calls: (message.tool_calls ?? []).map((call) => ({ id: call.id, ...call.function })),
    })),
    usage: usage ? [usage.prompt_tokens, usage.completion_tokens, usage.total_tokens] : null,
  };
}
