// A client that knows nothing but the server's URL: it finds out where to get a
// token, gets one with the browser's help, and calls a tool. Prints what came of
// it, and where it has been, as JSON. Arguments: the server's URL, the SDK's major
// version, and a client id if it is registered already.
const [server, sdk, registered] = process.argv.slice(2);
const { Client, StreamableHTTPClientTransport, UnauthorizedError } =
  sdk === "1"
    ? {
        ...(await import("@modelcontextprotocol/sdk/client/index.js")),
        ...(await import("@modelcontextprotocol/sdk/client/streamableHttp.js")),
        ...(await import("@modelcontextprotocol/sdk/client/auth.js")),
      }
    : await import("@modelcontextprotocol/client");

const saw = { asked: [], browsed: [] };
const noting = async (url, init) => {
  const u = new URL(url);
  const res = await fetch(url, init);
  saw.asked.push(`${init?.method ?? "GET"} ${u.pathname} ${res.status}`);
  if (u.pathname.endsWith("/token")) saw.resource = new URLSearchParams(init.body).get("resource");
  return res;
};

const redirectUrl = "http://localhost:33418/callback";
let tokens, verifier, discovery;
let client_information = registered ? { client_id: registered } : undefined;
let code, refusal;
const provider = {
  redirectUrl,
  clientMetadata: {
    client_name: "e2e",
    redirect_uris: [redirectUrl],
    grant_types: ["authorization_code", "refresh_token"],
    response_types: ["code"],
    token_endpoint_auth_method: "none",
  },
  clientInformation: () => client_information,
  saveClientInformation: (i) => void (client_information = i),
  tokens: () => tokens,
  saveTokens: (t) => void (tokens = t),
  codeVerifier: () => verifier,
  saveCodeVerifier: (v) => void (verifier = v),
  discoveryState: () => discovery,
  saveDiscoveryState: (d) => void (discovery = d),
  state: () => "the state",
  // The browser, whose user is signed in and agrees.
  async redirectToAuthorization(url) {
    saw.browserResource = url.searchParams.get("resource");
    saw.scope = url.searchParams.get("scope");
    while (url.origin !== new URL(redirectUrl).origin) {
      const res = await fetch(url, { redirect: "manual" });
      saw.browsed.push(`${url.pathname} ${res.status}`);
      if (!res.headers.get("location")) throw new Error(`the browser shows ${await res.text()}`);
      url = new URL(res.headers.get("location"), url);
    }
    if (url.searchParams.get("state") !== "the state") throw new Error("another's answer");
    code = url.searchParams.get("code");
    refusal = url.searchParams.get("error_description") ?? undefined;
  },
};

const transport = () => new StreamableHTTPClientTransport(new URL(server), { authProvider: provider, fetch: noting });
const connect = async (over) => {
  const client = new Client({ name: "e2e", version: "1" });
  await client.connect(over);
  return client;
};
const call = async (client, name) => (await client.callTool({ name, arguments: {} })).content[0].text;
// signedIn is what f comes to, and if that takes the user's consent, once it was
// given to whom f had asked.
const signedIn = async (over, f) => {
  code = undefined;
  try {
    return await f();
  } catch (e) {
    if (!(e instanceof UnauthorizedError) || !code) throw e;
    await over.finishAuth(code);
  }
};

try {
  const first = transport();
  await signedIn(first, () => connect(first));
  const second = transport();
  const client = await connect(second);
  saw.text = await call(client, "greet");
  // This tool wants another scope, which the user has not been asked for.
  try {
    saw.more = (await signedIn(second, () => call(client, "export"))) ?? (await call(client, "export"));
  } catch (e) {
    saw.moreError = String(e);
  }
  await client.close();
  if (tokens.refresh_token) {
    tokens = { ...tokens, access_token: "expired" };
    const third = transport();
    saw.refreshed = await call(await connect(third), "greet");
  }
} catch (e) {
  saw.error = String(e);
}
saw.refusal = refusal;
saw.client = client_information?.client_id;
console.log(JSON.stringify(saw));
process.exit(0);
