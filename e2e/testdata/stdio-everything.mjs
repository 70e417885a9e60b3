// A client over stdio that has the reference server do what it can, and prints
// what it saw as JSON. Arguments: the SDK's major version, how it finds out which
// era the server is of, then the command that speaks stdio, or the URL of a
// server that wants E2E_TOKEN.
const [sdk, mode, command, ...args] = process.argv.slice(2);
const old = sdk === "1";
const { Client } = await import(old ? "@modelcontextprotocol/sdk/client/index.js" : "@modelcontextprotocol/client");
const { StdioClientTransport } = await import(old ? "@modelcontextprotocol/sdk/client/stdio.js" : "@modelcontextprotocol/client/stdio");
const { StreamableHTTPClientTransport: HTTPTransport } = await import(
  old ? "@modelcontextprotocol/sdk/client/streamableHttp.js" : "@modelcontextprotocol/client"
);
const types = old ? await import("@modelcontextprotocol/sdk/types.js") : {};

const saw = { progress: [] };
const client = new Client(
  { name: "e2e", version: "1" },
  {
    capabilities: { sampling: {}, elicitation: {}, roots: { listChanged: true } },
    ...(old ? {} : { versionNegotiation: { mode } }),
  },
);
const answer = (method, schema, f) => client.setRequestHandler(old ? types[schema] : method, f);
answer("sampling/createMessage", "CreateMessageRequestSchema", async () => ({
  model: "m",
  role: "assistant",
  content: { type: "text", text: "the sampled answer" },
}));
answer("elicitation/create", "ElicitRequestSchema", async () => ({ action: "accept", content: { name: "Ada Lovelace" } }));
const roots = [{ uri: "file:///first", name: "first" }];
answer("roots/list", "ListRootsRequestSchema", async () => ({ roots }));

// told returns the next notification of this kind that has the text.
const waiting = [];
client.fallbackNotificationHandler = async (n) => {
  const text = JSON.stringify(n);
  for (const w of waiting) if (n.method === w.method && text.includes(w.text)) w.resolve(n.params);
};
const told = (method, text) => new Promise((resolve) => waiting.push({ method, text, resolve }));

const text = (result) => result.content.map((c) => c.text).join("\n");
const call = (name, args, options) => {
  const params = { name, arguments: args ?? {} };
  return old ? client.callTool(params, undefined, options) : client.callTool(params, options);
};

// A URL in the place of the command is of a server behind a gate.
const transport = command.startsWith("https:")
  ? new HTTPTransport(new URL(command), { requestInit: { headers: { Authorization: `Bearer ${process.env.E2E_TOKEN}` } } })
  : new StdioClientTransport({ command, args, env: process.env });
await client.connect(transport);
// What the bridge passes on: the SDK itself has forgotten who wants the last
// progress if the result comes in the same read.
const heard = transport.onmessage;
transport.onmessage = (message, extra) => {
  if (message.method === "notifications/progress" && message.params.total === 3) saw.progress.push(message.params.progress);
  heard(message, extra);
};
saw.server = client.getServerVersion().name;
saw.tools = (await client.listTools()).tools.map((t) => t.name);
saw.echo = text(await call("echo", { message: "grüß dich" }));
await call("trigger-long-running-operation", { duration: 0.3, steps: 3 }, { onprogress: () => {} });

await client.setLoggingLevel("debug");
const logged = told("notifications/message", "SessionId");
await call("toggle-simulated-logging");
saw.logged = (await logged).data;
await call("toggle-simulated-logging");

saw.sampled = text(await call("trigger-sampling-request", { prompt: "Tell me.", maxTokens: 10 }));
saw.elicited = text(await call("trigger-elicitation-request"));
saw.roots = text(await call("get-roots-list"));
const second = told("notifications/message", "2 root(s)"); // once it has asked again
roots.push({ uri: "file:///second", name: "second" });
await client.sendRootsListChanged();
await second;
saw.rootsLater = text(await call("get-roots-list"));

saw.completed = (
  await client.complete({ ref: { type: "ref/prompt", name: "completable-prompt" }, argument: { name: "department", value: "S" } })
).completion.values;
saw.prompt = (await client.getPrompt({ name: "simple-prompt" })).messages.length;

const [{ uri }] = (await client.listResources()).resources;
saw.read = (await client.readResource({ uri })).contents.length;
await client.subscribeResource({ uri });
const updated = told("notifications/resources/updated", uri);
await call("toggle-subscriber-updates");
saw.updated = (await updated).uri === uri;
await call("toggle-subscriber-updates");
await client.unsubscribeResource({ uri });

const stop = new AbortController();
const options = { signal: stop.signal, onprogress: () => stop.abort("enough") };
saw.cancelled = await call("trigger-long-running-operation", { duration: 60, steps: 1000 }, options).then(
  () => "not at all",
  (e) => String(e.message ?? e),
);
saw.after = text(await call("echo", { message: "still here" }));
const anything = old ? types.ResultSchema : { "~standard": { version: 1, vendor: "e2e", validate: (value) => ({ value }) } };
saw.unknown = await client.request({ method: "corp/unheard-of", params: {} }, anything).then(
  () => "known",
  (e) => e.code ?? String(e),
);
await client.close();
console.log(JSON.stringify(saw));
