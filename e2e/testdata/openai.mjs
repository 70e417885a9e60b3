// Prints each delta of a chat completion when it comes.
import OpenAI from "openai";

const client = new OpenAI({ baseURL: `${process.argv[2]}/v1`, apiKey: "dummy", maxRetries: 0 });
const stream = await client.chat.completions.create({
  model: "m",
  stream: true,
  messages: [{ role: "user", content: "Tell me." }],
});
for await (const chunk of stream) {
  const text = chunk.choices[0]?.delta?.content;
  if (text) console.log(text);
}
