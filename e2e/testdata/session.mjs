// A client that does as the lines of its stdin say, over one session, and
// prints what comes of each, and each notification, as a line of JSON.
// Arguments: the server's URL, its own name, and the SDK's major version. With
// SESSION_RENEWS set it does what the specification wants of a client whose
// session is answered 404: it begins another, and calls again. E2E_TOKEN, if it is
// set, goes on each request.
import { createInterface } from "node:readline";

const [url, name, sdk] = process.argv.slice(2);
const { Client, StreamableHTTPClientTransport } =
  sdk === "1"
    ? {
        ...(await import("@modelcontextprotocol/sdk/client/index.js")),
        ...(await import("@modelcontextprotocol/sdk/client/streamableHttp.js")),
      }
    : await import("@modelcontextprotocol/client");

const print = (line) => console.log(JSON.stringify(line));
const failure = (e) => ({ error: e.message || e.constructor.name, code: e.code, data: e.data });

let client, transport;
const connect = async () => {
  client = new Client({ name, version: "1" });
  client.fallbackNotificationHandler = async (n) => print({ saw: n.method, params: n.params });
  const headers = process.env.E2E_TOKEN ? { Authorization: `Bearer ${process.env.E2E_TOKEN}` } : {};
  transport = new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers } });
  await client.connect(transport);
};
let renewing;
const renewed = async (f) => {
  const lost = transport;
  try {
    return await f();
  } catch (e) {
    if (!process.env.SESSION_RENEWS || (e.data?.status ?? e.code) !== 404) throw e;
    if (transport === lost) renewing ??= connect().finally(() => (renewing = undefined));
    await renewing;
    return f();
  }
};
const call = async ({ tool, arguments: args, patience }) => {
  const params = { name: tool, arguments: args };
  const options = { timeout: patience ?? 60_000 };
  const called = () => (sdk === "1" ? client.callTool(params, undefined, options) : client.callTool(params, options));
  try {
    return { text: (await renewed(called)).content.map((c) => c.text).join("\n") };
  } catch (e) {
    return failure(e);
  }
};
const doing = {
  connect,
  call: async (c) => ({ results: await Promise.all(Array.from({ length: c.times ?? 1 }, () => call(c))) }),
  level: (c) => client.setLoggingLevel(c.level),
  subscribe: (c) => client.subscribeResource({ uri: c.uri }),
  end: async () => {
    await transport.terminateSession();
    await client.close();
  },
};
for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  let outcome;
  try {
    outcome = await doing[command.do](command);
  } catch (e) {
    outcome = failure(e);
  }
  print({ did: command.do, results: outcome?.results, error: outcome?.error, code: outcome?.code, data: outcome?.data });
}
process.exit(0); // streams may be open
