// Runs a session from initialize to its end and prints what it saw as JSON.
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { CreateMessageRequestSchema } from "@modelcontextprotocol/sdk/types.js";

const saw = { progress: [], asked: false };
const client = new Client({ name: "e2e", version: "1" }, { capabilities: { sampling: {} } });
client.setRequestHandler(CreateMessageRequestSchema, async () => {
  saw.asked = true;
  return { model: "m", role: "assistant", content: { type: "text", text: "the sampled answer" } };
});

const transport = new StreamableHTTPClientTransport(new URL(process.argv[2]));
await client.connect(transport);
saw.tools = (await client.listTools()).tools.map((t) => t.name);

const call = (name, args, options) => client.callTool({ name, arguments: args }, undefined, options);
saw.echo = (await call("echo", { message: "grüß dich" })).content[0].text;
await call("trigger-long-running-operation", { duration: 0.3, steps: 3 }, { onprogress: (p) => saw.progress.push(p.progress) });
saw.sampled = (await call("trigger-sampling-request", { prompt: "Tell me.", maxTokens: 10 })).content.map((c) => c.text).join("\n");

await transport.terminateSession();
await client.close();
console.log(JSON.stringify(saw));
