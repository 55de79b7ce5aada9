// What the official client shows of the Responses API.

import { zodTextFormat } from "openai/helpers/zod";
import { z } from "zod";
import { client } from "./recipe.mjs";
import { show, stopped, versionOf, weather } from "./showing.mjs";

const create = (input, more = {}) => client.responses.create({ model: "demo", input, ...more });

const parameters = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const tools = [{ type: "function", name: "weather", parameters }];

async function* deltas(stream) {
  for await (const event of await stream) if (event.type === "response.output_text.delta") yield event.delta;
}

await show({
  version: () => versionOf("openai"),

  plain: async () => (await create("Hello")).output_text,

  streaming: async () => {
    const pieces = [];
    for await (const delta of deltas(create("Hello", { stream: true }))) pieces.push(delta);
    return pieces;
  },

  helper: async () => {
    let said = "";
    const stream = client.responses.stream({ model: "demo", input: "Hello" });
    for await (const delta of deltas(stream)) said += delta;
    return [said, (await stream.finalResponse()).output_text];
  },

  structured: async () => {
    const text = { format: zodTextFormat(z.object({ city: z.string() }), "place") };
    const response = await client.responses.parse({ model: "echo", input: '{"city": "Paris"}', text });
    return response.output_parsed.city;
  },

  tools: async () => {
    const question = { role: "user", content: "What is the weather in Paris?" };
    const asked = await create([question], { tools });
    const { call_id, arguments: given } = asked.output.find((item) => item.type === "function_call");
    const result = { type: "function_call_output", call_id, output: weather(JSON.parse(given)) };
    return (await create([question, ...asked.output, result], { tools })).output_text;
  },

  agent_tool: async () => {
    const response = await create("Add 19 and 23");
    const call = response.output.find((item) => item.type === "mcp_call");
    return [call.name, call.output, response.output_text];
  },

  second_turn: async () => {
    const first = { role: "user", content: "When is high tide?" };
    const { output } = await create([first], { model: "echo" });
    const second = { role: "user", content: "And low tide?" };
    return (await create([first, ...output, second], { model: "echo" })).output_text;
  },

  previous_id: async () => {
    const echo = (input, previous_response_id) => create(input, { model: "echo", previous_response_id });
    const first = await echo("When is high tide?");
    const second = await echo("And low tide?", first.id);
    const third = await echo("And tomorrow?", second.id);
    const fork = await echo("And low tide?", first.id);
    return [[second.output_text, third.output_text], fork.output_text];
  },

  background: async () => {
    let response = await create("Hello", { background: true });
    const first = response.status;
    while (["queued", "in_progress"].includes(response.status)) {
      await new Promise((resolve) => setTimeout(resolve, 50));
      response = await client.responses.retrieve(response.id);
    }
    return [[first, response.status], response.output_text];
  },

  // the stream is cut in the middle, and taken up behind the last event that was read
  resumed: async () => {
    const events = [];
    for await (const event of await create("Hello", { stream: true, background: true })) {
      events.push(event);
      if (event.type === "response.output_text.delta") break;
    }
    const starting_after = events.at(-1).sequence_number;
    const rest = await client.responses.retrieve(events[0].response.id, { stream: true, starting_after });
    for await (const event of rest) events.push(event);
    const numbers = [...new Set(events.map((event) => event.sequence_number))]; // once with keep-alives
    const inOrder = numbers.every((number, index) => number === index);
    const texts = events.filter((event) => event.type === "response.output_text.delta");
    return [inOrder, texts.map((event) => event.delta).join("")];
  },

  conversation: async () => {
    const { id } = await client.conversations.create({ metadata: { topic: "tides" } });
    const echo = async (input) => (await create(input, { model: "echo", conversation: id })).output_text;
    const [, second] = [await echo("When is high tide?"), await echo("And low tide?")];
    const { data } = await client.conversations.items.list(id, { order: "asc", limit: 3 });
    await client.conversations.items.delete(data[0].id, { conversation_id: id });
    const item = { type: "message", role: "user", content: "It is winter." };
    await client.conversations.items.create(id, { items: [item] });
    const changed = await echo("And tomorrow?");
    const { deleted } = await client.conversations.delete(id);
    return [data.map((each) => each.content[0].text), second, changed, deleted];
  },

  reasoning: async () => {
    const items = (await create("[[scenario:reasoning]]")).output.filter((item) => item.type === "reasoning");
    return items.flatMap((item) => item.summary.map((part) => part.text)).join("");
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
