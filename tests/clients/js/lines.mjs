// A client as a process that answers: requests come as lines of JSON on standard input, and each gets one line of JSON
// on standard output, `{"understood": …}` or `{"error": …}`. What they hold stands in tests/clients/asking.py.
import { createInterface } from "node:readline";

export async function serve(ask) {
  for await (const line of createInterface({ input: process.stdin })) {
    const answer = await ask(JSON.parse(line)).then((understood) => ({ understood }), (error) => ({ error: told(error) }));
    process.stdout.write(JSON.stringify(answer) + "\n");
  }
}

// `statusCode` and `data` are the AI SDK's. LangChain makes an error of its own of one that it knows.
function told(error) {
  const { status, statusCode, code, data } = error.cause?.status ? error.cause : error;
  return {
    kind: error.constructor.name,
    message: error.message,
    status: status ?? statusCode ?? null,
    code: code ?? data?.error?.code ?? null,
  };
}

// The tools that every client offers. In a loop, what a call returns is always this.
export const RESULT = "done";
export const TOOLS = ["bash", "read"].map((name) => ({
  name,
  description: `The tool ${name}.`,
  parameters: { type: "object", properties: {}, additionalProperties: true },
}));
