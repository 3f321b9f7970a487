// The AI SDK: `generateText` and `streamText`. The argument names the package of its provider.
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText, jsonSchema, stepCountIs, streamText, tool } from "ai";

import { RESULT, TOOLS, serve } from "./lines.mjs";

globalThis.AI_SDK_LOG_WARNINGS = false;

const MODELS = {
  openai: (baseURL) => createOpenAI({ baseURL, apiKey: "any" }).chat,
  "openai-compatible": (baseURL) =>
    createOpenAICompatible({ name: "gateway", baseURL, apiKey: "any", includeUsage: true }).chatModel,
};
const modelAt = MODELS[process.argv[2]];

await serve(async ({ url, model, content, stream, loop }) => {
  const request = {
    model: modelAt(url)(model),
    messages: [{ role: "user", content: parts(content) }],
    maxRetries: 0,
    stopWhen: stepCountIs(loop ? 5 : 1),
    tools: Object.fromEntries(
      TOOLS.map(({ name, description, parameters }) => [
        name,
        tool({ description, inputSchema: jsonSchema(parameters), ...(loop && { execute: async () => RESULT }) }),
      ]),
    ),
  };
  if (!stream) return understood(await generateText(request));
  let failure;
  const result = streamText({ ...request, onError: ({ error }) => (failure ??= error) });
  await result.consumeStream();
  if (failure) throw failure instanceof Error ? failure : new Error(failure.message ?? failure);
  return understood({
    text: await result.text,
    rawFinishReason: await result.rawFinishReason,
    toolCalls: await result.toolCalls,
    usage: await result.usage,
  });
});

function parts(content) {
  if (typeof content === "string") return content;
  return content.map((part) => (part.type === "text" ? part : { type: "image", image: part.image_url.url }));
}

function understood({ text, rawFinishReason, toolCalls, usage }) {
  const counts = [usage.inputTokens, usage.outputTokens, usage.totalTokens];
  return {
    choices: [
      {
        text,
        finish: rawFinishReason,
        calls: toolCalls.map(({ toolCallId, toolName, input }) => ({ id: toolCallId, name: toolName, arguments: input })),
      },
    ],
    usage: counts.every((count) => count === undefined) ? null : counts,
  };
}
