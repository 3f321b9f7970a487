// The AI SDK: `generateText` and `streamText`. The argument names the package of its provider.
import { createAnthropic } from "@ai-sdk/anthropic";
import { createOpenAI } from "@ai-sdk/openai";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText, jsonSchema, Output, stepCountIs, streamText, tool } from "ai";

import { RESULT, TOOLS, serve } from "./lines.mjs";

globalThis.AI_SDK_LOG_WARNINGS = false;

const MODELS = {
  openai: (baseURL) => createOpenAI({ baseURL, apiKey: "any" }).chat,
  "openai-compatible": (baseURL) =>
    createOpenAICompatible({ name: "gateway", baseURL, apiKey: "any", includeUsage: true }).chatModel,
  responses: (baseURL) => createOpenAI({ baseURL, apiKey: "any" }),
  messages: (baseURL) => createAnthropic({ baseURL, apiKey: "any" }),
};
// The dialects have words of their own for the end; the AI SDK translates them.
const FINISHES = { "tool-calls": "tool_calls", "content-filter": "content_filter" };
const dialect = process.argv[2];
const modelAt = MODELS[dialect];

await serve(async ({ url, model, content, stream, loop, schema }) => {
  const request = {
    model: modelAt(url)(model),
    messages: [{ role: "user", content: parts(content) }],
    maxRetries: 0,
    ...(schema && { output: Output.object({ schema: jsonSchema(schema) }) }),
    // For a model that it does not know, it would force a call of a tool instead.
    providerOptions: { anthropic: { structuredOutputMode: "outputFormat" } },
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
    reasoningText: await result.reasoningText,
    finishReason: await result.finishReason,
    rawFinishReason: await result.rawFinishReason,
    toolCalls: await result.toolCalls,
    usage: await result.usage,
  });
});

function parts(content) {
  if (typeof content === "string") return content;
  return content.map((part) => (part.type === "text" ? part : { type: "image", image: part.image_url.url }));
}

function understood({ text, reasoningText, finishReason, rawFinishReason, toolCalls, usage }) {
  const counts = [usage.inputTokens, usage.outputTokens, usage.totalTokens];
  return {
    choices: [
      {
        text,
        reasoning: reasoningText,
        finish: dialect.startsWith("openai") ? rawFinishReason : FINISHES[finishReason] ?? finishReason,
        calls: toolCalls.map(({ toolCallId, toolName, input }) => ({ id: toolCallId, name: toolName, arguments: input })),
      },
    ],
    usage: counts.every((count) => count === undefined) ? null : counts,
  };
}
