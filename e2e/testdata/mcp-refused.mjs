// Runs a session whose first call of a tool fails, and then tries to begin
// another. Prints what the SDK said of both as JSON.
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";

const connect = async () => {
  const client = new Client({ name: "e2e", version: "1" });
  await client.connect(new StreamableHTTPClientTransport(new URL(process.argv[2])));
  return client;
};
const failure = async (f) => {
  try {
    await f();
    return { name: "none" };
  } catch (e) {
    return { name: e.constructor.name, code: e.code, message: e.message, data: e.data };
  }
};

const client = await connect();
const tools = (await client.listTools()).tools.length;
const call = await failure(() => client.callTool({ name: "echo", arguments: { message: "x" } }));
const again = await failure(connect);
console.log(JSON.stringify({ tools, call, again }));
process.exit(0); // the first session has streams open
