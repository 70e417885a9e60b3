// Prints each delta of a message when it comes.
import Anthropic from "@anthropic-ai/sdk";

// Many a version and endpoint take the key in a header of its own.
const defaultHeaders = { "x-api-key": "dummy" };
const client = new Anthropic({ baseURL: process.argv[2], apiKey: "dummy", defaultHeaders, maxRetries: 0 });
const stream = await client.messages.create({
  model: "m",
  max_tokens: 100,
  stream: true,
  messages: [{ role: "user", content: "Tell me." }],
});
for await (const event of stream) {
  if (event.type === "content_block_delta") console.log(event.delta.text);
}
