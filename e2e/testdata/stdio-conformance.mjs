// A client over stdio for what the conformance suite asks of clients. Arguments:
// the program, the https URL of a door whose first path segment is the port that
// it leads to, then, from the suite, the http URL of its server on this machine.
const [program, door, server] = process.argv.slice(2);
const scenario = process.env.MCP_CONFORMANCE_SCENARIO;
const revision = process.env.MCP_CONFORMANCE_PROTOCOL_VERSION;
const old = revision < "2026-07-28";
const { Client } = await import(old ? "@modelcontextprotocol/sdk/client/index.js" : "@modelcontextprotocol/client");
const { StdioClientTransport } = await import(old ? "@modelcontextprotocol/sdk/client/stdio.js" : "@modelcontextprotocol/client/stdio");

const client = new Client(
  { name: "e2e", version: "1" },
  {
    capabilities: { elicitation: { form: { applyDefaults: true } } },
    ...(old ? {} : { versionNegotiation: { mode: { pin: revision } } }),
  },
);
const content = old ? {} : { confirmed: true };
client.setRequestHandler(
  old ? (await import("@modelcontextprotocol/sdk/types.js")).ElicitRequestSchema : "elicitation/create",
  async () => ({ action: "accept", content }),
);
// What the server refuses is for the suite to judge.
const tried = async (f) => {
  try {
    return await f();
  } catch (e) {
    console.error(scenario, e.message);
  }
};
const call = (name, args = {}) => tried(() => client.callTool({ name, arguments: args }));
const calls = {
  tools_call: [["add_numbers", { a: 5, b: 3 }]],
  "elicitation-sep1034-client-defaults": [["test_client_elicitation_defaults"]],
  "sse-retry": [["test_reconnection"]],
  "sep-2322-client-request-state": ["echo_state", "no_state", "unrelated", "no_result_type"].map((n) => ["test_mrtr_" + n]),
  "http-custom-headers": JSON.parse(process.env.MCP_CONFORMANCE_CONTEXT ?? "{}").toolCalls?.map((c) => [c.name, c.arguments]),
};

const { pathname, port } = new URL(server);
const url = `${door}/${port}${pathname}`;
await client.connect(new StdioClientTransport({ command: program, args: ["stdio", url, "--token-env", "E2E_TOKEN"], env: process.env }));
const tools = (await tried(() => client.listTools()))?.tools ?? [];
for (const [name, args] of calls[scenario] ?? []) await call(name, args);
if (scenario === "http-invalid-tool-headers") for (const t of tools) await call(t.name, { region: "us-west1" });
if (scenario === "json-schema-2020-12-preservation")
  await call("json_schema_echo", { schema: tools.find((t) => t.name === "json_schema_2020_12_tool").inputSchema });
if (scenario === "http-standard-headers") {
  await call(tools[0].name);
  const resources = (await tried(() => client.listResources()))?.resources ?? [];
  if (resources.length) await tried(() => client.readResource({ uri: resources[0].uri }));
  const prompts = (await tried(() => client.listPrompts()))?.prompts ?? [];
  if (prompts.length) await tried(() => client.getPrompt({ name: prompts[0].name }));
}
await client.close();
