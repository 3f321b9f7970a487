// LangChain: `invoke`, and `stream` with its chunks put together.
import { HumanMessage, ToolMessage } from "@langchain/core/messages";
import { ChatOpenAI } from "@langchain/openai";

import { RESULT, TOOLS, serve } from "./lines.mjs";

await serve(async ({ url, model, content, stream, loop }) => {
  const chat = new ChatOpenAI({
    model,
    apiKey: "any",
    configuration: { baseURL: url },
    maxRetries: 0,
    useResponsesApi: false,
  }).bindTools(TOOLS.map((tool) => ({ type: "function", function: tool })));
  const messages = [new HumanMessage({ content })];
  let message = await say(chat, messages, stream);
  while (loop && message.tool_calls.length > 0) {
    messages.push(message, ...message.tool_calls.map(({ id }) => new ToolMessage({ content: RESULT, tool_call_id: id })));
    message = await say(chat, messages, stream);
  }
  return understood(message);
});

async function say(chat, messages, stream) {
  if (!stream) return chat.invoke(messages);
  let whole;
  for await (const chunk of await chat.stream(messages)) whole = whole ? whole.concat(chunk) : chunk;
  return whole;
}

function understood({ content, tool_calls, invalid_tool_calls, response_metadata, usage_metadata: usage }) {
  return {
    choices: [
      {
        text: content,
        finish: response_metadata.finish_reason,
        calls: [...tool_calls, ...invalid_tool_calls].map(({ id, name, args }) => ({ id, name, arguments: args })),
      },
    ],
    usage: usage?.total_tokens ? [usage.input_tokens, usage.output_tokens, usage.total_tokens] : null,
  };
}
