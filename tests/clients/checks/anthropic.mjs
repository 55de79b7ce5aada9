// What Anthropic's official client shows.

import { client } from "./recipe.mjs";
import { show, stopped, versionOf, weather } from "./showing.mjs";

const user = (content) => ({ role: "user", content });
const asked = (messages, more = {}) => ({ model: "demo", max_tokens: 1000, messages, ...more });
const create = (question, more = {}) => client.messages.create(asked([user(question)], more));
const textOf = ({ content }) => content.map((block) => (block.type === "text" ? block.text : "")).join("");

const input_schema = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const tools = [{ name: "weather", input_schema }];

async function* deltas(stream) {
  for await (const event of await stream)
    if (event.type === "content_block_delta" && event.delta.type === "text_delta") yield event.delta.text;
}

await show({
  version: () => versionOf("@anthropic-ai/sdk"),

  plain: async () => textOf(await create("Hello")),

  streaming: async () => {
    const pieces = [];
    for await (const delta of deltas(create("Hello", { stream: true }))) pieces.push(delta);
    return pieces;
  },

  helper: async () => {
    let said = "";
    const stream = client.messages.stream(asked([user("Hello")]));
    stream.on("text", (text) => (said += text));
    const final = textOf(await stream.finalMessage());
    return [said, final];
  },

  tools: async () => {
    const question = user("What is the weather in Paris?");
    const { content } = await client.messages.create(asked([question], { tools }));
    const { id, input } = content.find((block) => block.type === "tool_use");
    const result = { type: "tool_result", tool_use_id: id, content: weather(input) };
    return textOf(
      await client.messages.create(asked([question, { role: "assistant", content }, user([result])], { tools })),
    );
  },

  agent_tool: async () => {
    const message = await client.beta.messages.create(asked([user("Add 19 and 23")]));
    const call = message.content.find((block) => block.type === "mcp_tool_use");
    const result = message.content.find((block) => block.type === "mcp_tool_result");
    return [call.name, result.content[0].text, textOf(message)];
  },

  second_turn: async () => {
    const first = user("When is high tide?");
    const { content } = await client.messages.create(asked([first], { model: "echo" }));
    const messages = [first, { role: "assistant", content }, user("And low tide?")];
    return textOf(await client.messages.create(asked(messages, { model: "echo" })));
  },

  reasoning: async () => {
    const { content } = await create("[[scenario:reasoning]]");
    return content.map((block) => (block.type === "thinking" ? block.thinking : "")).join("");
  },

  error: async () => {
    let said = "";
    try {
      for await (const delta of deltas(create("[[scenario:fail]]", { stream: true }))) said += delta;
    } catch (failed) {
      return [said, failed.message];
    }
  },

  refusal: async () => {
    try {
      await create("[[scenario:fail_start]]");
    } catch (failed) {
      return failed.message;
    }
  },

  cancel: async () => {
    let said = "";
    for await (const delta of deltas(create("[[scenario:slow]]", { stream: true }))) {
      said += delta;
      if (said.includes("am")) break;
    }
    return await stopped(said);
  },
});
